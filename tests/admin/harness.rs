//! The admin server on a free port, over a real bridge, with hand-made fleets in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use ringhold::admin::{self, AdminState, Readiness, RouteMetrics};
use ringhold::model::{
    Condition, ConditionType, Desired, FleetId, FleetStatus, FleetUid, Health, Incarnation, KeySource, Limits,
    Listener, Observed, Ordinal, Replica, ReplicaName, ReplicaState, ReplicaStatus, ReplicaUid, Retries, Rollout,
    RoutePolicy, TargetProtocol, Template, TemplateHash, Timeouts, Traffic,
};
use ringhold::ring::{KeyHash, KeyHasher, RingSpec};
use ringhold::routes::{Bridge, Placement, Publisher, Reader, ScaleRequest, bridge};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const HASHER_SECRET: [u8; 16] = [7; 16];
const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Admin {
    address: std::net::SocketAddr,
    pub(crate) publisher: Publisher,
    pub(crate) reader: Reader,
    pub(crate) readiness: watch::Sender<Readiness>,
    pub(crate) scale_requests: mpsc::Receiver<ScaleRequest>,
    pub(crate) shutdown: DropGuard,
    pub(crate) served: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) async fn start() -> Admin {
    let Bridge { publisher, reader, requests, scale_requests, listeners: _, listen_requests: _ } = bridge();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(RouteMetrics::new(reader.clone())));
    let (readiness, readiness_seen) = watch::channel(Readiness::Starting);
    let state = AdminState {
        reader: reader.clone(),
        requests,
        hasher: KeyHasher::new(&HASHER_SECRET),
        registry: Arc::new(registry),
        readiness: readiness_seen,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(admin::serve(listener, state, shutdown.clone()));
    Admin { address, publisher, reader, readiness, scale_requests, shutdown: shutdown.drop_guard(), served }
}

// === impl Admin ===

impl Admin {
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "").await
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        send(self.address, method, target, body).await
    }

    /// Scales, with a controller that answers so; returns the answer and what the controller was asked.
    pub(crate) async fn scale(
        &mut self,
        target: &str,
        body: &str,
        reply: Result<(), ringhold::routes::ScaleError>,
    ) -> (Answer, FleetId, i64) {
        let answer = tokio::spawn({
            let (address, target, body) = (self.address, target.to_owned(), body.to_owned());
            async move { send(address, "PUT", &target, &body).await }
        });
        let request = self.scale_requests.recv().await.unwrap();
        request.reply.send(reply).unwrap();
        (answer.await.unwrap(), request.id, request.replicas)
    }

    /// Publishes a LoadBalancer whose ordinals have replicas in these states.
    pub(crate) fn publish(&self, id: &FleetId, states: &[ReplicaState]) {
        let replicas: Vec<Replica> = (0..).zip(states).map(|(ordinal, state)| replica(id, ordinal, state)).collect();
        let members: Vec<Ordinal> = replicas.iter().map(|replica| replica.ordinal).collect();
        let status = status(&replicas);
        let observed = Observed { replicas, ..Observed::default() };
        let placement = Placement::new(&desired(id, states.len()), &observed, &members, Timestamp::UNIX_EPOCH);
        self.publisher.publish(id, status, Some(&placement)).unwrap();
    }
}

async fn send(address: std::net::SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status and message of a refusal.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap().to_owned())
    }
}

pub(crate) const READY: ReplicaState = ReplicaState::Ready { since: Timestamp::UNIX_EPOCH };

fn desired(id: &FleetId, replicas: usize) -> Desired {
    Desired {
        id: id.clone(),
        uid: FleetUid::default(),
        generation: 3,
        replicas: u16::try_from(replicas).unwrap(),
        template: Arc::new(Template {
            hash: TemplateHash("abc".into()),
            manifest: Value::Null,
            containers: Vec::new(),
            termination_grace: SECOND,
        }),
        rollout: Rollout {
            max_surge: 1,
            max_unavailable: 0,
            min_ready: Duration::ZERO,
            drain_timeout: SECOND,
            slow_start: Duration::ZERO,
        },
        health: Health {
            path: Some("/".to_owned()),
            period: SECOND,
            timeout: SECOND,
            failure_threshold: 3,
            replace_after: SECOND,
            startup: SECOND,
        },
        route: Arc::new(RoutePolicy {
            listener: Listener { port: 5000, hostnames: vec!["a.example".into()], tls: None },
            hash_key: vec![KeySource::SourceIp],
            key_hash: KeyHash::SipHash,
            ring: RingSpec::Rendezvous { slots: 256 },
            weights: BTreeMap::new(),
            bounded_load: None,
            timeouts: Timeouts { connect: SECOND, response_header: SECOND, idle: SECOND },
            retries: Retries { attempts: 2, budget_percent: 20 },
            limits: Limits { max_concurrent_per_replica: 0, max_body_bytes: 0 },
            replica_tls: None,
            target_protocol: TargetProtocol::Http1,
        }),
    }
}

fn replica(id: &FleetId, ordinal: u16, state: &ReplicaState) -> Replica {
    let (ordinal, incarnation, template) = (Ordinal(ordinal), Incarnation(0), TemplateHash("abc".into()));
    let name = ReplicaName::new(id, ordinal, &template, incarnation);
    Replica {
        uid: ReplicaUid(name.as_str().into()),
        name,
        ordinal,
        incarnation,
        template,
        failures: 0,
        address: Some(([127, 0, 0, 1], 9000 + ordinal.0).into()),
        state: state.clone(),
        created_at: Timestamp::UNIX_EPOCH,
        draining_since: None,
        remove_first: false,
        trouble: None,
        traffic: Traffic::default(),
    }
}

fn status(replicas: &[Replica]) -> FleetStatus {
    let count = u16::try_from(replicas.len()).unwrap();
    let ready = u16::try_from(replicas.iter().filter(|replica| replica.is_ready()).count()).unwrap();
    FleetStatus {
        observed_generation: 3,
        desired_replicas: count,
        replicas: count,
        ready_replicas: ready,
        updated_replicas: count,
        available_replicas: ready,
        ring: None,
        conditions: vec![condition("Serving")],
        members: replicas.iter().map(member).collect(),
    }
}

fn member(replica: &Replica) -> ReplicaStatus {
    ReplicaStatus {
        name: replica.name.clone(),
        uid: replica.uid.clone(),
        ordinal: replica.ordinal,
        incarnation: replica.incarnation,
        template: replica.template.clone(),
        state: replica.state.as_str(),
        reason: (!replica.is_ready()).then(|| "no answer from /heartbeat".to_owned()),
        address: replica.address,
        remove_first: false,
        finishing: None,
    }
}

fn condition(reason: &'static str) -> Condition {
    Condition {
        kind: ConditionType::Accepted,
        status: true.into(),
        observed_generation: 3,
        last_transition_time: Timestamp::UNIX_EPOCH,
        reason,
        message: "port 5000 is in use".to_owned(),
    }
}

/// The status of a LoadBalancer that nothing is published of but a condition.
pub(crate) fn not_accepted() -> FleetStatus {
    FleetStatus { conditions: vec![condition("PortInUse")], ..FleetStatus::default() }
}

/// Labels and value of every series of one metric.
pub(crate) fn series<'page>(page: &'page str, name: &str) -> BTreeMap<&'page str, &'page str> {
    let of_name = |line: &'page str| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ");
    page.lines().filter_map(of_name).collect()
}
