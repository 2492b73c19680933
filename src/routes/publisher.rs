//! The writing and the reading end of the table.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};

use crate::model::{FleetId, FleetStatus, ReplicaUid, RingStatus, Traffic};
use crate::ring::{BuildError, Ring};
use crate::routes::bounded::{BoundedLoad, FleetLoad};
use crate::routes::listeners::Listeners;
use crate::routes::requests::Requests;
use crate::routes::route::{PlacedSeat, Placement};
use crate::routes::{FleetEntry, Leaving, ListenRequest, Moved, Route, RouteTable, ScaleRequest, Seat, Upstream};

/// Both ends of everything that crosses between control plane and data plane.
#[derive(Debug)]
pub struct Bridge {
    /// For the controller.
    pub publisher: Publisher,
    /// For the proxy and the admin server; clone it for each worker.
    pub reader: Reader,
    /// For the controller, to have ports opened.
    pub listeners: Listeners,
    /// For the proxy: ports to open.
    pub listen_requests: mpsc::Receiver<ListenRequest>,
    /// For the admin server, to ask the controller.
    pub requests: Requests,
    /// For the controller: what people ask.
    pub scale_requests: mpsc::Receiver<ScaleRequest>,
}

/// Writes the table. The only writer.
#[derive(Debug)]
pub struct Publisher {
    table: Arc<ArcSwap<RouteTable>>,
    version: watch::Sender<u64>,
    wake: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fleets: BTreeMap<FleetId, Arc<FleetEntry>>,
    upstreams: HashMap<ReplicaUid, Arc<Upstream>>,
    loads: HashMap<FleetId, Arc<FleetLoad>>,
    /// What each entry was made of.
    published: HashMap<FleetId, (FleetStatus, Option<Placement>)>,
}

/// Reads the table through a cached snapshot: no shared write, and a swap is seen at the next read.
#[derive(Debug, Clone)]
pub struct Reader {
    cache: arc_swap::Cache<Arc<ArcSwap<RouteTable>>, Arc<RouteTable>>,
    version: watch::Receiver<u64>,
}

/// Makes a bridge with an empty table.
#[must_use]
pub fn bridge() -> Bridge {
    let table = Arc::new(ArcSwap::from_pointee(RouteTable::default()));
    let (version, versions) = watch::channel(0);
    let (listeners, listen_requests) = Listeners::new();
    let (requests, scale_requests) = Requests::new();
    let publisher = Publisher { table: Arc::clone(&table), version, wake: Arc::default(), state: Mutex::default() };
    let reader = Reader { cache: arc_swap::Cache::new(table), version: versions };
    Bridge { publisher, reader, listeners, listen_requests, requests, scale_requests }
}

// === impl Publisher ===

