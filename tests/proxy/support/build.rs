//! Tiny builders of what the controller would publish.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ringhold::model::{
    Container, Desired, FleetId, FleetUid, Health, Incarnation, KeySource, Limits, Listener, Ordinal, Replica,
    ReplicaName, ReplicaState, ReplicaUid, Retries, Rollout, RoutePolicy, TargetProtocol, Template, TemplateHash,
    Timeouts,
};
use ringhold::ring::{KeyHash, RingSpec};

/// A LoadBalancer `web` on this port, keyed by `X-User-Id`, with generous times.
pub(crate) fn mk_desired(port: u16) -> Desired {
    let seconds = Duration::from_secs;
    let route = RoutePolicy {
        listener: Listener { port, hostnames: Vec::new(), tls: None },
        hash_key: vec![KeySource::Header("x-user-id".parse().unwrap())],
        key_hash: KeyHash::SipHash,
        ring: RingSpec::Rendezvous { slots: 4096 },
        weights: BTreeMap::new(),
        bounded_load: None,
        timeouts: Timeouts { connect: seconds(5), response_header: seconds(20), idle: seconds(20) },
        retries: Retries { attempts: 2, budget_percent: 20 },
        limits: Limits { max_concurrent_per_replica: 1024, max_body_bytes: 0 },
        replica_tls: None,
        target_protocol: TargetProtocol::Http1,
    };
    Desired {
        id: FleetId::local("web"),
        uid: FleetUid::default(),
        generation: 1,
        replicas: 3,
        template: Arc::new(Template {
            hash: template(),
            manifest: serde_json::Value::Null,
            containers: Vec::<Container>::new(),
            termination_grace: seconds(1),
        }),
        rollout: Rollout {
            max_surge: 1,
            max_unavailable: 0,
            min_ready: Duration::ZERO,
            drain_timeout: seconds(1),
            slow_start: Duration::ZERO,
        },
        health: Health {
            path: Some("/".to_owned()),
            period: seconds(1),
            timeout: seconds(1),
            failure_threshold: 3,
            replace_after: seconds(1),
            startup: seconds(1),
        },
        route: Arc::new(route),
    }
}

/// A ready replica of `web`: the so-manieth incarnation of this ordinal, there.
pub(crate) fn mk_replica(ordinal: u16, incarnation: u32, address: SocketAddr) -> Replica {
    let (ordinal, incarnation) = (Ordinal(ordinal), Incarnation(incarnation));
    let name = ReplicaName::new(&FleetId::local("web"), ordinal, &template(), incarnation);
    Replica {
        uid: ReplicaUid(format!("uid-{name}").into()),
        name,
        ordinal,
        incarnation,
        template: template(),
        failures: 0,
        address: Some(address),
        state: ReplicaState::Ready { since: Timestamp::UNIX_EPOCH },
        created_at: Timestamp::UNIX_EPOCH,
        draining_since: None,
        remove_first: false,
        trouble: None,
        traffic: ringhold::model::Traffic::default(),
    }
}

fn template() -> TemplateHash {
    TemplateHash("t".into())
}
