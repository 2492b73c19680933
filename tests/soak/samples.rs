//! What the process has, looked at again and again, and whether its memory grows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use crate::churn::Stage;
use crate::ringhold::Has;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// What the last quarter of the time may have over the second: the allocator keeps pages, and what both quarters
/// need differs by chance. A leak of thirty bytes a request is more than this after ten minutes, at a thousand requests a second.
const GROWTH: f64 = 1.05;
/// And in KiB.
const ALLOWANCE: f64 = 4096.0;
/// In less time it is still warming up, and nothing can be said.
const LEAST: f64 = 110.0;

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

/// How long replicas were on their way out: whose requests never end, though their clients have gone, has leaked some.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    since: BTreeMap<String, f64>,
    pub(crate) longest: f64,
}

/// Looks for as long as clients ask.
pub(crate) async fn take(stage: &Stage, length: Duration) -> anyhow::Result<(Vec<Sample>, Drains)> {
    let (began, mut samples, mut drains) = (Instant::now(), Vec::new(), Drains::default());
    let (mut ended, mut at) = (stage.shared.ledger.lock().ended, began);
    while began.elapsed() < length {
        sleep(INTERVAL.min(length.saturating_sub(began.elapsed()))).await;
        let (now, count) = (Instant::now(), stage.shared.ledger.lock().ended);
        let rate = (count - ended) as f64 / (now - at).as_secs_f64();
        let seconds = (now - began).as_secs_f64();
        samples.push(Sample { seconds, rate, has: stage.ringhold.has()? });
        (ended, at) = (count, now);
        drains.look(stage, seconds).await?;
    }
    Ok((samples, drains))
}

/// The medians of the second and of the last quarter, in KiB; and whether the last is not above what it may be, if that
/// can be said.
pub(crate) fn memory(samples: &[Sample]) -> (f64, f64, Option<bool>) {
    let quarter = samples.len() / 4;
    let median = |samples: &[Sample]| {
        let mut memory: Vec<u64> = samples.iter().map(|sample| sample.has.memory).collect();
        memory.sort_unstable();
        memory.get(memory.len() / 2).map_or(0.0, |median| *median as f64)
    };
    let (second, last) = (median(&samples[quarter..2 * quarter]), median(&samples[samples.len() - quarter..]));
    let is_long = samples.last().is_some_and(|sample| sample.seconds >= LEAST);
    (second, last, is_long.then_some(last <= second * GROWTH + ALLOWANCE))
}

// === impl Drains ===

impl Drains {
    async fn look(&mut self, stage: &Stage, now: f64) -> anyhow::Result<()> {
        let mut draining = BTreeMap::new();
        for fleet in ["web", "secure"] {
            let shown = stage.ringhold.show(fleet).await?.unwrap_or_default();
            let replicas = shown["replicas"].as_array().into_iter().flatten();
            for name in replicas.filter(|replica| replica["state"] == "Draining").filter_map(|it| it["name"].as_str()) {
                let since = self.since.get(name).copied().unwrap_or(now);
                self.longest = self.longest.max(now - since);
                draining.insert(name.to_owned(), since);
            }
        }
        self.since = draining;
        Ok(())
    }
}