impl Publisher {
    /// Publishes one LoadBalancer in one swap and returns the share of its key space that changed owner in the ring.
    /// Without a placement it is listed but not routed.
    ///
    /// When this returns, a replica that the placement left out gets no new request, from any worker.
    ///
    /// # Errors
    /// The ring could not be built; nothing has changed.
    pub fn publish(
        &self,
        id: &FleetId,
        mut status: FleetStatus,
        placement: Option<&Placement>,
    ) -> Result<f64, BuildError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let made_of = (status.clone(), placement.cloned());
        if state.published.get(id) == Some(&made_of) {
            return Ok(0.0); // a swap would have every worker look its routes up again
        }
        let previous = state.fleets.get(id).and_then(|entry| entry.route.clone());
        let route =
            placement.map(|placement| self.route(&mut state, id, placement, previous.as_deref())).transpose()?;
        let changed = match (&previous, &route) {
            (Some(before), Some(now)) if !Arc::ptr_eq(&before.ring, &now.ring) => {
                Some(before.ring.moves(&now.ring).moved)
            }
            _ => None,
        };
        let mut moved = state.fleets.get(id).map_or_else(Moved::default, |entry| entry.moved);
        changed.into_iter().for_each(|share| moved.add(share));
        status.ring = route.as_ref().map(|route| RingStatus {
            algorithm: route.ring.spec().algorithm(),
            members: route.ring.members().len(),
            fingerprint: route.ring.fingerprint().to_string(),
        });
        let leaving = status.members.iter().filter(|member| member.finishing.is_some());
        let leaving = leaving
            .map(|member| Leaving { uid: member.uid.clone(), upstream: state.upstreams.get(&member.uid).cloned() })
            .collect();
        let entry = FleetEntry { id: id.clone(), status, route: route.map(Arc::new), leaving, moved };
        state.fleets.insert(id.clone(), Arc::new(entry));
        state.published.insert(id.clone(), made_of);
        self.swap(&mut state, id);
        Ok(changed.unwrap_or_default())
    }

    /// Takes a LoadBalancer out of the table.
    pub fn withdraw(&self, id: &FleetId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.fleets.remove(id).is_some() {
            state.published.remove(id);
            self.swap(&mut state, id);
        }
    }

    /// What the proxy knows of a replica; nothing, if it never was in the table or has been forgotten.
    #[must_use]
    pub fn traffic(&self, uid: &ReplicaUid) -> Traffic {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.upstreams.get(uid).map_or_else(Traffic::default, |upstream| upstream.traffic())
    }

    /// The table as it is now.
    #[must_use]
    pub fn table(&self) -> Arc<RouteTable> {
        self.table.load_full()
    }

    /// Returns when the proxy has news for the controller: a replica failed, or a closed one has become idle.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn route(
        &self,
        state: &mut State,
        id: &FleetId,
        placement: &Placement,
        previous: Option<&Route>,
    ) -> Result<Route, BuildError> {
        let members = placement.ring_members();
        let (ring, shares) = match previous {
            Some(route) if *route.ring.spec() == placement.policy.ring && route.ring.members() == members => {
                (Arc::clone(&route.ring), Arc::clone(&route.shares))
            }
            previous => {
                let known = previous.filter(|route| *route.ring.spec() == placement.policy.ring);
                let ring = match known {
                    Some(route) => route.ring.with_members(&members)?,
                    None => Ring::build(placement.policy.ring.clone(), &members)?,
                };
                let shares = ring.shares().into();
                (Arc::new(ring), shares)
            }
        };
        let seats = placement.seats.iter().map(|placed| self.seat(state, id, placement, placed));
        let seats: Vec<Seat> = seats.collect();
        let mut seat_of = vec![u16::MAX; members.last().map_or(0, |last| usize::from(last.id) + 1)];
        for (seat, index) in seats.iter().zip(0_u16..) {
            seat_of[usize::from(seat.ordinal.0)] = index;
        }
        let policy = Arc::clone(&placement.policy);
        let bounded = policy.bounded_load.map(|factor| BoundedLoad::new(factor, state.load(id)));
        let (tls, wire) = (placement.tls.clone(), placement.wire.clone());
        Ok(Route { id: id.clone(), policy, ring, shares, tls, wire, seats, seat_of, bounded })
    }

    fn seat(&self, state: &mut State, id: &FleetId, placement: &Placement, placed: &PlacedSeat) -> Seat {
        let PlacedSeat { ordinal, replica } = placed;
        let upstream = replica.as_ref().map(|replica| {
            let known = state.upstreams.get(&replica.uid).filter(|known| known.address == replica.address);
            known.cloned().unwrap_or_else(|| {
                let identity = (replica.name.clone(), replica.uid.clone(), *ordinal);
                let upstream = Upstream::new(identity, replica.address, state.load(id), Arc::clone(&self.wake));
                let upstream = Arc::new(upstream);
                state.upstreams.insert(replica.uid.clone(), Arc::clone(&upstream));
                upstream
            })
        });
        let admitted = replica.as_ref().map_or(0, |replica| replica.admitted);
        Seat { ordinal: *ordinal, weight: placement.policy.weight(*ordinal), upstream, admitted }
    }

    /// Opens what the new table names, swaps the tables, then closes what only the old one named.
    fn swap(&self, state: &mut State, changed: &FleetId) {
        let previous = self.table.load_full();
        let table = RouteTable::new(previous.version + 1, state.fleets.clone());
        let version = table.version;
        let serving = |table: &RouteTable| -> Vec<Arc<Upstream>> {
            let route = table.fleet(changed).and_then(|entry| entry.route.as_ref());
            route.into_iter().flat_map(|route| &route.seats).filter_map(|seat| seat.upstream.clone()).collect()
        };
        let (before, now) = (serving(&previous), serving(&table));
        for upstream in &now {
            upstream.open();
        }
        self.table.store(Arc::new(table));
        for upstream in before.iter().filter(|old| !now.iter().any(|new| Arc::ptr_eq(old, new))) {
            upstream.close();
        }
        // Forgotten once nobody can ask for it any more: no table names it and no request holds it. Closed, it gets none.
        state.upstreams.retain(|_, upstream| upstream.is_open() || upstream.in_flight() > 0);
        // One fleet has one load as long as any replica counts in it: two totals would each bound only a part.
        state.loads.retain(|_, load| Arc::strong_count(load) > 1);
        self.version.send_replace(version);
    }
}

// === impl State ===

impl State {
    fn load(&mut self, id: &FleetId) -> Arc<FleetLoad> {
        Arc::clone(self.loads.entry(id.clone()).or_default())
    }
}

// === impl Reader ===

impl Reader {
    /// The newest table. One atomic load where nothing has changed.
    pub fn table(&mut self) -> &Arc<RouteTable> {
        self.cache.load()
    }

    /// Returns when a table has been published that this reader has not been told of; `false` when the publisher is gone.
    pub async fn changed(&mut self) -> bool {
        self.version.changed().await.is_ok()
    }
}
