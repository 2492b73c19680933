//! From a pod, as the API server shows it, to a replica. Pure: no clock, no cluster.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference, Time};

use super::life::{Life, life};
use super::marks;
use super::trouble::trouble;
use super::version::Version;
use crate::model::{
    FleetId, FleetUid, Incarnation, Ordinal, Replica, ReplicaName, ReplicaState, ReplicaUid, TemplateHash, Traffic,
    elapsed,
};

/// One of our pods at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) fleet: FleetId,
    /// Which LoadBalancer owns it; an earlier one of the same name has another uid.
    pub(super) owner: FleetUid,
    pub(super) version: Version,
    pub(super) name: ReplicaName,
    pub(super) uid: ReplicaUid,
    pub(super) ordinal: Ordinal,
    pub(super) incarnation: Incarnation,
    pub(super) template: TemplateHash,
    pub(super) failures: u32,
    pub(super) address: Option<SocketAddr>,
    pub(super) created_at: Timestamp,
    pub(super) remove_first: bool,
    pub(super) drain_mark: Option<DrainMark>,
    pub(super) life: Life,
    /// What keeps it from getting ready.
    pub(super) trouble: Option<String>,
}

/// What the drain mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainMark {
    /// Since when, as Ringhold writes it.
    Since(Timestamp),
    /// Somebody set it by hand and gave no time; when they did, if `managedFields` tells.
    ByHand(Option<Timestamp>),
}

/// What was seen of a pod and does not stand on it. May be lost: then the pod alone is asked, which tells less exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// It is ready since then.
    ready_since: Option<Timestamp>,
    /// It was ready for so long, the last time that it was.
    last_ready: Option<Duration>,
    /// When a mark without a time was first seen.
    marked_at: Option<Timestamp>,
}

// === impl Sighting ===

impl Sighting {
    /// Reads a pod. `None`: it is none of ours, whatever some of its labels say.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let nothing = BTreeMap::new();
        let labels = pod.metadata.labels.as_ref().unwrap_or(&nothing);
        let annotations = pod.metadata.annotations.as_ref().unwrap_or(&nothing);
        let label = |name| labels.get(name).map(String::as_str);
        if label(marks::MANAGED_BY) != Some(marks::RINGHOLD) {
            return None;
        }
        let owner = owner(pod).filter(|owner| is_load_balancer(owner))?;
        let fleet = FleetId::new(pod.metadata.namespace.as_deref()?, label(marks::LOADBALANCER)?);
        let ordinal = Ordinal(label(marks::ORDINAL)?.parse().ok()?);
        let incarnation = Incarnation(label(marks::INCARNATION)?.parse().ok()?);
        let template = TemplateHash(label(marks::TEMPLATE)?.into());
        let name = ReplicaName::new(&fleet, ordinal, &template, incarnation);
        if pod.metadata.name.as_deref() != Some(name.as_str()) || owner.name != *fleet.name {
            return None;
        }
        let Time(created_at) = *pod.metadata.creation_timestamp.as_ref()?;
        let life = life(pod, created_at);
        let number = |name| annotations.get(name).and_then(|text| text.parse().ok());
        let is_set = |value: Option<&String>| value.is_some_and(|value| value != "false");
        Some(Self {
            owner: FleetUid(owner.uid.as_str().into()),
            version: Version::new(pod.metadata.resource_version.as_deref().unwrap_or_default()),
            name,
            uid: ReplicaUid(pod.metadata.uid.as_deref()?.into()),
            ordinal,
            incarnation,
            template,
            failures: number(marks::FAILURES).unwrap_or(0),
            address: address(pod, annotations.get(marks::PORT)),
            created_at,
            remove_first: is_set(annotations.get(marks::REMOVE_FIRST)) || is_set(labels.get(marks::REMOVE_FIRST)),
            drain_mark: annotations.get(marks::DRAINING_SINCE).map(|text| DrainMark::read(text, pod)),
            trouble: trouble(pod).filter(|_| matches!(life, Life::NotReady { .. })),
            life,
            fleet,
        })
    }

    /// The replica, with what was seen of it before.
    pub(super) fn replica(&self, past: &Past) -> Replica {
        Replica {
            name: self.name.clone(),
            uid: self.uid.clone(),
            ordinal: self.ordinal,
            incarnation: self.incarnation,
            template: self.template.clone(),
            failures: self.failures,
            address: self.address,
            state: self.state(past),
            trouble: self.trouble.clone(),
            created_at: self.created_at,
            draining_since: self.drain_mark.and_then(|mark| match mark {
                DrainMark::Since(since) => Some(since),
                DrainMark::ByHand(since) => past.marked_at.or(since),
            }),
            remove_first: self.remove_first,
            traffic: Traffic::default(),
        }
    }

    fn state(&self, past: &Past) -> ReplicaState {
        match &self.life {
            Life::NotReady { since, was_ready } if *was_ready || past.was_ready() => {
                ReplicaState::Unready { since: *since }
            }
            Life::NotReady { .. } => ReplicaState::Starting,
            Life::Ready { since } => ReplicaState::Ready { since: *since },
            Life::Terminating => ReplicaState::Terminating,
            Life::Ended { at, ran_for, was_ready, reason } => {
                let unless_seen = if *was_ready { *ran_for } else { Duration::ZERO };
                let ready_for = past.last_ready.unwrap_or(unless_seen);
                ReplicaState::Dead { since: *at, ready_for, reason: reason.clone() }
            }
        }
    }
}

