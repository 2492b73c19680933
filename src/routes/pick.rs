//! Choosing a replica: the ring's candidates in order, less those that can't serve right now.

use std::cmp::Ordering;

use serde::Serialize;

use crate::model::{Ordinal, ReplicaName};
use crate::routes::bounded::{self, BoundedLoad, Share};
use crate::routes::gate::{Place, Refusal, Terms};
use crate::routes::{Lease, Route, Seat};

/// A lost race repeats a look at all candidates, at most so often. Each was lost to a lease that another worker took
/// meanwhile, so that as many in a row don't happen; if they did, serving would matter more than the bound.
const LOOKS: usize = 64;

/// A choice, leased.
#[derive(Debug)]
pub struct Pick {
    /// The right to send the request.
    pub lease: Lease,
    /// What became of the key's first candidate: [`Verdict::Taken`], or why it was passed over.
    pub first: Verdict,
    /// What would have kept this replica from being taken, had anybody been free of doubt.
    pub despite: Option<Verdict>,
}

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
    /// It failed for this request already.
    Failed,
    /// The proxy skips it for now because it failed.
    Ejected,
    /// Slow start: this key is not among those that it gets already.
    Ramping,
    /// Bounded load: it has its share of the requests in flight already.
    OverBound,
    /// It has as many requests as it may have.
    Full,
}

/// How willingly a candidate is taken, best first. Within one rank the less loaded, then the earlier in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Spare,
    Ramping,
    OverBound(RelativeLoad),
    Ejected,
}

/// Requests that count towards the bound, in proportion to a weight.
#[derive(Debug, Clone, Copy)]
struct RelativeLoad {
    bounded: u64,
    weight: u64,
}

/// All candidates at one look, none of whom could simply be taken.
#[derive(Default)]
struct Doubtful<'route> {
    /// The key's first candidate and what is to be said of it.
    first: Option<(Ordinal, Verdict)>,
    /// The least doubtful.
    best: Option<(Rank, Verdict, &'route Seat)>,
}

// === impl Route ===

impl Route {
    /// Leases the first candidate for this key that can serve now and is not among `tried`.
    ///
    /// Where there is none, it takes one that was left out of caution, the least doubtful first: ramping, then over its
    /// bound, then ejected. A replica that may fail is better than an error. But the bound gives way only to what no
    /// other load can bring about: the replica that is due can't have this request, for it is full or failed already.
    ///
    /// A replica closes only after a table without it was published. So who meets a closed one holds an older route, and
    /// must not pass its ordinal over: by now another replica may serve its keys.
    ///
    /// # Errors
    /// [`PickError::NoReplica`] where nobody is ready, [`PickError::Full`] where each had reached its limit when it was
    /// asked, [`PickError::Outdated`] where the newest route should be asked instead.
    pub fn pick(&self, hash: u64, tried: &[Ordinal]) -> Result<Pick, PickError> {
        let mut place = self.bounded.as_ref().map(BoundedLoad::enter);
        for look in 1..=LOOKS {
            let share = self.share(place.as_ref().map(Place::requests), look > 1);
            let doubtful = match self.look(hash, tried, share, &mut place)? {
                Ok(pick) => return Ok(pick),
                Err(doubtful) => doubtful,
            };
            let Some((rank, verdict, seat)) = doubtful.best else { break };
            let share = match rank {
                Rank::Spare | Rank::Ramping if look < LOOKS => share,
                Rank::OverBound(_) if look < LOOKS && !self.is_due_out_of_reach(tried) => continue,
                Rank::Spare | Rank::Ramping | Rank::OverBound(_) | Rank::Ejected => None,
            };
            if let Ok(lease) = self.lease(seat, share, &mut place)? {
                return Ok(Pick { lease, first: doubtful.first(seat), despite: Some(verdict) });
            }
        }
        let untried =
            |seat: &&Seat| seat.upstream.as_ref().is_some_and(|up| up.is_open()) && !tried.contains(&seat.ordinal);
        Err(if self.seats.iter().any(|seat| untried(&seat)) { PickError::Full } else { PickError::NoReplica })
    }

