//! Who may send to a replica: what workers and controller agree on, on atomics alone.
//!
//! Nothing but atomics is used here, so that `tests/loom` can compile this very file and try every interleaving. No
//! ordering is stronger than it has to be: with any of them weaker, that suite fails.
//!
//! # Closing
//!
//! A replica's requests and whether it takes more are one word. Taking a lease is one step on it: the request is counted,
//! or it is refused. So whoever has closed a [`Gate`] and then reads no request knows that none will come any more, and
//! whoever is refused by a closed one sees everything that was published before it was closed.
//!
//! # Bounded load
//!
//! With a factor `f`, a replica of weight `w` may have `⌈f · t · w / W⌉` of the `t` requests of its fleet, the new one
//! among them, where `W` is the weight of all that are eligible. A request enters the fleet's [`Total`] before it looks for
//! a replica and leaves it after its lease has been given back. Hence:
//!
//! - **The bound holds.** Everything in the total is a request that somebody waits for. Of `c` clients who each wait for
//!   their answer, no replica ever has more than `⌈f · c · w / W⌉`, whatever races.
//! - **Somebody is within it**, always, if `f ≥ 1`. The leases `b` of the eligible sum up to at most `t − 1`, for whoever
//!   looks is in the total and has none. So the one with the least `b / w` has `b / w ≤ (t − 1) / W < f · t / W`, and for
//!   whole numbers `b < x` means `b + 1 ≤ ⌈x⌉`.
//! - **Nobody waits for anybody.** A look that finds nobody within the bound came to that one after others had taken their
//!   leases there. So somebody else has got on, and looking once more is worth it.
//!
//! `t` counts the requests of replicas that are ejected or closed too, until they have ended, while `W` does not. So the
//! bound is wider while such requests last. And eligibility is told after it has changed: until then a replica that is
//! back from an ejection is taken by the `W` of those who stood in for it, and may exceed its bound for that moment. To
//! tell before would leave a moment in which it is counted and can't be taken, and nobody would be within the bound.
//!
//! Counting the lease before the total would be as safe, but a worker that is interrupted between the two would leave
//! all others without anybody to choose.

use super::sync::{AtomicU64, Ordering};

/// Counts one request in a [`Gate`].
const ONE: u64 = 1;
/// Counts one request towards the bound.
const ONE_BOUNDED: u64 = 1 << 32;
/// No more requests come.
const CLOSED: u64 = 1 << 63;

/// One replica's requests, and whether it takes more.
///
/// In one word: requests in the lower half; those of them that are in the fleet's [`Total`], above; one bit for closed.
#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU64,
}

/// A gate at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    word: u64,
}

/// The requests of a fleet under bounded load.
#[derive(Debug)]
pub(super) struct Total {
    requests: AtomicU64,
}

/// One request's place in its fleet's total, until a lease takes it over.
#[derive(Debug)]
pub(super) struct Place<'total> {
    total: &'total Total,
}

/// What a request has to fit into, at one replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// So many requests at one time; 0: no limit.
    pub(super) limit: u32,
    /// Of the fleet's requests, so many.
    pub(super) bound: Option<Bound>,
}

/// What a replica's bounded leases are below before one more is taken, as a fraction: `f · t · w / W`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) numerator: u128,
    pub(super) denominator: u128,
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    Full,
    OverBound,
}

/// What leases are taken of.
pub(super) trait Leased: Clone {
    fn gate(&self) -> &Gate;
    /// The total of its fleet.
    fn total(&self) -> &Total;
    /// It is closed, and its last lease has been given back.
    fn on_drained(&self);
}

/// The right to one request. Given back on drop.
#[derive(Debug)]
pub(super) struct Lease<R: Leased> {
    replica: R,
    is_bounded: bool,
}

// === impl Gate, Load ===

impl Gate {
    /// An open one.
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    pub(super) fn load(&self) -> Load {
        Load { word: self.word.load(Ordering::Acquire) }
    }

    /// True if it was closed.
    pub(super) fn open(&self) -> bool {
        // In order it becomes known by the table that is published after that.
        Load { word: self.word.fetch_and(!CLOSED, Ordering::Relaxed) }.is_closed()
    }

    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::Release);
    }

    /// Counts a request if the terms allow it at that very moment.
    fn enter(&self, one: u64, terms: Terms) -> Result<(), Refusal> {
        let mut load = self.load();
        loop {
            terms.check(load)?;
            match self.word.compare_exchange_weak(load.word, load.word + one, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(word) => load = Load { word },
            }
        }
    }

    /// Returns how that leaves it.
    fn leave(&self, one: u64) -> Load {
        Load { word: self.word.fetch_sub(one, Ordering::Release) - one }
    }
}

impl Load {
    pub(super) fn is_closed(self) -> bool {
        self.word & CLOSED != 0
    }

    pub(super) fn requests(self) -> u32 {
        (self.word & (ONE_BOUNDED - 1)) as u32
    }

    /// Those that count towards the bound: all but those that began while there was none.
    pub(super) fn bounded(self) -> u64 {
        (self.word & !CLOSED) / ONE_BOUNDED
    }
}

// === impl Total, Place ===

impl Total {
    pub(super) fn new() -> Self {
        Self { requests: AtomicU64::new(0) }
    }

    /// Counts a request that is about to look for a replica.
    pub(super) fn enter(&self) -> Place<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed); // in order it is read after that, by `Place::requests`
        Place { total: self }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }

    fn leave(&self) {
        self.requests.fetch_sub(1, Ordering::Release);
    }
}

impl Place<'_> {
    /// The total, with this one in it.
    pub(super) fn requests(&self) -> u64 {
        self.total.requests()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.total.leave();
    }
}

// === impl Terms, Bound ===

impl Terms {
    /// Whether one more request fits.
    pub(super) fn check(self, load: Load) -> Result<(), Refusal> {
        if load.is_closed() {
            return Err(Refusal::Closed);
        }
        if self.limit != 0 && load.requests() >= self.limit {
            return Err(Refusal::Full);
        }
        if self.bound.is_some_and(|bound| !bound.admits(load.bounded())) {
            return Err(Refusal::OverBound);
        }
        Ok(())
    }
}

impl Bound {
    fn admits(self, bounded: u64) -> bool {
        u128::from(bounded) * self.denominator < self.numerator
    }
}

// === impl Lease ===

impl<R: Leased> Lease<R> {
    /// Takes a lease, which takes over the request's place in the total where it has one.
    pub(super) fn take(replica: &R, terms: Terms, place: &mut Option<Place<'_>>) -> Result<Self, Refusal> {
        let is_bounded = place.is_some();
        replica.gate().enter(step(is_bounded), terms)?;
        if let Some(place) = place.take() {
            debug_assert!(std::ptr::eq(place.total, replica.total()), "a request has a place in its own fleet");
            std::mem::forget(place); // this lease leaves the total in its stead
        }
        Ok(Self { replica: replica.clone(), is_bounded })
    }

    pub(super) fn replica(&self) -> &R {
        &self.replica
    }
}

/// What one request adds to a gate.
fn step(is_bounded: bool) -> u64 {
    if is_bounded { ONE + ONE_BOUNDED } else { ONE }
}

impl<R: Leased> Drop for Lease<R> {
    fn drop(&mut self) {
        let left = self.replica.gate().leave(step(self.is_bounded));
        if self.is_bounded {
            self.replica.total().leave();
        }
        if left.is_closed() && left.requests() == 0 {
            self.replica.on_drained();
        }
    }
}
