//! What the resource's status says.

use crate::api::ListenerSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fleet as it was last observed. Nothing here changes by itself.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
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
    /// Where requests arrive: what was last accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerSpec>,
    /// Label selector of the replicas, for the scale subresource.
    pub selector: String,
    /// The ring as it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingSummary>,
    /// `Accepted`, `Available`, `Progressing`, `Degraded`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
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
