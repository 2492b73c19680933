//! What several measurements of one thing come to.

use std::time::Duration;

use serde::Serialize;

/// Times, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(pub(crate) Vec<Duration>);

/// What is told of a series; times in seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

// === impl Series ===

impl Series {
    pub(crate) fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = |percent| quantile(&sorted, percent).as_secs_f64();
        Summary { count: sorted.len(), median: at(50), p99: at(99), least: at(0), most: at(100) }
    }
}

/// The nearest rank.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
