//! The snapshot of everything that is published, swapped whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::{FleetId, FleetStatus, ReplicaUid, Traffic};
use crate::routes::{Route, Upstream};

/// All LoadBalancers of one moment: by port and host for the proxy, by name for people.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Counts the swaps.
    pub version: u64,
    fleets: BTreeMap<FleetId, Arc<FleetEntry>>,
    ports: BTreeMap<u16, RoutedPort>,
}

/// What is published of one LoadBalancer.
#[derive(Debug)]
pub struct FleetEntry {
    /// Whose it is.
    pub id: FleetId,
    /// For people.
    pub status: FleetStatus,
    /// `None` while the LoadBalancer is not accepted, or is being removed.
    pub route: Option<Arc<Route>>,
    /// The replicas that are marked draining, as far as this process knows.
    pub leaving: Vec<Leaving>,
    /// What changes of its ring have moved in this process.
    pub moved: Moved,
}

/// Shares of a key space that changed owner.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moved {
    /// By the last change, 0 to 1.
    pub last: f64,
    /// By all changes, summed up.
    pub total: f64,
}

/// A replica on its way out, and what it still has here.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// Which copy.
    pub uid: ReplicaUid,
    /// `None`: it never had a request here, or has been forgotten.
    pub(super) upstream: Option<Arc<Upstream>>,
}

#[derive(Debug, Default)]
struct RoutedPort {
    hosts: HashMap<Box<str>, Arc<Route>>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, Arc<Route>>,
    any: Option<Arc<Route>>,
    /// Somebody wants TLS there. Then all do: who wants something else than those before is not accepted.
    is_tls: bool,
}

// === impl RouteTable ===

impl RouteTable {
    pub(super) fn new(version: u64, fleets: BTreeMap<FleetId, Arc<FleetEntry>>) -> Self {
        let mut ports: BTreeMap<u16, RoutedPort> = BTreeMap::new();
        for route in fleets.values().filter_map(|entry| entry.route.as_ref()) {
            let port = ports.entry(route.policy.listener.port).or_default();
            port.is_tls |= route.policy.listener.tls.is_some();
            if route.policy.listener.hostnames.is_empty() {
                port.any.get_or_insert_with(|| Arc::clone(route));
            }
            for host in &route.policy.listener.hostnames {
                let (hosts, host) = match host.strip_prefix("*.") {
                    Some(suffix) => (&mut port.wildcards, suffix),
                    None => (&mut port.hosts, host.as_str()),
                };
                hosts.entry(host.into()).or_insert_with(|| Arc::clone(route));
            }
        }
        Self { version, fleets, ports }
    }

    /// The route for a request on this port with this host (without port; any case): an exact hostname, else the
    /// closest `*.` wildcard, else the LoadBalancer that takes any host.
    #[must_use]
    pub fn route(&self, port: u16, host: &str) -> Option<&Arc<Route>> {
        let port = self.ports.get(&port)?;
        if port.hosts.is_empty() && port.wildcards.is_empty() {
            return port.any.as_ref();
        }
        let lower;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        port.hosts.get(host).or_else(|| port.wildcard(host)).or(port.any.as_ref())
    }

    /// Whether TLS is spoken on this port.
    #[must_use]
    pub fn is_tls(&self, port: u16) -> bool {
        self.ports.get(&port).is_some_and(|port| port.is_tls)
    }

    /// The ports on which somebody listens, sorted.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.keys().copied()
    }

    /// All LoadBalancers, sorted by namespace and name.
    pub fn fleets(&self) -> impl Iterator<Item = &Arc<FleetEntry>> {
        self.fleets.values()
    }

    /// One LoadBalancer.
    #[must_use]
    pub fn fleet(&self, id: &FleetId) -> Option<&Arc<FleetEntry>> {
        self.fleets.get(id)
    }
}

// === impl Moved ===

impl Moved {
    pub(super) fn add(&mut self, share: f64) {
        self.last = share;
        self.total += share;
    }
}

// === impl Leaving ===

impl Leaving {
    /// Whether a request may still come to it, and how many it has.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.upstream.as_ref().map_or_else(Traffic::default, |upstream| upstream.traffic())
    }
}

// === impl RoutedPort ===

impl RoutedPort {
    /// `*.example` stands for one or more labels before `.example`.
    fn wildcard(&self, host: &str) -> Option<&Arc<Route>> {
        if self.wildcards.is_empty() {
            return None;
        }
        host.match_indices('.').find_map(|(dot, _)| self.wildcards.get(&host[dot + 1..]))
    }
}
