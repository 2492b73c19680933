//! Choosing a replica: the ring's candidates in order, less those that can't serve right now.

use serde::Serialize;

use crate::model::{Ordinal, ReplicaName};
use crate::routes::{Lease, Route, Seat};

/// Why no replica could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// No replica is ready that was not tried already.
    #[error("no replica is ready")]
    NoReplica,
    /// All that are ready have as many requests as they may have.
    #[error("every ready replica has reached spec.limits.maxConcurrentPerReplica")]
    Full,
}

/// One candidate for a key, and whether it would be taken now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The member.
    pub ordinal: Ordinal,
    /// Who serves its keys.
    pub replica: Option<ReplicaName>,
    /// What a pick would say of it now.
    pub verdict: Verdict,
}

/// What a pick says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The first that can serve: gets the request.
    Taken,
    /// Could serve, but another comes first.
    Spare,
    /// No replica of this ordinal is ready.
    NotReady,
    /// The proxy skips it for now because it failed.
    Ejected,
    /// Slow start: this key is not among those that it gets already.
    Ramping,
    /// Bounded load: it has more than its share of the requests in flight.
    OverBound,
    /// It has as many requests as it may have.
    Full,
}

// === impl Route ===

impl Route {
    /// Leases the first candidate for this key that can serve now and is not among `tried`.
    ///
    /// A second round takes what the first left out of caution (ejected, ramping, over its bound): a replica that may
    /// fail is better than an error.
    ///
    /// # Errors
    /// [`PickError::NoReplica`] where nobody is ready, [`PickError::Full`] where all that are have reached their limit.
    pub fn pick(&self, hash: u64, tried: &[Ordinal]) -> Result<Lease, PickError> {
        let mut cautious = false;
        for member in self.ring.candidates(hash) {
            match self.seat(member).map(|seat| (seat, self.verdict(seat, hash))) {
                Some((seat, Verdict::Spare)) if !tried.contains(&seat.ordinal) => {
                    if let Some(lease) = self.lease(seat) {
                        return Ok(lease);
                    }
                }
                Some((_, Verdict::Ejected | Verdict::Ramping | Verdict::OverBound)) => cautious = true,
                _ => {}
            }
        }
        if cautious && let Some(lease) = self.second_round(hash, tried) {
            return Ok(lease);
        }
        let untried =
            |seat: &&Seat| seat.upstream.as_ref().is_some_and(|up| up.is_open()) && !tried.contains(&seat.ordinal);
        Err(if self.seats.iter().any(|seat| untried(&seat)) { PickError::Full } else { PickError::NoReplica })
    }

    /// All candidates for this key in order, with what a pick would say of each now.
    #[must_use]
    pub fn explain(&self, hash: u64) -> Vec<Candidate> {
        let mut list: Vec<Candidate> = self
            .ring
            .candidates(hash)
            .filter_map(|member| self.seat(member))
            .map(|seat| Candidate {
                ordinal: seat.ordinal,
                replica: seat.upstream.as_ref().map(|upstream| upstream.name.clone()),
                verdict: self.verdict(seat, hash),
            })
            .collect();
        let second_round = |candidate: &&mut Candidate| {
            matches!(candidate.verdict, Verdict::Ejected | Verdict::Ramping | Verdict::OverBound)
        };
        let taken = match list.iter().position(|candidate| candidate.verdict == Verdict::Spare) {
            Some(first) => list.get_mut(first),
            None => list.iter_mut().find(second_round),
        };
        if let Some(candidate) = taken {
            candidate.verdict = Verdict::Taken;
        }
        list
    }

    fn second_round(&self, hash: u64, tried: &[Ordinal]) -> Option<Lease> {
        self.ring
            .candidates(hash)
            .filter_map(|member| self.seat(member))
            .filter(|seat| !tried.contains(&seat.ordinal))
            .find_map(|seat| self.lease(seat))
    }

    fn lease(&self, seat: &Seat) -> Option<Lease> {
        let upstream = seat.upstream.as_ref()?;
        upstream.lease(self.policy.limits.max_concurrent_per_replica, self.policy.bounded_load.is_some())
    }

    /// [`Verdict::Spare`] for every seat that could serve; which of them is taken is the caller's choice.
    fn verdict(&self, seat: &Seat, hash: u64) -> Verdict {
        let Some(upstream) = seat.upstream.as_ref().filter(|upstream| upstream.is_open()) else {
            return Verdict::NotReady;
        };
        if upstream.is_ejected() {
            return Verdict::Ejected;
        }
        if !seat.admits(hash) {
            return Verdict::Ramping;
        }
        let limit = self.policy.limits.max_concurrent_per_replica;
        let in_flight = upstream.in_flight();
        if limit != 0 && in_flight >= limit as usize {
            return Verdict::Full;
        }
        match self.policy.bounded_load {
            Some(factor) if in_flight + 1 > self.bound(factor, seat.weight, upstream.fleet_in_flight()) => {
                Verdict::OverBound
            }
            _ => Verdict::Spare,
        }
    }

    /// The most requests that a replica may have: ⌈factor · (total + 1) · weight / eligible weight⌉
    /// (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016).
    fn bound(&self, factor: f64, weight: u16, total: usize) -> usize {
        let share = f64::from(weight) / self.eligible_weight.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, positive, rounded up")]
        let bound = (factor * (total + 1) as f64 * share).ceil() as usize;
        bound
    }
}
