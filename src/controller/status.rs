//! What the resource's status says of a fleet. It changes only when something has changed: equal statuses are not written
//! again, and a condition keeps the time of its last transition over restarts and changes of the leader.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ResourceCondition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::api::{ListenerInForce, ListenerTlsSpec, LoadBalancer, LoadBalancerStatus, MinTlsVersion, RingSummary};
use crate::backend::kubernetes::marks::pods_of;
use crate::model::{
    Condition, ConditionStatus, ConditionType, FleetId, FleetStatus, Listener, ListenerTls, RingStatus, TlsVersion,
};

/// The resource's status.
#[must_use]
pub(super) fn describe(
    id: &FleetId,
    generation: i64,
    status: &FleetStatus,
    listener: Option<&Listener>,
) -> LoadBalancerStatus {
    let FleetStatus {
        observed_generation: _, // that of the spec in force; the conditions have it
        desired_replicas: _,    // stands in the spec
        replicas,
        ready_replicas,
        updated_replicas,
        available_replicas,
        ring,
        conditions,
        members: _, // kubectl get pods
    } = status;
    LoadBalancerStatus {
        observed_generation: generation,
        replicas: i32::from(*replicas),
        ready_replicas: i32::from(*ready_replicas),
        updated_replicas: i32::from(*updated_replicas),
        available_replicas: i32::from(*available_replicas),
        listener: listener.map(in_force),
        selector: pods_of(&id.name),
        ring: ring.as_ref().map(summarise),
        conditions: conditions.iter().map(condition).collect(),
    }
}

fn in_force(listener: &Listener) -> ListenerInForce {
    let Listener { port, hostnames, tls } = listener;
    let tls = tls.as_ref().map(|ListenerTls { secret, files, min_version }| ListenerTlsSpec {
        secret_name: secret.clone(),
        certificate_file: files.as_ref().map(|files| files.certificate.clone()),
        key_file: files.as_ref().map(|files| files.key.clone()),
        min_version: match min_version {
            TlsVersion::Tls12 => MinTlsVersion::Tls12,
            TlsVersion::Tls13 => MinTlsVersion::Tls13,
        },
    });
    ListenerInForce { port: i32::from(*port), hostnames: hostnames.clone(), tls }
}

fn summarise(ring: &RingStatus) -> RingSummary {
    let RingStatus { algorithm, members, fingerprint } = ring;
    RingSummary {
        algorithm: (*algorithm).to_owned(),
        members: i32::try_from(*members).unwrap_or(i32::MAX),
        fingerprint: fingerprint.clone(),
    }
}

fn condition(condition: &Condition) -> ResourceCondition {
    let Condition { kind, status, observed_generation, last_transition_time, reason, message } = condition;
    ResourceCondition {
        type_: format!("{kind:?}"),
        status: format!("{status:?}"),
        observed_generation: Some(*observed_generation),
        // A condition's time has whole seconds; what is compared must be what can be written.
        last_transition_time: Time(Timestamp::from_second(last_transition_time.as_second()).unwrap_or_default()),
        reason: (*reason).to_owned(),
        message: message.clone(),
    }
}

/// The conditions that the resource has, as far as the next ones are compared with them.
#[must_use]
pub(super) fn conditions(resource: &LoadBalancer) -> Vec<Condition> {
    let stated = resource.status.iter().flat_map(|status| &status.conditions);
    stated.filter_map(recall).collect()
}

fn recall(stated: &ResourceCondition) -> Option<Condition> {
    let kinds = [
        ConditionType::Accepted,
        ConditionType::Available,
        ConditionType::Degraded,
        ConditionType::Progressing,
        ConditionType::ReplicaTlsReady,
        ConditionType::TlsReady,
    ];
    Some(Condition {
        kind: kinds.into_iter().find(|kind| format!("{kind:?}") == stated.type_)?,
        status: ConditionStatus::from(stated.status == "True"),
        observed_generation: stated.observed_generation.unwrap_or_default(),
        last_transition_time: stated.last_transition_time.0,
        reason: "", // only for people, and they have it already
        message: stated.message.clone(),
    })
}

/// Writes the status.
///
/// # Errors
/// The API server refused it or did not answer. That the resource is gone is no error.
pub(super) async fn write(
    client: &Client,
    resource: &LoadBalancer,
    status: &LoadBalancerStatus,
    manager: &str,
) -> kube::Result<()> {
    let (Some(namespace), Some(name)) = (&resource.metadata.namespace, &resource.metadata.name) else { return Ok(()) };
    let patch = json!({
        "apiVersion": LoadBalancer::api_version(&()),
        "kind": LoadBalancer::kind(&()),
        "metadata": {"uid": resource.metadata.uid},
        "status": status,
    });
    let api = Api::<LoadBalancer>::namespaced(client.clone(), namespace);
    match api.patch_status(name, &PatchParams::apply(manager).force(), &Patch::Apply(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
