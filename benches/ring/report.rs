//! The figures, for people and for programs.

mod text;

use serde::Serialize;

use crate::args::Sizes;
use crate::turns::Spread;

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) sizes: Sizes,
    pub(crate) tables: Vec<Table>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    /// How many processes wanted a core in the minute before: others' work is in the figures.
    pub(crate) load_before: String,
    pub(crate) profile: &'static str,
}

/// What is compared in one respect.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Column {
    name: &'static str,
    #[serde(skip)]
    decimals: usize,
}

/// One of those that are compared.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    name: String,
    /// Of keys; empty where keys are not hashed.
    #[serde(skip_serializing_if = "str::is_empty")]
    hash: &'static str,
    cells: Vec<Cell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Spread(Spread),
    Number(f64),
    Text(String),
    None,
}

/// What a cell should not exceed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    column: usize,
    at_most: f64,
    is_reached: bool,
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
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            profile: if cfg!(debug_assertions) { "not optimised: these figures say nothing" } else { "release" },
        }
    }
}

// === impl Column ===

impl Column {
    pub(crate) fn new(name: &'static str, decimals: usize) -> Self {
        Self { name, decimals }
    }
}

// === impl Row ===

impl Row {
    pub(crate) fn new(name: impl Into<String>, hash: &'static str, cells: Vec<Cell>) -> Self {
        Self { name: name.into(), hash, cells, targets: Vec::new() }
    }

    /// The same with a target for one of its cells, if it has one.
    pub(crate) fn at_most(mut self, column: usize, at_most: impl Into<Option<f64>>) -> Self {
        if let Some(at_most) = at_most.into() {
            let is_reached = self.cells.get(column).and_then(Cell::value).is_some_and(|value| value <= at_most);
            self.targets.push(Target { column, at_most, is_reached });
        }
        self
    }
}

// === impl Cell ===

impl Cell {
    /// Of several, the median.
    fn value(&self) -> Option<f64> {
        match self {
            Self::Spread(spread) => Some(spread.median),
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::None => None,
        }
    }
}
