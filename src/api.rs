//! The custom resource: `LoadBalancer`, `ringhold.dev/v1alpha1`. These are the docs that users read; the same types
//! read a manifest locally and generate the definition for a cluster.
//!
//! Every default is static and stands here. What a value may be is said once more, with the way out, by
//! `controller::validate`.

mod definition;
mod ring;
mod routing;
mod rules;
mod schema;
mod service;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod tls;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use definition::{DefinitionError, definition};
pub use ring::{
    KetamaPlacement, KeyHashFunction, KeyPolynomialSpec, PolynomialsSpec, RingAlgorithm, RingMember, RingSection,
    ServerPolynomialSpec,
};
pub use routing::{
    BoundedLoadSpec, CookieSource, HashKeySource, HeaderSource, LimitsSpec, ListenerSpec, PathSource, QuerySource,
    RandomSource, RetriesSpec, SourceIpSource, TimeoutsSpec,
};
pub use service::{ExternalTrafficPolicy, ServiceSpec, ServiceType};
pub use status::{ListenerInForce, LoadBalancerStatus, RingSummary};
pub use template::PodTemplate;
pub(crate) use template::{MOST_CONTAINERS, MOST_PORTS};
pub use tls::{ListenerTlsSpec, MinTlsVersion, ReplicaTlsSpec};

/// A fleet of replicas and the consistent-hash ring in front of it.
#[derive(CustomResource, Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "ringhold.dev",
    version = "v1alpha1",
    kind = "LoadBalancer",
    shortname = "lb",
    category = "all",
    namespaced,
    doc = "A fleet of replicas and the consistent-hash ring in front of it.",
    status = "LoadBalancerStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.updatedReplicas"),
    printcolumn(name = "Port", type_ = "integer", json_path = ".spec.listener.port"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Progressing\")].reason"
    ),
    printcolumn(
        name = "Health",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Degraded\")].reason"
    ),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.availableReplicas", priority = 1),
    printcolumn(name = "Algorithm", type_ = "string", json_path = ".spec.ring.algorithm", priority = 1),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.ring.members", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Degraded\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE)
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::refine)]
pub struct LoadBalancerSpec {
    /// How many replicas the fleet has.
    #[serde(default = "defaults::replicas")]
    #[schemars(range(min = 0, max = 65_535))]
    pub replicas: i32,
    /// Where requests arrive.
    #[serde(default)]
    pub listener: ListenerSpec,
    /// The Service in front of the proxies, of the same name as the LoadBalancer. An empty object leaves it out. Without
    /// a cluster it has no meaning.
    #[serde(default = "ServiceSpec::usual")]
    pub service: ServiceSpec,
    /// Where a request's key comes from; the first source that yields one wins. Where none does the key is random.
    #[serde(default = "defaults::hash_key")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub hash_key: Vec<HashKeySource>,
    /// Algorithm and size of the ring.
    #[serde(default)]
    pub ring: RingSection,
    /// Keeps any replica from having many more requests at one time than its share. Absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounded_load: Option<BoundedLoadSpec>,
    /// How a changed template reaches the fleet.
    #[serde(default)]
    pub rollout: RolloutSpec,
    /// How a replica's health is judged.
    #[serde(default)]
    pub health: HealthSpec,
    /// How long the proxy waits, for what.
    #[serde(default)]
    pub timeouts: TimeoutsSpec,
    /// When a request is tried again.
    #[serde(default)]
    pub retries: RetriesSpec,
    /// What is refused.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// TLS with replicas. Where the template has no readiness probe of its own, the kubelet asks by HTTPS as well. Absent:
    /// requests go to them in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_tls: Option<ReplicaTlsSpec>,
    /// Name or number of the container port that requests go to. Absent: the first container's first port. A local
    /// process gets a port of its own instead, in the environment variable PORT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 15))]
    pub target_port: Option<IntOrString>,
    /// What replicas speak there. With HTTP2, which gRPC needs, WebSockets and other upgrades do not reach them, and a replica is ready when it
    /// takes connections: a kubelet asks for no path there, unless a container has a readiness probe of its own, such as
    /// `grpc`.
    #[serde(default)]
    pub target_protocol: TargetProtocol,
    /// What a replica runs: a pod template, as in a Deployment.
    pub template: PodTemplate,
}

/// What replicas speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum TargetProtocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2 alone: in the clear without asking (h2c), with `replicaTls` by ALPN.
    #[serde(rename = "HTTP2")]
    Http2,
}

/// How a changed template reaches the fleet.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutSpec {
    /// How many replicas may exist above the wanted number: a count, or a percentage rounded up.
    #[schemars(extend("maxLength" = 4))]
    pub max_surge: IntOrString,
    /// How many ordinals may be without an available replica: a count, or a percentage rounded down. Not 0 where
    /// `maxSurge` is 0.
    #[schemars(extend("maxLength" = 4))]
    pub max_unavailable: IntOrString,
    /// How long a replica must have been ready to count as available, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: i32,
    /// How long a replica that leaves may finish its requests, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub drain_timeout_seconds: i32,
    /// Over how many seconds a ready replica's share of its keys grows to the whole. 0: at once.
    #[schemars(range(min = 0, max = 3_600))]
    pub slow_start_seconds: i32,
}

/// How a replica's health is judged.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthSpec {
    /// Path that is asked; an answer of 200 to 399 means ready.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// From one question to the next, in seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub period_seconds: i32,
    /// For one answer, in seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub timeout_seconds: i32,
    /// So many failures in a row turn a ready replica unready.
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: i32,
    /// A replica that was ready and has been unready for so many seconds is replaced.
    #[schemars(range(min = 1, max = 86_400))]
    pub replace_after_seconds: i32,
    /// A replica that was never ready is replaced so many seconds after its start.
    #[schemars(range(min = 1, max = 86_400))]
    pub startup_seconds: i32,
}

mod defaults {
    use super::{HashKeySource, SourceIpSource};

    pub(super) fn replicas() -> i32 {
        1
    }

    pub(super) fn hash_key() -> Vec<HashKeySource> {
        vec![HashKeySource::SourceIp(SourceIpSource {})]
    }
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            max_surge: IntOrString::Int(1),
            max_unavailable: IntOrString::Int(0),
            min_ready_seconds: 0,
            drain_timeout_seconds: 30,
            slow_start_seconds: 0,
        }
    }
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            path: "/heartbeat".to_owned(),
            period_seconds: 5,
            timeout_seconds: 1,
            failure_threshold: 3,
            replace_after_seconds: 60,
            startup_seconds: 600,
        }
    }
}
