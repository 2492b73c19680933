//! The figures, for people and for programs.

mod picture;
mod targets;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::Sizes;
use crate::latency::Latency;
use crate::rounds::{Series, Subject, Turn};
use crate::scenarios::Scenario;
use crate::spread::Spread;

use targets::Verdict;

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
    scenario: Scenario,
    figures: Figures,
    verdicts: Vec<Verdict>,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Figures {
    Loop(Vec<Series>),
    Latency(Latency),
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
    pub(crate) fn new(scenario: Scenario, figures: Figures) -> Self {
        let verdicts = targets::verdicts(scenario, &figures);
        Self { scenario, figures, verdicts }
    }

    pub(crate) fn is_void(&self) -> bool {
        self.figures.subjects().iter().any(|subject| subject.void.is_some())
    }
}

// === impl Figures ===

impl Figures {
    fn subjects(&self) -> Vec<&Subject> {
        match self {
            Self::Loop(series) => series.iter().map(|series| &series.subject).collect(),
            Self::Latency(latency) => latency.series.iter().map(|times| &times.subject).collect(),
        }
    }
}

// === impl Subject ===

impl Subject {
    /// What Ringhold is held against.
    fn is_peer(&self) -> bool {
        !self.is_ringhold && !self.is_direct && self.counts()
    }
}

// === impl Series ===

impl Series {
    fn spread(&self, figure: impl Fn(&Turn) -> f64) -> Spread {
        Spread::of(self.turns.iter().map(figure))
    }

    fn cpu(&self) -> f64 {
        self.spread(|turn| turn.cpu).median
    }

    /// How its CPU time for each request stands to another's, round by round.
    fn ratio(&self, other: &Self) -> Spread {
        Spread::of(self.turns.iter().zip(&other.turns).map(|(ours, theirs)| ours.cpu / theirs.cpu))
    }
}

/// Who needs least CPU time for a request, of those that are not Ringhold and fulfil the condition.
fn best(series: &[Series], condition: impl Fn(&Subject) -> bool) -> Option<&Series> {
    let peers = series.iter().filter(|series| series.subject.is_peer() && condition(&series.subject));
    peers.min_by(|one, other| one.cpu().total_cmp(&other.cpu()))
}
