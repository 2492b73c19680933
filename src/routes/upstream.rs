//! One replica as the data plane sees it. It outlives the tables that name it, so its counters survive every swap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
    ejected: AtomicBool,
    failures_in_a_row: AtomicU32,
    fleet: Arc<FleetLoad>,
    wake: Arc<Notify>,
}

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
            ejected: AtomicBool::new(false),
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
        self.ejected.load(Ordering::Relaxed)
    }

    /// Skip it until [`Upstream::restore`], and have the controller look. True if it was not ejected before.
    pub fn eject(&self) -> bool {
        let news = !self.ejected.swap(true, Ordering::Relaxed);
        if news {
            self.fleet.on_change();
            self.wake.notify_one();
        }
        news
    }

    /// Choose it again.
    pub fn restore(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        if self.ejected.swap(false, Ordering::Relaxed) {
            self.fleet.on_change();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FleetId, Incarnation, TemplateHash};

    impl Upstream {
        /// The replica of an ordinal, whom nobody routes to.
        pub(in crate::routes) fn mk(ordinal: u16, fleet: &Arc<FleetLoad>) -> Self {
            let template = TemplateHash("t".into());
            let name = ReplicaName::new(&FleetId::local("web"), Ordinal(ordinal), &template, Incarnation(0));
            let identity = (name, ReplicaUid(format!("{ordinal}").into()), Ordinal(ordinal));
            Self::new(identity, ([127, 0, 0, 1], 80).into(), Arc::clone(fleet), Arc::default())
        }

        /// Ejects it as a worker does that is interrupted before it has told.
        pub(in crate::routes) fn eject_untold(&self) {
            self.ejected.store(true, Ordering::Relaxed);
        }

        /// The only one of its fleet.
        pub(crate) fn mk_alone() -> Self {
            Self::mk(0, &Arc::default())
        }
    }
}
