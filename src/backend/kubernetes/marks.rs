//! What Ringhold writes on a pod, by name. A pod tells with these alone whose it is and what became of it, so that a
//! restarted Ringhold needs nothing else.

/// Who writes, as `managedFields` shows it.
pub const FIELD_MANAGER: &str = "ringhold";

/// Label: which program looks after the pod.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What [`MANAGED_BY`] says on our pods.
pub const RINGHOLD: &str = "ringhold";
/// Label: the name of the LoadBalancer.
pub const LOADBALANCER: &str = "ringhold.dev/loadbalancer";
/// Label: the place that the pod fills.
pub const ORDINAL: &str = "ringhold.dev/ordinal";
/// Label: the hash of the template.
pub const TEMPLATE: &str = "ringhold.dev/template";
/// Label: which pod in a row fills the ordinal.
pub const INCARNATION: &str = "ringhold.dev/incarnation";

/// Annotation: so many predecessors in a row failed.
pub const FAILURES: &str = "ringhold.dev/failures";
/// Annotation: the port that requests go to, as it was when the pod was created.
pub const PORT: &str = "ringhold.dev/port";
/// Annotation: since when the pod drains, as RFC 3339. Set by hand it may say anything.
pub const DRAINING_SINCE: &str = "ringhold.dev/draining-since";
/// Annotation or label, set by people: the first to go when the fleet shrinks. `false` is as good as absent.
pub const REMOVE_FIRST: &str = "ringhold.dev/remove-first";

/// API group and version of the owner.
pub(super) const OWNER_API: &str = "ringhold.dev/v1alpha1";
/// Kind of the owner.
pub(super) const OWNER_KIND: &str = "LoadBalancer";

/// Selects the pods of all LoadBalancers.
#[must_use]
pub fn every_pod() -> String {
    format!("{MANAGED_BY}={RINGHOLD}")
}

/// Selects the pods of the LoadBalancer of this name, within its namespace; what `status.selector` says.
#[must_use]
pub fn pods_of(loadbalancer: &str) -> String {
    format!("{MANAGED_BY}={RINGHOLD},{LOADBALANCER}={loadbalancer}")
}
