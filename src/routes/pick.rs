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
    /// A candidate has left since this route was published: the newer one may name its successor.
    #[error("the route has been replaced")]
    Outdated,
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

/// Bounded load at the moment of a pick.
#[derive(Debug, Clone, Copy)]
struct Bound {
    factor: f64,
    /// Sum of the weights of the replicas that may share the load now.
    eligible_weight: u64,
}

/// How willingly a candidate is taken, best first. Within one rank the less loaded, then the earlier in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Spare,
    /// Requests in flight, relative to the weight.
    OverBound(u64),
    Ramping,
    Ejected,
}

// === impl Route ===

impl Route {
    /// Leases the first candidate for this key that can serve now and is not among `tried`.
    ///
    /// Where there is none, it takes one that was left out of caution, the least doubtful first: over its bound, then
    /// ramping, then ejected. A replica that may fail is better than an error.
    ///
    /// A replica closes only after a table without it was published. So who meets a closed one holds an older route, and
    /// must not pass its ordinal over: by now another replica may serve its keys.
    ///
    /// # Errors
    /// [`PickError::NoReplica`] where nobody is ready, [`PickError::Full`] where all that are have reached their limit,
    /// [`PickError::Outdated`] where the newest route should be asked instead.
    pub fn pick(&self, hash: u64, tried: &[Ordinal]) -> Result<Lease, PickError> {
        let bound = self.bound();
        // A lease that fails met a race: the next look sees that replica full or closed.
        for _ in 0..=self.seats.len() {
            let Some(seat) = self.best(hash, tried, bound)? else { break };
            if let Some(lease) = self.lease(seat) {
                return Ok(lease);
            }
        }
        let untried =
            |seat: &&Seat| seat.upstream.as_ref().is_some_and(|up| up.is_open()) && !tried.contains(&seat.ordinal);
        Err(if self.seats.iter().any(|seat| untried(&seat)) { PickError::Full } else { PickError::NoReplica })
    }

    /// All candidates for this key in order, with what a pick would say of each now.
    #[must_use]
    pub fn explain(&self, hash: u64) -> Vec<Candidate> {
        let bound = self.bound();
        let seats: Vec<&Seat> = self.ring.candidates(hash).filter_map(|member| self.seat(member)).collect();
        let mut candidates: Vec<Candidate> = seats
            .iter()
            .map(|seat| Candidate {
                ordinal: seat.ordinal,
                replica: seat.upstream.as_ref().map(|upstream| upstream.name.clone()),
                verdict: self.verdict(seat, hash, bound),
            })
            .collect();
        let ranks = candidates.iter().zip(seats).map(|(candidate, seat)| Rank::new(candidate.verdict, seat));
        let best = ranks.enumerate().filter_map(|(index, rank)| Some((rank?, index))).min();
        if let Some((_, taken)) = best {
            candidates[taken].verdict = Verdict::Taken;
        }
        candidates
    }

    fn best(&self, hash: u64, tried: &[Ordinal], bound: Option<Bound>) -> Result<Option<&Seat>, PickError> {
        let mut best: Option<(Rank, &Seat)> = None;
        for seat in self.ring.candidates(hash).filter_map(|member| self.seat(member)) {
            if tried.contains(&seat.ordinal) {
                continue;
            }
            if seat.upstream.as_ref().is_some_and(|upstream| !upstream.is_open()) {
                return Err(PickError::Outdated);
            }
            match Rank::new(self.verdict(seat, hash, bound), seat) {
                Some(Rank::Spare) => return Ok(Some(seat)),
                Some(rank) if best.is_none_or(|(least, _)| rank < least) => best = Some((rank, seat)),
                _ => {}
            }
        }
        Ok(best.map(|(_, seat)| seat))
    }

    fn lease(&self, seat: &Seat) -> Option<Lease> {
        let upstream = seat.upstream.as_ref()?;
        upstream.lease(self.policy.limits.max_concurrent_per_replica, self.policy.bounded_load.is_some())
    }

    /// [`Verdict::Spare`] for every seat that could serve; which of them is taken is the caller's choice.
    fn verdict(&self, seat: &Seat, hash: u64, bound: Option<Bound>) -> Verdict {
        let Some(upstream) = seat.upstream.as_ref().filter(|upstream| upstream.is_open()) else {
            return Verdict::NotReady;
        };
        let limit = self.policy.limits.max_concurrent_per_replica;
        let in_flight = upstream.in_flight();
        if limit != 0 && in_flight >= limit as usize {
            return Verdict::Full;
        }
        if upstream.is_ejected() {
            return Verdict::Ejected;
        }
        if !seat.admits(hash) {
            return Verdict::Ramping;
        }
        match bound {
            Some(bound) if in_flight + 1 > bound.of(seat.weight, upstream.fleet_in_flight()) => Verdict::OverBound,
            _ => Verdict::Spare,
        }
    }

    /// Who is ejected takes no load, so its share has to fit on the others.
    fn bound(&self) -> Option<Bound> {
        let factor = self.policy.bounded_load?;
        let shares = |seat: &&Seat| seat.upstream.as_ref().is_some_and(|up| up.is_open() && !up.is_ejected());
        let eligible_weight = self.seats.iter().filter(shares).map(|seat| u64::from(seat.weight)).sum();
        Some(Bound { factor, eligible_weight })
    }
}

// === impl Bound ===

impl Bound {
    /// The most requests that a replica may have: ⌈factor · (total + 1) · weight / eligible weight⌉
    /// (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016).
    fn of(self, weight: u16, total: usize) -> usize {
        let share = f64::from(weight) / self.eligible_weight.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, positive, rounded up")]
        let bound = (self.factor * (total + 1) as f64 * share).ceil() as usize;
        bound
    }
}

// === impl Rank ===

impl Rank {
    /// `None`: can't be taken at all.
    fn new(verdict: Verdict, seat: &Seat) -> Option<Self> {
        match verdict {
            Verdict::Taken | Verdict::Spare => Some(Self::Spare),
            Verdict::OverBound => {
                let in_flight = seat.upstream.as_ref().map_or(0, |upstream| upstream.in_flight() as u64);
                Some(Self::OverBound((in_flight << 16) / u64::from(seat.weight.max(1))))
            }
            Verdict::Ramping => Some(Self::Ramping),
            Verdict::Ejected => Some(Self::Ejected),
            Verdict::NotReady | Verdict::Full => None,
        }
    }
}
