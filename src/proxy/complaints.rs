//! Warnings of what goes wrong with requests: of each kind one in ten seconds, which says how many it stands for. A replica
//! that is gone fails every request, and must not fill a disk with that.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::model::FleetId;
use crate::proxy::errors::ForwardError;
use crate::proxy::outcome::Outcome;
use crate::routes::Upstream;

/// From one warning of a kind to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// Of all workers together. Only what fails comes here.
#[derive(Debug)]
pub(super) struct Complaints {
    started: Instant,
    by_outcome: [Limiter; Outcome::COUNT],
    accept: Limiter,
}

/// Lets one of a kind through, and counts those that it holds back.
#[derive(Debug, Default)]
struct Limiter {
    /// When the next may pass, in milliseconds.
    due: AtomicU64,
    held: AtomicU64,
}

// === impl Complaints ===

impl Default for Complaints {
    fn default() -> Self {
        let by_outcome = array::from_fn(|_| Limiter::default());
        Self { started: Instant::now(), by_outcome, accept: Limiter::default() }
    }
}

impl Complaints {
    /// A replica failed to answer.
    pub(super) fn on_try(&self, fleet: &FleetId, upstream: &Upstream, error: &ForwardError) {
        if let Some(held) = self.admits(Outcome::Own(error.reason())) {
            let (replica, reason) = (&upstream.name, error.reason().as_str());
            let error = error as &dyn std::error::Error;
            tracing::warn!(%fleet, %replica, reason, error, held, "a replica gave no answer");
        }
    }

    /// It broke off in the middle of one.
    pub(super) fn on_break(&self, fleet: &FleetId, upstream: &Upstream) {
        if let Some(held) = self.admits(Outcome::Broken) {
            tracing::warn!(%fleet, replica = %upstream.name, held, "a replica broke off in the middle of a response");
        }
    }

    /// Nobody was there who could be asked. Whoever was asked has been complained of.
    pub(super) fn on_no_answer(&self, fleet: &FleetId, error: &ForwardError) {
        if matches!(error, ForwardError::NoReplica | ForwardError::Full)
            && let Some(held) = self.admits(Outcome::Own(error.reason()))
        {
            tracing::warn!(%fleet, reason = error.reason().as_str(), held, "no replica can take requests");
        }
    }

    /// No connection could be accepted.
    pub(super) fn on_accept(&self, port: u16, error: &std::io::Error) {
        if let Some(held) = self.accept.admits(self.now()) {
            tracing::warn!(port, error = error as &dyn std::error::Error, held, "failed to accept");
        }
    }

    fn admits(&self, outcome: Outcome) -> Option<u64> {
        self.by_outcome[outcome.index()].admits(self.now())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Limiter ===

impl Limiter {
    /// Whether one may pass now, in milliseconds; and how many were held back before it.
    fn admits(&self, now: u64) -> Option<u64> {
        let due = self.due.load(Relaxed);
        let next = now + u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX);
        // Of several that come at once only one finds it as it was.
        if now < due || self.due.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            self.held.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.held.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_in_each_interval_and_tells_of_those_held_back() {
        let limiter = Limiter::default();
        let passed: Vec<_> = (0..25_000).step_by(100).filter_map(|now| Some((now, limiter.admits(now)?))).collect();
        assert_eq!(passed, [(0, 0), (10_000, 99), (20_000, 99)]);
    }
}
