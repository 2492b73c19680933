//! Passive ejection: what real requests say about a replica, faster than any probe.
//!
//! A refused connection ejects at once, other failures after five in a row. Ejection is a hint, not a verdict: the ring
//! stays, the controller decides whether to replace, a timer brings the replica back, and when all others fail an
//! ejected one is tried after all.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::ReplicaUid;
use crate::routes::{Route, Upstream};

/// Failures in a row that eject.
const FAILURES_IN_A_ROW: u32 = 5;
/// The length of an ejection grows no further than this multiple.
const LONGEST: u32 = 10;

/// How a try went wrong, as far as the replica is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody listens there, or nobody is there.
    Unreachable,
    /// Connect timeout, reset, garbage, or no answer in time.
    Failed,
    /// Our own fault, or the client's.
    NotTheirs,
}

/// Who was ejected, shared by all workers. Only failures come here.
#[derive(Debug)]
pub(super) struct Health {
    base: Duration,
    ejected: Mutex<HashMap<ReplicaUid, Ejection>>,
}

#[derive(Debug, Clone, Copy)]
struct Ejection {
    /// Which in a row.
    count: u32,
    /// When it ends.
    until: Instant,
}

// === impl Failure ===

impl Failure {
    /// What a failed connect says. Running out of ports or descriptors says nothing about the replica.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::ConnectionReset => Self::Unreachable,
            io::ErrorKind::TimedOut => Self::Failed,
            _ => Self::NotTheirs,
        }
    }
}

// === impl Health ===

impl Health {
    pub(super) fn new(base: Duration) -> Self {
        Self { base, ejected: Mutex::default() }
    }

    /// Counts a failure. If it ejects the replica, returns for how long; the caller calls [`Health::on_timer`] then.
    pub(super) fn on_failure(&self, route: &Route, upstream: &Arc<Upstream>, failure: Failure) -> Option<Duration> {
        let in_a_row = match failure {
            Failure::NotTheirs => return None,
            Failure::Unreachable | Failure::Failed => upstream.record_failure(),
        };
        if upstream.is_ejected() || (failure == Failure::Failed && in_a_row < FAILURES_IN_A_ROW) {
            return None;
        }
        let mut ejected = self.ejected.lock().unwrap_or_else(PoisonError::into_inner);
        if !may_eject(route) || !upstream.eject() {
            return None;
        }
        let now = Instant::now();
        // What ended longer ago than it lasted no longer counts.
        ejected.retain(|_, past| past.until + self.base * past.count > now);
        let count = ejected.get(&upstream.uid).map_or(1, |past| (past.count + 1).min(LONGEST));
        let span = self.base * count;
        ejected.insert(upstream.uid.clone(), Ejection { count, until: now + span });
        Some(span)
    }

    /// Brings a replica back whose time is over. A newer ejection has a timer of its own.
    pub(super) fn on_timer(&self, upstream: &Upstream) {
        let ejected = self.ejected.lock().unwrap_or_else(PoisonError::into_inner);
        if ejected.get(&upstream.uid).is_none_or(|ejection| ejection.until <= Instant::now()) {
            upstream.restore();
        }
    }
}

/// Never the last that serves, and at most a third of the fleet (but one).
fn may_eject(route: &Route) -> bool {
    let serving = route.seats().iter().filter_map(|seat| seat.upstream.as_ref()).filter(|upstream| upstream.is_open());
    let (mut all, mut out) = (0_usize, 0_usize);
    for upstream in serving {
        all += 1;
        out += usize::from(upstream.is_ejected());
    }
    out < (all / 3).max(1) && out + 1 < all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_of_an_ejection_does_not_end_a_newer_one() {
        let (health, upstream) = (Health::new(Duration::from_secs(30)), Upstream::mk_alone());
        let ejected_until = |until| {
            upstream.eject();
            health.ejected.lock().unwrap().insert(upstream.uid.clone(), Ejection { count: 2, until });
        };
        let now = Instant::now();
        ejected_until(now + Duration::from_secs(60));
        health.on_timer(&upstream);
        assert!(upstream.is_ejected());
        ejected_until(now);
        health.on_timer(&upstream);
        assert!(!upstream.is_ejected());
    }
}
