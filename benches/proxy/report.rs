//! The figures, for people and for programs.

mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::Sizes;
use crate::rounds::{Series, Turn};
use crate::scenarios::Scenario;
use crate::spread::Spread;

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) sizes: Sizes,
    pub(crate) tables: Vec<Table>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// How many processes wanted a core in the minute before: others' work is in the figures.
    pub(crate) load_before: String,
    pub(crate) profile: &'static str,
}

/// One scenario.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table {
    pub(crate) scenario: Scenario,
    pub(crate) series: Vec<Series>,
}

// === impl Report ===

impl Report {
    pub(crate) fn is_void(&self) -> bool {
        self.tables.iter().flat_map(|table| &table.series).any(|series| series.void.is_some())
    }
}

// === impl Machine ===

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            cpu: model.map_or("an unknown CPU", |(_, model)| model).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            profile: if cfg!(debug_assertions) { "not optimised: these figures say nothing" } else { "release" },
        }
    }
}

// === impl Table ===

impl Table {
    /// The median of those that are no Ringhold's and the least of all, with its name.
    pub(crate) fn best_peer(&self) -> Option<&Series> {
        let peers = self.series.iter().filter(|series| series.is_peer());
        peers.min_by(|one, other| one.spread(|turn| turn.cpu).median.total_cmp(&other.spread(|turn| turn.cpu).median))
    }
}

// === impl Series ===

impl Series {
    pub(crate) fn spread(&self, figure: impl Fn(&Turn) -> f64) -> Spread {
        Spread::of(self.turns.iter().map(figure))
    }

    /// How its CPU time for each request stands to another's, round by round.
    pub(crate) fn ratio(&self, other: &Self) -> Spread {
        Spread::of(self.turns.iter().zip(&other.turns).map(|(ours, theirs)| ours.cpu / theirs.cpu))
    }

    fn is_peer(&self) -> bool {
        !self.is_ringhold && !self.is_direct && self.void.is_none()
    }
}
