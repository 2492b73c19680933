//! Names and identities. Everything that is hashed, compared or written on a replica has a type of its own here.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A LoadBalancer's identity: the namespace and name of its resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetId {
    /// The resource's namespace; `default` where there is no cluster.
    pub namespace: Arc<str>,
    /// The resource's name.
    pub name: Arc<str>,
}

/// The stable identity of a place in the fleet. Replicas come and go, ordinals stay; the ring hashes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Ordinal(pub u16);

/// Which replica in a row fills an ordinal, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Incarnation(pub u32);

/// Identifies a template's content, so that a changed template starts a rollout and an equal one does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TemplateHash(pub Arc<str>);

/// `FLEET-ORDINAL-TEMPLATEHASH-INCARNATION`: deterministic, so a repeated create is "already exists", never a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReplicaName(Arc<str>);

/// Given by the backend to one running copy; never reused, so a delete hits the copy that was meant or none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReplicaUid(pub Arc<str>);

/// Given by the API server to one LoadBalancer; never reused, so what an earlier one of the same name left behind is not
/// taken for ours. Without a cluster it is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FleetUid(pub Arc<str>);

// === impl FleetId ===

impl FleetId {
    /// The namespace of every LoadBalancer that no cluster placed in one.
    pub const DEFAULT_NAMESPACE: &'static str = "default";

    /// A LoadBalancer called `name` in the namespace `default`.
    #[must_use]
    pub fn local(name: &str) -> Self {
        Self::new(Self::DEFAULT_NAMESPACE, name)
    }

    /// A LoadBalancer called `name` in `namespace`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for FleetId {
    /// `NAME`, with `NAMESPACE/` before it unless that is `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.namespace == Self::DEFAULT_NAMESPACE {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

// === impl Ordinal, Incarnation, TemplateHash ===

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Incarnation {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TemplateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl ReplicaName, ReplicaUid ===

impl ReplicaName {
    /// The only name that this incarnation of this ordinal can have.
    #[must_use]
    pub fn new(fleet: &FleetId, ordinal: Ordinal, template: &TemplateHash, incarnation: Incarnation) -> Self {
        Self(format!("{}-{ordinal}-{template}-{incarnation}", fleet.name).into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FleetUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ReplicaUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