/// The address that requests go to, once the pod has one. The port stands on the pod, for a later template may have
/// another.
fn address(pod: &Pod, port: Option<&String>) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, port?.parse().ok().filter(|port| *port != 0)?))
}

/// Who controls a pod.
pub(super) fn owner(pod: &Pod) -> Option<&OwnerReference> {
    pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether an owner is a LoadBalancer, of whichever version of our API.
pub(super) fn is_load_balancer(owner: &OwnerReference) -> bool {
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    owner.kind == marks::OWNER_KIND && group(&owner.api_version) == group(marks::OWNER_API)
}

// === impl DrainMark ===

impl DrainMark {
    fn read(text: &str, pod: &Pod) -> Self {
        match text.parse() {
            Ok(since) => Self::Since(since),
            Err(_) => Self::ByHand(latest_write_of_mark(pod)),
        }
    }
}

/// When somebody wrote the mark: the time of whoever `managedFields` names as its writer.
fn latest_write_of_mark(pod: &Pod) -> Option<Timestamp> {
    let mark = format!("f:{}", marks::DRAINING_SINCE);
    let wrote = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:metadata"]["f:annotations"][&mark]);
        fields.is_some_and(|field| !field.is_null())
    };
    let writes = pod.metadata.managed_fields.iter().flatten().filter(wrote);
    writes.filter_map(|entry| entry.time.as_ref()).map(|Time(time)| *time).max()
}

// === impl Past ===

impl Past {
    /// Takes in what is seen at `now`.
    pub(super) fn note(&mut self, sighting: &Sighting, now: Timestamp) {
        match sighting.life {
            Life::Ready { since } => self.ready_since = Some(since),
            Life::NotReady { since: end, .. } | Life::Ended { at: end, .. } => {
                if let Some(since) = self.ready_since.take() {
                    self.last_ready = Some(elapsed(since, end));
                }
            }
            Life::Terminating => {}
        }
        match sighting.drain_mark {
            Some(DrainMark::ByHand(since)) => {
                self.marked_at.get_or_insert(since.unwrap_or(now));
            }
            Some(DrainMark::Since(_)) | None => self.marked_at = None,
        }
    }

    fn was_ready(&self) -> bool {
        self.ready_since.is_some() || self.last_ready.is_some()
    }
}
