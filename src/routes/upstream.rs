//! One replica as the data plane sees it. It outlives the tables that name it, so its counters survive every swap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crossbeam_utils::CachePadded;
use tokio::sync::Notify;

use crate::model::{Ordinal, ReplicaName, ReplicaUid, Traffic};
use crate::routes::bounded::FleetLoad;
use crate::routes::gate::{self, Gate, Leased, Load, Place, Refusal, Terms, Total};

/// A replica's address, and the few facts about it that proxy and controller share.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: ReplicaName,
    /// Which copy.
    pub uid: ReplicaUid,
    /// Its place in the fleet.
    pub ordinal: Ordinal,
    /// Where it takes requests.
    pub address: SocketAddr,
    /// Open while the published table lets it be chosen.
    gate: CachePadded<Gate>,
    ejection: AtomicU8,
    failures_in_a_row: AtomicU32,
    fleet: Arc<FleetLoad>,
    wake: Arc<Notify>,
}

/// Not ejected.
const IN: u8 = 0;
/// Gets no requests where there is another.
const OUT: u8 = 1;
/// Gets none yet, but its share of the load is its own again: whoever took it at once would do so by the shares from
/// before.
const RETURNING: u8 = 2;

/// The right to send one request to one replica. Held until the response has ended; released on drop.
#[derive(Debug)]
pub struct Lease(gate::Lease<Arc<Upstream>>);

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(
        (name, uid, ordinal): (ReplicaName, ReplicaUid, Ordinal),
        address: SocketAddr,
        fleet: Arc<FleetLoad>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            name,
            uid,
            ordinal,
            address,
            gate: CachePadded::new(Gate::new()),
            ejection: AtomicU8::new(IN),
            failures_in_a_row: AtomicU32::new(0),
            fleet,
            wake,
        }
    }

    /// Requests that it has now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.load().requests() as usize
    }

    /// Requests of its fleet that count towards the bound; none where there is no bounded load.
    #[must_use]
    pub fn fleet_bounded(&self) -> usize {
        usize::try_from(self.fleet.total().requests()).unwrap_or(usize::MAX)
    }

    /// Whether the published table lets it be chosen.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.load().is_closed()
    }

    /// Whether the proxy skips it for now because it failed.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.ejection.load(Ordering::Relaxed) != IN
    }

    /// Whether it has a share of its fleet's load.
    pub(super) fn is_eligible(&self) -> bool {
        self.is_open() && self.ejection.load(Ordering::Relaxed) != OUT
    }

    /// Skip it until [`Upstream::restore`], and have the controller look. True if it was not ejected before.
    pub fn eject(&self) -> bool {
        let news = self.ejection.swap(OUT, Ordering::Relaxed) != OUT;
        if news {
            self.fleet.on_change();
            self.wake.notify_one();
        }
        news
    }

    /// Choose it again.
    pub fn restore(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        let step = |from, to| self.ejection.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if step(OUT, RETURNING) {
            self.fleet.on_change();
            step(RETURNING, IN); // unless it has been ejected anew meanwhile
        }
    }

    /// Counts a failed exchange; returns how many there have been in a row.
    pub fn record_failure(&self) -> u32 {
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Ends a row of failures.
    pub fn record_success(&self) {
        // Written only when needed: the line is shared by all workers.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// For the controller: whether it is open, and what it has, both at one moment.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let load = self.load();
        Traffic { routed: !load.is_closed(), in_flight: load.requests() as usize }
    }

    pub(super) fn load(&self) -> Load {
        self.gate.load()
    }

    /// Takes a lease, which takes over the request's place in the fleet's total.
    pub(super) fn lease(self: &Arc<Self>, terms: Terms, place: &mut Option<Place<'_>>) -> Result<Lease, Refusal> {
        gate::Lease::take(self, terms, place).map(Lease)
    }

    /// Back in the table, it has turned ready anew: what the proxies held against it is past.
    pub(super) fn open(&self) {
        if self.gate.open() {
            self.restore();
            self.fleet.on_change();
        }
    }

    pub(super) fn close(&self) {
        self.gate.close();
        self.fleet.on_change();
    }
}

impl Leased for Arc<Upstream> {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn total(&self) -> &Total {
        self.fleet.total()
    }

    fn on_drained(&self) {
        self.wake.notify_one();
    }
}

// === impl Lease ===

impl Lease {
    /// Whom it is for.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        self.0.replica()
    }
}