    /// All candidates for this key in order, with what a pick would say of each now.
    #[must_use]
    pub fn explain(&self, hash: u64) -> Vec<Candidate> {
        let share = self.share(self.bounded.as_ref().map(|bounded| bounded.requests() + 1), false);
        let seats: Vec<&Seat> = self.ring.candidates(hash).filter_map(|member| self.seat(member)).collect();
        let mut candidates: Vec<Candidate> = seats
            .iter()
            .map(|seat| Candidate {
                ordinal: seat.ordinal,
                replica: seat.upstream.as_ref().map(|upstream| upstream.name.clone()),
                verdict: self.verdict(seat, seat.is_ejected(), hash, share).unwrap_or(Verdict::NotReady),
            })
            .collect();
        let ranks = candidates.iter().zip(seats).map(|(candidate, seat)| Rank::new(candidate.verdict, seat));
        let best = ranks.enumerate().filter_map(|(index, rank)| Some((rank?, index))).min();
        if let Some((_, taken)) = best {
            candidates[taken].verdict = Verdict::Taken;
        }
        candidates
    }

    /// Goes through the candidates once, and takes the first that can simply serve.
    fn look(
        &self,
        hash: u64,
        tried: &[Ordinal],
        share: Option<Share>,
        place: &mut Option<Place<'_>>,
    ) -> Result<Result<Pick, Doubtful<'_>>, PickError> {
        let mut doubtful = Doubtful::default();
        for seat in self.ring.candidates(hash).filter_map(|member| self.seat(member)) {
            let taken =
                if tried.contains(&seat.ordinal) { Err(Verdict::Failed) } else { self.take(seat, hash, share, place)? };
            match taken {
                Ok(lease) => return Ok(Ok(Pick { lease, first: doubtful.first(seat), despite: None })),
                Err(verdict) => doubtful.add(verdict, seat),
            }
        }
        Ok(Err(doubtful))
    }

    /// Whether the one that is due by load, who is within the bound whatever happens, can't have this request. If it
    /// can, a look in which all were over their bound has lost a race.
    fn is_due_out_of_reach(&self, tried: &[Ordinal]) -> bool {
        let eligible = self.seats.iter().filter(|seat| seat.is_eligible());
        let due = eligible.min_by_key(|seat| RelativeLoad::of(seat));
        let is_full = |seat: &Seat| {
            let load = seat.upstream.as_ref().map(|upstream| upstream.load());
            load.is_some_and(|load| self.terms(seat, None).check(load) == Err(Refusal::Full))
        };
        due.is_none_or(|seat| tried.contains(&seat.ordinal) || is_full(seat))
    }

    /// Leases this one, if nothing is to be said against it.
    fn take(
        &self,
        seat: &Seat,
        hash: u64,
        share: Option<Share>,
        place: &mut Option<Place<'_>>,
    ) -> Result<Result<Lease, Verdict>, PickError> {
        let is_ejected = seat.is_ejected();
        if is_ejected || !seat.admits(hash) {
            return self.verdict(seat, is_ejected, hash, share).map(Err);
        }
        self.lease(seat, share, place)
    }

    fn lease(
        &self,
        seat: &Seat,
        share: Option<Share>,
        place: &mut Option<Place<'_>>,
    ) -> Result<Result<Lease, Verdict>, PickError> {
        let Some(upstream) = &seat.upstream else { return Ok(Err(Verdict::NotReady)) };
        match upstream.lease(self.terms(seat, share), place) {
            Ok(lease) => Ok(Ok(lease)),
            Err(refusal) => Verdict::new(refusal).map(Err),
        }
    }

    /// [`Verdict::Spare`] for every seat that could serve; which of them is taken is the caller's choice.
    fn verdict(&self, seat: &Seat, is_ejected: bool, hash: u64, share: Option<Share>) -> Result<Verdict, PickError> {
        let Some(upstream) = &seat.upstream else { return Ok(Verdict::NotReady) };
        match self.terms(seat, share).check(upstream.load()) {
            Err(Refusal::OverBound) | Ok(()) if is_ejected => Ok(Verdict::Ejected),
            Err(refusal) => Verdict::new(refusal),
            Ok(()) if !seat.admits(hash) => Ok(Verdict::Ramping),
            Ok(()) => Ok(Verdict::Spare),
        }
    }

    fn terms(&self, seat: &Seat, share: Option<Share>) -> Terms {
        let bound = share.map(|share| share.of(seat.effective_weight()));
        Terms { limit: self.policy.limits.max_concurrent_per_replica, bound }
    }

    /// What a replica may have while its fleet has so many requests. Who lost a race looks for itself who is eligible:
    /// whoever says so may be interrupted before it has told.
    fn share(&self, requests: Option<u64>, is_careful: bool) -> Option<Share> {
        let bounded = self.bounded.as_ref()?;
        let weight =
            if is_careful { bounded::eligible_weight(&self.seats) } else { bounded.eligible_weight(&self.seats) };
        Some(bounded.share(requests?, weight))
    }
}

