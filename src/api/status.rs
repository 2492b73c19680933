//! What the resource's status says.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ListenerTlsSpec;

/// The fleet as it was last observed. Nothing here changes by itself.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = super::schema::reflow)]
pub struct LoadBalancerStatus {
    /// Generation of the spec that this status speaks of.
    pub observed_generation: i64,
    /// Replicas that exist and do not leave.
    pub replicas: i32,
    /// Of them, ready.
    pub ready_replicas: i32,
    /// Of them, running the wanted template.
    pub updated_replicas: i32,
    /// Ordinals with a replica that has been ready for `rollout.minReadySeconds`.
    pub available_replicas: i32,
    /// Label selector of the replicas, for the scale subresource.
    pub selector: String,
    /// The listener in force: that of the last spec that was accepted. It tells an operator that starts who has a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerInForce>,
    /// The ring as it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingSummary>,
    /// `Accepted`, `Available`, `Progressing`, `Degraded`, `TlsReady` where the listener has TLS, and
    /// `ReplicaTlsReady` where replicas have it.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The ring in the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RingSummary {
    /// The algorithm's name.
    pub algorithm: String,
    /// How many members it has.
    pub members: i32,
    /// Equal on all processes that agree.
    pub fingerprint: String,
}

/// The listener in the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerInForce {
    /// TCP port, on every proxy.
    pub port: i32,
    /// Hosts whose requests are ours. Empty: any that no other LoadBalancer claims.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// TLS with clients. Absent: requests come in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsSpec>,
}
