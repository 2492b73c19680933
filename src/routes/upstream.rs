//! One replica as the data plane sees it. It outlives the tables that name it, so its counters survive every swap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use tokio::sync::Notify;

use crate::model::{Ordinal, ReplicaName, ReplicaUid, Traffic};

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
    in_flight: CachePadded<AtomicUsize>,
    /// Whether the published table lets it be chosen.
    open: AtomicBool,
    ejected: AtomicBool,
    failures_in_a_row: AtomicU32,
    load: Arc<FleetLoad>,
    wake: Arc<Notify>,
}

/// Requests in flight over a whole fleet; counted only for leases that ask for it (bounded load).
#[derive(Debug, Default)]
pub(super) struct FleetLoad {
    in_flight: CachePadded<AtomicUsize>,
}

/// The right to send one request to one replica. Held until the response has ended; released on drop.
#[derive(Debug)]
pub struct Lease {
    upstream: Arc<Upstream>,
    counts_for_fleet: bool,
}

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(
        (name, uid, ordinal): (ReplicaName, ReplicaUid, Ordinal),
        address: SocketAddr,
        load: Arc<FleetLoad>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            name,
            uid,
            ordinal,
            address,
            in_flight: CachePadded::new(AtomicUsize::new(0)),
            open: AtomicBool::new(true),
            ejected: AtomicBool::new(false),
            failures_in_a_row: AtomicU32::new(0),
            load,
            wake,
        }
    }

    /// Takes a lease, unless the replica has left the table or has `limit` requests already (0: no limit).
    ///
    /// Counting comes before looking, and closing before the controller reads the count, all sequentially
    /// consistent: so whoever reads a count of 0 after closing knows that no request will come any more.
    #[must_use]
    pub fn lease(self: &Arc<Self>, limit: u32, counts_for_fleet: bool) -> Option<Lease> {
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        if counts_for_fleet {
            self.load.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let lease = Lease { upstream: Arc::clone(self), counts_for_fleet };
        let full = limit != 0 && before >= limit as usize;
        (!full && self.open.load(Ordering::SeqCst)).then_some(lease)
    }

    /// Requests that it has now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Requests that its fleet has now, where leases count for it.
    #[must_use]
    pub fn fleet_in_flight(&self) -> usize {
        self.load.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the published table lets it be chosen.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
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
            self.wake.notify_one();
        }
        news
    }

    /// Choose it again.
    pub fn restore(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.ejected.store(false, Ordering::Relaxed);
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

    /// For the controller: first whether it is open, then what it has, see [`Upstream::lease`].
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let routed = self.is_open();
        Traffic { routed, in_flight: self.in_flight() }
    }

    /// Back in the table, it has turned ready anew: what the proxies held against it is past.
    pub(super) fn open(&self) {
        if !self.open.swap(true, Ordering::SeqCst) {
            self.restore();
        }
    }

    pub(super) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }
}

// === impl Lease ===

impl Lease {
    /// Whom it is for.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.counts_for_fleet {
            self.upstream.load.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        let before = self.upstream.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && !self.upstream.is_open() {
            self.upstream.wake.notify_one();
        }
    }
}
