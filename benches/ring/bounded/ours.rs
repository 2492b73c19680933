//! Ours: a published route, and its pick.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use ringhold::controller::{manifest, validate};
use ringhold::model::{
    Desired, FleetStatus, Incarnation, Observed, Ordinal, Replica, ReplicaName, ReplicaState, ReplicaUid, Traffic,
};
use ringhold::ring::KeyHasher;
use ringhold::routes::{Lease, Publisher, Route, bridge};

use super::{Balancer, CLIENTS, REPLICAS, keys};

/// The route as a worker of the proxy has it, without the proxy.
pub(super) struct Ours {
    route: Arc<Route>,
    hasher: KeyHasher,
    keys: Vec<String>,
    leases: Vec<Option<Lease>>,
    /// Lives as long as its table is used.
    _publisher: Publisher,
}

impl Ours {
    pub(super) fn new(algorithm: &str, factor: Option<f64>) -> anyhow::Result<Self> {
        let desired = desired(algorithm, factor)?;
        let members: Vec<Ordinal> = (0..REPLICAS).map(Ordinal).collect();
        let replicas = members.iter().map(|ordinal| replica(&desired, *ordinal)).collect();
        let observed = Observed { replicas, ..Observed::default() };
        let placement = ringhold::routes::Placement::new(&desired, &observed, &members, Timestamp::UNIX_EPOCH);
        let publisher = bridge().publisher;
        publisher.publish(&desired.id, FleetStatus::default(), Some(&placement))?;
        let table = publisher.table();
        let route = table.fleet(&desired.id).and_then(|fleet| fleet.route.clone()).context("nothing is routed")?;
        let hasher = KeyHasher::new(&[7; 16]);
        let leases = (0..CLIENTS).map(|_| None).collect();
        Ok(Self { route, hasher, keys: keys(), leases, _publisher: publisher })
    }

    fn hash(&self, key: u32) -> u64 {
        self.hasher.hash(self.route.policy.key_hash, self.keys[key as usize].as_bytes())
    }
}

impl Balancer for Ours {
    fn begin(&mut self, client: usize, key: u32) -> Option<u16> {
        let lease = self.route.pick(self.hash(key), &[]).ok()?.lease;
        let ordinal = lease.upstream().ordinal.0;
        self.leases[client] = Some(lease);
        Some(ordinal)
    }

    fn end(&mut self, client: usize) {
        self.leases[client] = None;
    }

    fn first(&self, key: u32) -> Option<u16> {
        self.route.ring.primary(self.hash(key))
    }
}

/// As a manifest declares it.
fn desired(algorithm: &str, factor: Option<f64>) -> anyhow::Result<Desired> {
    let bounded = factor.map_or_else(String::new, |factor| format!("boundedLoad: {{factor: {factor}}}"));
    let manifest = format!(
        "
apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {{name: web}}
spec:
  replicas: {REPLICAS}
  hashKey: [{{header: {{name: X-User-Id}}}}]
  ring: {{algorithm: {algorithm}}}
  {bounded}
  limits: {{maxConcurrentPerReplica: 0}}
  template: {{spec: {{containers: [{{name: server, image: server, ports: [{{containerPort: 80}}]}}]}}}}
"
    );
    let resources = manifest::parse(Path::new("bench"), &manifest)?;
    Ok(validate(resources.first().context("the manifest declares nothing")?)?)
}

/// Ready since ever.
fn replica(desired: &Desired, ordinal: Ordinal) -> Replica {
    let template = desired.template.hash.clone();
    Replica {
        name: ReplicaName::new(&desired.id, ordinal, &template, Incarnation(0)),
        uid: ReplicaUid(format!("replica-{ordinal}").into()),
        ordinal,
        incarnation: Incarnation(0),
        template,
        failures: 0,
        address: Some((Ipv4Addr::LOCALHOST, 10_000 + ordinal.0).into()),
        state: ReplicaState::Ready { since: Timestamp::UNIX_EPOCH },
        trouble: None,
        created_at: Timestamp::UNIX_EPOCH,
        draining_since: None,
        remove_first: false,
        traffic: Traffic::default(),
    }
}
