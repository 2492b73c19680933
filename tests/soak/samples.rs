//! What the process has, looked at again and again, and whether its memory grows.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use crate::churn::Stage;
use crate::ringhold::Has;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// What the last quarter of the time may have over the second: the allocator keeps pages, the peaks of both quarters
/// differ by chance, and a leak of ten bytes a request shows in ten minutes as more than this.
const GROWTH: f64 = 1.05;
/// And in KiB.
const ALLOWANCE: f64 = 4096.0;

/// One look.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// Requests since the last look, a second.
    pub(crate) rate: f64,
    #[serde(flatten)]
    pub(crate) has: Has,
}

/// Looks for as long as clients ask.
pub(crate) async fn take(stage: &Stage, length: Duration) -> anyhow::Result<Vec<Sample>> {
    let (began, mut samples) = (Instant::now(), Vec::new());
    let (mut ended, mut at) = (stage.shared.ledger.lock().ended, began);
    while began.elapsed() < length {
        sleep(INTERVAL.min(length.saturating_sub(began.elapsed()))).await;
        let (now, count) = (Instant::now(), stage.shared.ledger.lock().ended);
        let rate = (count - ended) as f64 / (now - at).as_secs_f64();
        samples.push(Sample { seconds: (now - began).as_secs_f64(), rate, has: stage.ringhold.has()? });
        (ended, at) = (count, now);
    }
    Ok(samples)
}

/// The medians of the second and of the last quarter, in KiB, and whether the last is not above what it may be.
pub(crate) fn memory(samples: &[Sample]) -> (f64, f64, bool) {
    let quarter = samples.len() / 4;
    let median = |samples: &[Sample]| {
        let mut memory: Vec<u64> = samples.iter().map(|sample| sample.has.memory).collect();
        memory.sort_unstable();
        memory.get(memory.len() / 2).map_or(0.0, |median| *median as f64)
    };
    let (second, last) = (median(&samples[quarter..2 * quarter]), median(&samples[samples.len() - quarter..]));
    (second, last, last <= second * GROWTH + ALLOWANCE)
}
