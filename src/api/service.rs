//! The Service in front of the proxies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service in front of the proxies. With no field at all there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Who reaches the Service. Absent: ClusterIP, from within the cluster.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
    /// The Service's port. Absent: 80. The proxies themselves listen on `spec.listener.port`.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// The port on every node, for NodePort and LoadBalancer; it must lie within the cluster's range. Absent: the
    /// cluster chooses one.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<i32>,
    /// Annotations of the Service, such as a cloud's load balancer reads.
    #[schemars(extend("maxProperties" = 64), inner(length(max = 4_096)))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the Service, besides those that Ringhold sets.
    #[schemars(extend("maxProperties" = 64), inner(length(max = 63)))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Which implementation provides a LoadBalancer. Absent: the cluster's own. It can't be changed once the Service
    /// exists.
    #[schemars(length(min = 1, max = 317))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// For NodePort and LoadBalancer: Local keeps the client's address and uses only proxies on the node that a request
    /// reaches. Absent: Cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// Who reaches a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum ServiceType {
    /// Who is within the cluster.
    #[default]
    ClusterIP,
    /// Who reaches a node.
    NodePort,
    /// Everybody, through a load balancer of the cluster's provider.
    LoadBalancer,
}

/// Which proxies a request from outside may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// Any; the client's address may be lost on the way.
    #[default]
    Cluster,
    /// Those on the node that the request reaches; the client's address is kept.
    Local,
}

// === impl ServiceSpec ===

impl ServiceSpec {
    /// What a spec that says nothing gets: reachable from within the cluster on port 80.
    #[must_use]
    pub fn usual() -> Self {
        Self { kind: Some(ServiceType::ClusterIP), port: Some(80), ..Self::default() }
    }
}
