//! Bounded load: how many requests a replica may have, given those of its fleet (Mirrokni, Thorup, Zadimoghaddam:
//! Consistent Hashing with Bounded Loads, 2016). What it promises, and why that holds, is told in [`gate`](super::gate).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::routes::Seat;
use crate::routes::gate::{Bound, Place, Total};

/// The factor is kept in whole millionths: sums of decimals round, and a bound that is off by one is no bound.
const MILLION: u64 = 1_000_000;

/// Bits of an eligible weight: 65,535 seats of weight 65,535, each in 256ths, need no more.
const WEIGHT_BITS: u32 = 40;

/// What the replicas of one fleet have in common; it survives every swap, as they do.
#[derive(Debug)]
pub(super) struct FleetLoad {
    /// Touched only under bounded load.
    total: CachePadded<Total>,
    /// Counts how often a replica became eligible or ceased to be. By itself, for it is read far more often than written.
    changes: CachePadded<AtomicU64>,
}

/// A route's bounded load.
#[derive(Debug)]
pub(super) struct BoundedLoad {
    /// Millionths; at least a million.
    factor: u64,
    fleet: Arc<FleetLoad>,
    /// The weight of the eligible seats, below the number of changes at which it was summed up.
    eligible: AtomicU64,
}

/// The bound at the moment of one look, still without a replica's weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    numerator: u128,
    denominator: u128,
}

// === impl FleetLoad ===

impl FleetLoad {
    pub(super) fn total(&self) -> &Total {
        &self.total
    }

    /// A replica has become eligible or has ceased to be. Told after the fact: a sum made in between counts as old.
    pub(super) fn on_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }
}

impl Default for FleetLoad {
    fn default() -> Self {
        Self { total: CachePadded::new(Total::new()), changes: CachePadded::default() }
    }
}

// === impl BoundedLoad ===

impl BoundedLoad {
    pub(super) fn new(factor: f64, fleet: Arc<FleetLoad>) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 100, says the spec")]
        let factor = (factor * MILLION as f64).round() as u64;
        let never = fleet.changes.load(Ordering::Relaxed).wrapping_sub(1) << WEIGHT_BITS;
        Self { factor, fleet, eligible: AtomicU64::new(never) }
    }

    /// Counts a request of the fleet.
    pub(super) fn enter(&self) -> Place<'_> {
        self.fleet.total.enter()
    }

    /// The requests of the fleet now.
    pub(super) fn requests(&self) -> u64 {
        self.fleet.total.requests()
    }

    /// What a replica may have while the fleet has so many requests.
    pub(super) fn share(&self, requests: u64, eligible_weight: u64) -> Share {
        Share {
            numerator: u128::from(self.factor) * u128::from(requests),
            denominator: u128::from(MILLION) * u128::from(eligible_weight),
        }
    }

    /// The weight of the seats that may get their share, summed up when that has changed. Who is ejected takes no load,
    /// so its share has to fit on the others.
    pub(super) fn eligible_weight(&self, seats: &[Seat]) -> u64 {
        let changes = self.fleet.changes.load(Ordering::Acquire) << WEIGHT_BITS;
        let known = self.eligible.load(Ordering::Relaxed);
        if known >> WEIGHT_BITS == changes >> WEIGHT_BITS {
            return known & ((1 << WEIGHT_BITS) - 1);
        }
        let weight = eligible_weight(seats);
        // A change meanwhile has another number, whether this sum saw it or not.
        self.eligible.store(changes | weight, Ordering::Relaxed);
        weight
    }
}

/// The same, summed up now.
pub(super) fn eligible_weight(seats: &[Seat]) -> u64 {
    seats.iter().filter(|seat| seat.is_eligible()).map(Seat::effective_weight).sum()
}

// === impl Share ===

impl Share {
    /// For a replica of this weight.
    pub(super) fn of(self, weight: u64) -> Bound {
        Bound { numerator: self.numerator * u128::from(weight), denominator: self.denominator }
    }
}
