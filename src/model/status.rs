//! What to tell people about a fleet: the resource's status, the admin API and the narration all show this.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{Incarnation, Ordinal, ReplicaName, ReplicaUid, TemplateHash};

/// A fleet's state at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// Generation of the spec that this status speaks of.
    pub observed_generation: i64,
    /// Wanted ordinals.
    pub desired_replicas: u16,
    /// Replicas that exist and are not draining or dead.
    pub replicas: u16,
    /// Of them, ready.
    pub ready_replicas: u16,
    /// Of them, running the wanted template.
    pub updated_replicas: u16,
    /// Ordinals with a replica ready for at least `minReadySeconds`.
    pub available_replicas: u16,
    /// The ring as it is published; `None` before the first.
    pub ring: Option<RingStatus>,
    /// One of each type, sorted by type.
    pub conditions: Vec<Condition>,
    /// Every replica, sorted by ordinal and incarnation.
    pub members: Vec<ReplicaStatus>,
}

/// The ring in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RingStatus {
    /// The algorithm's name.
    pub algorithm: &'static str,
    /// How many members it has.
    pub members: usize,
    /// Equal on all processes that agree.
    pub fingerprint: String,
}

/// One replica, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its name.
    pub name: ReplicaName,
    /// Which copy.
    pub uid: ReplicaUid,
    /// Its place.
    pub ordinal: Ordinal,
    /// Which in a row it is there.
    pub incarnation: Incarnation,
    /// What it runs.
    pub template: TemplateHash,
    /// `Starting`, `Ready`, `Unready`, `Draining`, `Terminating` or `Dead`.
    pub state: &'static str,
    /// Why, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it takes requests.
    pub address: Option<SocketAddr>,
    /// Marked to go first when the fleet shrinks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remove_first: bool,
    /// Requests that it still had when it was last looked at, if it is on its way out.
    #[serde(skip)]
    pub finishing: Option<usize>,
}

/// One statement about a fleet, in the form of `metav1.Condition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Generation of the spec that it speaks of.
    pub observed_generation: i64,
    /// When the status last changed.
    pub last_transition_time: Timestamp,
    /// CamelCase, for machines.
    pub reason: &'static str,
    /// For people, with the way out.
    pub message: String,
}

/// The conditions of a LoadBalancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ConditionType {
    /// The spec is valid and its port and hosts are ours.
    Accepted,
    /// Enough replicas serve.
    Available,
    /// Something keeps failing.
    Degraded,
    /// The fleet is on its way to what the spec says.
    Progressing,
    /// It is known who vouches for replicas. Only where the spec wants TLS with them.
    ReplicaTlsReady,
    /// The listener has a certificate that clients can take. Only where it wants one.
    TlsReady,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
}

// === impl FleetStatus ===

impl FleetStatus {
    /// The condition of this type, where it has been stated.
    #[must_use]
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}
