//! A published LoadBalancer whose replicas nobody really runs.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use ringhold::model::{Desired, FleetStatus, Observed, Ordinal, Replica, RoutePolicy};
use ringhold::routes::{Placement, Publisher, Reader, Route, Upstream, bridge};

use crate::build::{mk_desired, mk_replica};

pub(crate) const PORT: u16 = 5000;

pub(crate) struct Fleet {
    pub(crate) desired: Desired,
    pub(crate) publisher: Publisher,
    pub(crate) reader: Reader,
}

// === impl Fleet ===

impl Fleet {
    /// Published with so many ordinals, all ready.
    pub(crate) fn of(count: u16, change: impl FnOnce(&mut RoutePolicy)) -> Self {
        let bridge = bridge();
        let mut desired = mk_desired(PORT);
        change(Arc::make_mut(&mut desired.route));
        let fleet = Self { desired, publisher: bridge.publisher, reader: bridge.reader };
        fleet.publish(&(0..count).map(|ordinal| mk_replica(ordinal, 0, address(0))).collect::<Vec<_>>());
        fleet
    }

    /// Publishes these replicas, with a member for each ordinal among them; returns the moved share.
    pub(crate) fn publish(&self, replicas: &[Replica]) -> f64 {
        let members: Vec<Ordinal> = replicas.iter().map(|replica| replica.ordinal).collect();
        let observed = Observed { replicas: replicas.to_vec(), ..Observed::default() };
        let placement = Placement::new(&self.desired, &observed, &members, Timestamp::now());
        let status = FleetStatus { observed_generation: self.desired.generation, ..FleetStatus::default() };
        self.publisher.publish(&self.desired.id, status, Some(&placement)).unwrap()
    }

    pub(crate) fn route(&self) -> Arc<Route> {
        Arc::clone(self.publisher.table().route(PORT, "a.example").unwrap())
    }
}

/// An address that tells a number.
pub(crate) fn address(number: u16) -> SocketAddr {
    ([127, 0, 0, 1], number).into()
}

pub(crate) fn upstream(route: &Route, seat: usize) -> &Arc<Upstream> {
    route.seats()[seat].upstream.as_ref().unwrap()
}
