//! One worker's view of the route table: everything that a request needs of its route, resolved once for each snapshot.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::model::FleetId;
use crate::proxy::complaints::{Complaints, FleetComplaints};
use crate::proxy::metrics::{RouteMetrics, Shard};
use crate::proxy::pool::Replica;
use crate::proxy::retry::Budget;
use crate::routes::{Reader, Route, RouteTable, Upstream};

/// A route with what this worker keeps beside it.
pub(super) struct Routed {
    pub(super) route: Arc<Route>,
    pub(super) metrics: Arc<RouteMetrics>,
    pub(super) budget: Rc<Budget>,
    pub(super) complaints: Arc<FleetComplaints>,
}

/// Nobody outside chooses addresses, so their hash may be a fast one.
type ByAddress<T> = HashMap<usize, T, foldhash::fast::RandomState>;

/// Looks routes and replicas up.
pub(super) struct Routing {
    reader: Reader,
    shard: Arc<Shard>,
    /// Of which table `routed` is.
    version: u64,
    /// By the address of the route, which each entry keeps alive.
    routed: ByAddress<Rc<Routed>>,
    budgets: HashMap<FleetId, Rc<Budget>>,
    complaints: Arc<Complaints>,
    /// From one table to the next.
    kept_complaints: HashMap<FleetId, Arc<FleetComplaints>>,
    /// By the address of the upstream, which each entry keeps alive.
    replicas: ByAddress<Rc<Replica>>,
}

// === impl Routing ===

impl Routing {
    pub(super) fn new(reader: Reader, shard: Arc<Shard>, complaints: Arc<Complaints>) -> Self {
        let (routed, budgets, kept_complaints, replicas) = Default::default();
        Self { reader, shard, version: 0, routed, budgets, complaints, kept_complaints, replicas }
    }

    /// Whether TLS is spoken on this port by the newest table.
    pub(super) fn is_tls(&mut self, port: u16) -> bool {
        self.reader.table().is_tls(port)
    }

    /// The route for this port and host in the newest table.
    pub(super) fn find(&mut self, port: u16, host: &str) -> Option<Rc<Routed>> {
        let table = self.reader.table();
        let version = table.version;
        let route = table.route(port, host)?;
        let key = Arc::as_ptr(route).addr();
        if version == self.version
            && let Some(routed) = self.routed.get(&key)
        {
            return Some(Rc::clone(routed));
        }
        let route = Arc::clone(route);
        Some(self.resolve(version, route))
    }

    /// The same LoadBalancer's route in a newer table, if there is one.
    pub(super) fn newer(&mut self, than: &Route) -> Option<Rc<Routed>> {
        let table = self.reader.table();
        let version = table.version;
        let route = table.fleet(&than.id)?.route.as_ref().filter(|route| !std::ptr::eq(&***route, than))?;
        let route = Arc::clone(route);
        Some(self.resolve(version, route))
    }

    /// This worker's side of a replica.
    pub(super) fn replica(&mut self, upstream: &Arc<Upstream>, routed: &Routed) -> Rc<Replica> {
        let key = Arc::as_ptr(upstream).addr();
        let wire = &routed.route.wire;
        if let Some(replica) = self.replicas.get(&key) {
            if replica.wire == *wire {
                return Rc::clone(replica);
            }
            // Who was trusted then may not be now.
            replica.retire();
        }
        let picks = routed.metrics.picks(upstream.ordinal);
        let replica = Rc::new(Replica::new(Arc::clone(upstream), wire.clone(), picks));
        self.replicas.insert(key, Rc::clone(&replica));
        replica
    }

    /// Drops connections idle since before this tick. False when nothing is left to expire.
    pub(super) fn expire(&self, before: u64) -> bool {
        let mut left = false;
        for replica in self.replicas.values() {
            replica.expire(before);
            left |= replica.has_idle();
        }
        left
    }

    /// Forgets whatever the newest table no longer names.
    pub(super) fn prune(&mut self) {
        let table = Arc::clone(self.reader.table());
        let named = named_upstreams(&table);
        self.replicas.retain(|key, replica| {
            let keep = named.contains(key);
            if !keep {
                replica.retire();
            }
            keep
        });
        let known = |id: &FleetId| table.fleet(id).is_some();
        self.budgets.retain(|id, _| known(id));
        self.kept_complaints.retain(|id, _| known(id));
        self.routed.retain(|_, routed| known(&routed.route.id));
        self.shard.retain(known);
        if self.version != table.version {
            self.version = table.version;
            self.routed.clear();
        }
    }

    fn resolve(&mut self, version: u64, route: Arc<Route>) -> Rc<Routed> {
        if self.version != version {
            self.version = version;
            self.routed.clear();
        }
        let metrics = self.shard.route(&route.id);
        let budget = Rc::clone(self.budgets.entry(route.id.clone()).or_default());
        let complaints = match self.kept_complaints.get(&route.id) {
            Some(complaints) => Arc::clone(complaints),
            None => {
                let complaints = self.complaints.of(&route.id);
                self.kept_complaints.insert(route.id.clone(), Arc::clone(&complaints));
                complaints
            }
        };
        let key = Arc::as_ptr(&route).addr();
        let routed = Rc::new(Routed { route, metrics, budget, complaints });
        self.routed.insert(key, Rc::clone(&routed));
        routed
    }
}

fn named_upstreams(table: &RouteTable) -> HashSet<usize> {
    table
        .fleets()
        .filter_map(|entry| entry.route.as_ref())
        .flat_map(|route| route.seats())
        .filter_map(|seat| seat.upstream.as_ref())
        .map(|upstream| Arc::as_ptr(upstream).addr())
        .collect()
}
