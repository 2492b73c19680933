//! Warnings of what goes wrong with requests: of each kind one in ten seconds for each LoadBalancer, which says how many it
//! stands for. A replica that is gone fails every request, and must not fill a disk with that.

use std::array;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    /// Weak, for who routes to a LoadBalancer keeps its own.
    fleets: Mutex<HashMap<FleetId, Weak<FleetComplaints>>>,
    accept: Limiter,
}

/// Of one LoadBalancer.
#[derive(Debug)]
pub(super) struct FleetComplaints {
    id: FleetId,
    started: Instant,
    by_outcome: [Limiter; Outcome::COUNT],
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
        Self { started: Instant::now(), fleets: Mutex::default(), accept: Limiter::default() }
    }
}

impl Complaints {
    /// For a worker that routes to this LoadBalancer; it has to keep it as long as it does.
    pub(super) fn of(&self, id: &FleetId) -> Arc<FleetComplaints> {
        let mut fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fleet) = fleets.get(id).and_then(Weak::upgrade) {
            return fleet;
        }
        fleets.retain(|_, fleet| fleet.strong_count() > 0);
        let by_outcome = array::from_fn(|_| Limiter::default());
        let fleet = Arc::new(FleetComplaints { id: id.clone(), started: self.started, by_outcome });
        fleets.insert(id.clone(), Arc::downgrade(&fleet));
        fleet
    }

    /// No connection could be accepted.
    pub(super) fn on_accept(&self, port: u16, error: &std::io::Error) {
        if let Some(held) = self.accept.admits(millis_since(self.started)) {
            tracing::warn!(port, error = error as &dyn std::error::Error, held, "failed to accept");
        }
    }
}

// === impl FleetComplaints ===

impl FleetComplaints {
    /// A replica failed to answer.
    pub(super) fn on_try(&self, upstream: &Upstream, error: &ForwardError) {
        if let Some(held) = self.admits(Outcome::Own(error.reason())) {
            let (fleet, replica, reason) = (&self.id, &upstream.name, error.reason().as_str());
            let error = error as &dyn std::error::Error;
            tracing::warn!(%fleet, %replica, reason, error, held, "a replica gave no answer");
        }
    }

    /// It broke off in the middle of one.
    pub(super) fn on_break(&self, upstream: &Upstream) {
        if let Some(held) = self.admits(Outcome::Broken) {
            let (fleet, replica) = (&self.id, &upstream.name);
            tracing::warn!(%fleet, %replica, held, "a replica broke off in the middle of a response");
        }
    }

    /// Nobody was there who could be asked. Whoever was asked has been complained of.
    pub(super) fn on_no_answer(&self, error: &ForwardError) {
        if matches!(error, ForwardError::NoReplica | ForwardError::Full)
            && let Some(held) = self.admits(Outcome::Own(error.reason()))
        {
            tracing::warn!(fleet = %self.id, reason = error.reason().as_str(), held, "no replica can take requests");
        }
    }

    fn admits(&self, outcome: Outcome) -> Option<u64> {
        self.by_outcome[outcome.index()].admits(millis_since(self.started))
    }
}

fn millis_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_millis()).unwrap_or(u64::MAX)
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

    #[test]
    fn a_load_balancer_that_fails_much_hides_no_other() {
        let (complaints, [a, b]) = (Complaints::default(), [FleetId::local("a"), FleetId::local("b")]);
        let loud = complaints.of(&a);
        let held: Vec<_> = (0..100).filter_map(|_| loud.admits(Outcome::Broken)).collect();
        assert_eq!(held, [0]);
        assert_eq!(complaints.of(&a).admits(Outcome::Broken), None, "all workers have one limit");
        assert_eq!(complaints.of(&b).admits(Outcome::Broken), Some(0));
    }
}
