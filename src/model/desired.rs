//! What is wanted: a LoadBalancer's spec after validation. Nothing behind this point meets an `Option` that must be
//! `Some`, a percentage, or a default that still has to be filled in.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{FleetId, FleetUid, Ordinal, TemplateHash};
use crate::ring::{KeyHash, RingSpec};

/// One accepted LoadBalancer.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Whose it is.
    pub id: FleetId,
    /// Which of those that have had this name.
    pub uid: FleetUid,
    /// Counts the spec's changes; status reports the one it speaks of.
    pub generation: i64,
    /// How many ordinals the fleet has.
    pub replicas: u16,
    /// What a replica runs.
    pub template: Arc<Template>,
    /// How a change reaches the fleet.
    pub rollout: Rollout,
    /// How a replica's health is judged.
    pub health: Health,
    /// How requests find their replica.
    pub route: Arc<RoutePolicy>,
}

/// What a replica runs. The core reads its hash only; each backend takes the form it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Identifies the content.
    pub hash: TemplateHash,
    /// The whole pod template as it was declared.
    pub manifest: serde_json::Value,
    /// The template's containers, as far as a backend without a kubelet needs them; never empty.
    pub containers: Vec<Container>,
    /// From the first stop signal to the kill.
    pub termination_grace: Duration,
}

/// One container of the template, for backends that start it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name in the template.
    pub name: String,
    /// Its image; the process backend has no use for it.
    pub image: String,
    /// Program and leading arguments; empty: the image's own.
    pub command: Vec<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Environment by name.
    pub env: BTreeMap<String, String>,
    /// Working directory; `None`: the backend's own.
    pub working_dir: Option<String>,
    /// The port that requests go to.
    pub port: u16,
}

/// `spec.rollout`, with percentages resolved against the replica count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// How many replicas may exist above the wanted number.
    pub max_surge: u16,
    /// How many ordinals may be without an available replica on purpose.
    pub max_unavailable: u16,
    /// How long a replica must have been ready to count as available.
    pub min_ready: Duration,
    /// How long a draining replica may finish its requests.
    pub drain_timeout: Duration,
    /// Over which time a ready replica's share of keys grows to the whole; zero: at once.
    pub slow_start: Duration,
}

/// `spec.health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Path of the probe; a 2xx or 3xx answer means ready. `None`: a connection does.
    pub path: Option<String>,
    /// From one probe to the next.
    pub period: Duration,
    /// For one probe's answer.
    pub timeout: Duration,
    /// So many failures in a row turn a ready replica unready.
    pub failure_threshold: u32,
    /// A replica that was ready and has been unready for so long is replaced.
    pub replace_after: Duration,
    /// A replica that was never ready is replaced so long after its start.
    pub startup: Duration,
}

/// How requests find their replica: everything of the spec that the proxy reads.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePolicy {
    /// Where requests arrive.
    pub listener: Listener,
    /// Where the key comes from; the first that yields one wins, and after the last a random key does.
    pub hash_key: Vec<KeySource>,
    /// How keys are hashed.
    pub key_hash: KeyHash,
    /// Algorithm and size of the ring.
    pub ring: RingSpec,
    /// The weights of ordinals in the ring; 1 where none is named.
    pub weights: BTreeMap<Ordinal, u16>,
    /// `boundedLoad.factor`; `None`: off. At least 1.
    pub bounded_load: Option<f64>,
    /// How long the proxy waits, for what.
    pub timeouts: Timeouts,
    /// When a request is tried again.
    pub retries: Retries,
    /// What is refused.
    pub limits: Limits,
    /// `None`: replicas are spoken with in the clear.
    pub replica_tls: Option<ReplicaTls>,
    /// What replicas speak.
    pub target_protocol: TargetProtocol,
}

/// `spec.replicaTls`: whom replicas have to prove to be. The authorities themselves travel with the route, as the
/// listener's certificate does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaTls {
    /// The name in every replica's certificate.
    pub hostname: String,
    /// The Secret with the authorities, in the LoadBalancer's own namespace.
    pub authorities: String,
}

/// `spec.targetProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: in the clear without asking (RFC 9113 §3.3), with TLS by ALPN.
    Http2,
}

/// `spec.listener`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// TCP port, on every proxy.
    pub port: u16,
    /// Hosts that are ours, lower case: exact (`a.example`) or one leading wildcard label (`*.example`).
    /// Empty: any host that no other LoadBalancer claims.
    pub hostnames: Vec<String>,
    /// `None`: requests come in the clear.
    pub tls: Option<ListenerTls>,
}

/// `spec.listener.tls`: where the certificate is, and what of TLS is spoken. The certificate itself travels with the
/// route, for it changes while the spec stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The Secret, in the LoadBalancer's own namespace; for drivers with a cluster.
    pub secret: Option<String>,
    /// The files; for drivers without one.
    pub files: Option<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// Paths as the manifest has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// One entry of `spec.hashKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The value of the first header with this name.
    Header(http::HeaderName),
    /// The value of this cookie; set by the proxy where absent.
    Cookie(CookieKey),
    /// The percent-decoded value of the first query parameter with this name.
    Query(String),
    /// The path as sent, without query: its first so many segments, or all of it.
    Path {
        /// `None`: the whole path.
        segments: Option<NonZeroU32>,
    },
    /// The client's address, without port.
    SourceIp,
    /// A random key: spreads evenly, keeps nothing together.
    Random,
}

/// A cookie as key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieKey {
    /// The cookie's name.
    pub name: String,
    /// Lifetime of a cookie that the proxy sets; zero: until the browser closes.
    pub ttl: Duration,
    /// Path of a cookie that the proxy sets.
    pub path: String,
}

/// `spec.timeouts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection to a replica; with TLS the handshake, too.
    pub connect: Duration,
    /// From the request's end to the response's head: past it 504.
    pub response_header: Duration,
    /// Without a byte in either direction of a running request or tunnel, and for an idle client connection.
    pub idle: Duration,
}

/// `spec.retries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first; 0: none.
    pub attempts: u32,
    /// Of the requests of the last ten seconds, so many percent may be sent again after a replica had them already, on
    /// top of ten a second. Trying elsewhere what was never sent is always free.
    pub budget_percent: u32,
}

/// `spec.limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that a replica may have at one time; past it the next candidate, and 503 when all are full. 0: no limit.
    pub max_concurrent_per_replica: u32,
    /// Longest request body in bytes, past it 413; 0: no limit.
    pub max_body_bytes: u64,
}

// === impl RoutePolicy ===

impl RoutePolicy {
    /// An ordinal's weight in the ring.
    #[must_use]
    pub fn weight(&self, ordinal: Ordinal) -> u16 {
        self.weights.get(&ordinal).copied().unwrap_or(1)
    }
}

// === impl Desired ===

impl Desired {
    /// The same LoadBalancer with nothing left to run: how a removed one ends.
    #[must_use]
    pub fn removed(&self) -> Self {
        Self { replicas: 0, ..self.clone() }
    }
}