// === impl Doubtful ===

impl<'route> Doubtful<'route> {
    fn add(&mut self, verdict: Verdict, seat: &'route Seat) {
        self.first.get_or_insert((seat.ordinal, verdict));
        if let Some(rank) = Rank::new(verdict, seat)
            && self.best.is_none_or(|(least, ..)| rank < least)
        {
            self.best = Some((rank, verdict, seat));
        }
    }

    /// What became of the first candidate, now that this one is taken.
    fn first(&self, taken: &Seat) -> Verdict {
        self.first.filter(|(ordinal, _)| *ordinal != taken.ordinal).map_or(Verdict::Taken, |(_, verdict)| verdict)
    }
}

// === impl Rank, RelativeLoad ===

impl Rank {
    /// `None`: can't be taken at all.
    fn new(verdict: Verdict, seat: &Seat) -> Option<Self> {
        match verdict {
            Verdict::Taken | Verdict::Spare => Some(Self::Spare),
            Verdict::Ramping => Some(Self::Ramping),
            Verdict::OverBound => Some(Self::OverBound(RelativeLoad::of(seat))),
            Verdict::Ejected => Some(Self::Ejected),
            Verdict::NotReady | Verdict::Full | Verdict::Failed => None,
        }
    }
}

impl RelativeLoad {
    fn of(seat: &Seat) -> Self {
        let bounded = seat.upstream.as_ref().map_or(0, |upstream| upstream.load().bounded());
        Self { bounded, weight: seat.effective_weight() }
    }
}

impl Ord for RelativeLoad {
    /// Both are below 2³².
    fn cmp(&self, other: &Self) -> Ordering {
        (self.bounded * other.weight).cmp(&(other.bounded * self.weight))
    }
}

impl PartialOrd for RelativeLoad {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RelativeLoad {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for RelativeLoad {}

// === impl Verdict ===

impl Verdict {
    /// Each at its own number.
    pub const ALL: [Self; 8] = [
        Self::Taken,
        Self::Spare,
        Self::NotReady,
        Self::Failed,
        Self::Ejected,
        Self::Ramping,
        Self::OverBound,
        Self::Full,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "Taken",
            Self::Spare => "Spare",
            Self::NotReady => "NotReady",
            Self::Failed => "Failed",
            Self::Ejected => "Ejected",
            Self::Ramping => "Ramping",
            Self::OverBound => "OverBound",
            Self::Full => "Full",
        }
    }

    fn new(refusal: Refusal) -> Result<Self, PickError> {
        match refusal {
            Refusal::Closed => Err(PickError::Outdated),
            Refusal::Full => Ok(Self::Full),
            Refusal::OverBound => Ok(Self::OverBound),
        }
    }
}
