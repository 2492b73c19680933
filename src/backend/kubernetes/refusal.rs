//! What a refusal of the API server means for a create, and its failures in words.

#[cfg(test)]
mod tests;

use std::error::Error;

use k8s_openapi::api::core::v1::Pod;
use kube::core::Status;

use super::pod::{is_load_balancer, owner};
use crate::backend::BackendError;
use crate::model::{FleetId, NewReplica};

/// Why a create failed. What the same try would meet again is a rejection, in the API server's own words.
pub(super) fn of_create(error: &kube::Error, fleet: &FleetId) -> BackendError {
    let kube::Error::Api(status) = error else { return unavailable(error) };
    let (namespace, said) = (&fleet.namespace, said(status));
    let rejected = |reason, message| BackendError::Rejected { reason, message };
    match status.code {
        403 if said.contains("cannot create resource \"pods\"") => rejected(
            "Forbidden",
            format!("Ringhold may not create pods in namespace {namespace}; allow its service account to: {said}"),
        ),
        403 if said.contains("exceeded quota") => rejected("QuotaExceeded", said),
        403 if is_ending(status) => BackendError::Unavailable { message: format!("namespace {namespace} is ending") },
        400 | 403 | 413 | 422 => rejected("PodRejected", said),
        404 => BackendError::Unavailable { message: format!("namespace {namespace} is gone: {said}") },
        _ => unavailable(error),
    }
}

/// The name that a replica needs is another pod's.
pub(super) fn name_taken(fleet: &FleetId, new: &NewReplica, by: &Pod) -> BackendError {
    let (namespace, name) = (&fleet.namespace, &new.name);
    match owner(by) {
        Some(owner) if is_load_balancer(owner) && owner.name == *fleet.name => BackendError::Unavailable {
            message: format!("pod {name} of an earlier LoadBalancer {fleet} is still there; Kubernetes removes it"),
        },
        owner => {
            let whose = owner.map_or("nobody's".to_owned(), |owner| format!("{} {}'s", owner.kind, owner.name));
            let message = format!(
                "pod {name} exists in namespace {namespace} and is {whose}; \
                 remove it: kubectl delete pod --namespace {namespace} {name}"
            );
            BackendError::Rejected { reason: "NameTaken", message }
        }
    }
}

/// The pod is ours and can't be read as a replica: something has changed its labels on the way in, or later.
pub(super) fn marks_changed(fleet: &FleetId, new: &NewReplica) -> BackendError {
    let (namespace, name) = (&fleet.namespace, &new.name);
    let message = format!(
        "pod {name} lacks labels that Ringhold gave it; see to it that nothing changes them, and remove the pod: \
         kubectl delete pod --namespace {namespace} {name}"
    );
    BackendError::Rejected { reason: "LabelsChanged", message }
}

/// The step was not taken, or its answer was lost.
pub(super) fn unavailable(error: &kube::Error) -> BackendError {
    let message = match error {
        kube::Error::Api(status) => format!("{} ({})", said(status), status.code),
        error => chain(error),
    };
    BackendError::Unavailable { message }
}

/// Whether the API server says that there is no such pod, or that the pod of this name is another copy.
pub(super) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether what was asked for as a condition does not hold.
pub(super) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether another copy bears the name by now, so that the one that was meant is gone. There is no reason for it but the
/// words.
pub(super) fn is_another_copy(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.message.contains("UID in precondition"))
}

/// Whether an object of this name exists already.
pub(super) fn already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

fn is_ending(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        || status.message.contains("because it is being terminated")
}

fn said(status: &Status) -> String {
    if status.message.is_empty() { status.reason.clone() } else { status.message.clone() }
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
