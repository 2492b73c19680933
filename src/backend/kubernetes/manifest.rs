//! From a template to the pod that is created. The template stays JSON all the way, so that a field which is newer than
//! Ringhold reaches the API server.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::marks;
use crate::model::{Desired, NewReplica};

/// The pod template as replicas run it: the declared one, with a readiness probe from `spec.health` where the container
/// that takes the requests has none. A change of `spec.health` changes it, too. Doing this twice changes nothing more.
#[must_use]
pub fn effective_manifest(desired: &Desired) -> Value {
    let mut manifest = desired.template.manifest.clone();
    let port = target_port(desired);
    if let Some(container) = serving_container(&mut manifest, port)
        && container.get("readinessProbe").is_none_or(Value::is_null)
    {
        container.insert("readinessProbe".to_owned(), probe(desired, port));
    }
    manifest
}

/// The pod of a replica.
pub(super) fn pod(desired: &Desired, new: &NewReplica) -> Value {
    let mut manifest = effective_manifest(desired);
    let port = target_port(desired);
    add_environment(&mut manifest, new, port);
    let Desired { id, uid, .. } = desired;
    let labels = [
        (marks::MANAGED_BY, marks::RINGHOLD.to_owned()),
        (marks::LOADBALANCER, id.name.to_string()),
        (marks::ORDINAL, new.ordinal.to_string()),
        (marks::TEMPLATE, new.template.to_string()),
        (marks::INCARNATION, new.incarnation.to_string()),
    ];
    let annotations = [(marks::FAILURES, new.failures.to_string()), (marks::PORT, port.to_string())];
    // As in a Deployment, these are all of the template's metadata that mean something on a pod.
    let template = manifest.get_mut("metadata").map(Value::take).unwrap_or_default();
    let mut metadata = Map::new();
    if let Some(finalizers) = template.get("finalizers").filter(|finalizers| !finalizers.is_null()) {
        metadata.insert("finalizers".to_owned(), finalizers.clone());
    }
    metadata.insert("name".to_owned(), json!(new.name.as_str()));
    metadata.insert("namespace".to_owned(), json!(&*id.namespace));
    metadata.insert("labels".to_owned(), merged(&template["labels"], labels));
    let mut annotations = merged(&template["annotations"], annotations);
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(marks::DRAINING_SINCE); // a replica that drains from its birth would never end a rollout
    }
    metadata.insert("annotations".to_owned(), annotations);
    metadata.insert(
        "ownerReferences".to_owned(),
        json!([{
            "apiVersion": marks::OWNER_API,
            "kind": marks::OWNER_KIND,
            "name": &*id.name,
            "uid": &*uid.0,
            "controller": true,
            "blockOwnerDeletion": true,
        }]),
    );
    let spec = manifest.get_mut("spec").map(Value::take).unwrap_or_default();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// The port that requests go to; each container of the core's template knows it.
fn target_port(desired: &Desired) -> u16 {
    desired.template.containers.first().map_or(8080, |container| container.port)
}

/// The container that declares the port, else the first.
fn serving_container(manifest: &mut Value, port: u16) -> Option<&mut Map<String, Value>> {
    let containers = manifest.get_mut("spec")?.get_mut("containers")?.as_array_mut()?;
    let declares = |container: &Value| {
        let ports = container["ports"].as_array();
        ports.is_some_and(|ports| ports.iter().any(|declared| declared["containerPort"] == port))
    };
    let serving = containers.iter().position(declares).unwrap_or(0);
    containers.get_mut(serving)?.as_object_mut()
}

fn probe(desired: &Desired, port: u16) -> Value {
    let health = &desired.health;
    // A kubelet that asks by HTTPS takes any certificate; who sends requests does not.
    let scheme = if desired.route.replica_tls.is_some() { "HTTPS" } else { "HTTP" };
    let (kind, question) = match &health.path {
        Some(path) => ("httpGet", json!({"path": path, "port": port, "scheme": scheme})),
        // A kubelet does not speak HTTP/2.
        None => ("tcpSocket", json!({"port": port})),
    };
    json!({
        kind: question,
        "periodSeconds": whole_seconds(health.period),
        "timeoutSeconds": whole_seconds(health.timeout),
        "failureThreshold": health.failure_threshold,
        "successThreshold": 1,
    })
}

/// Rounded up, for a kubelet counts in seconds and takes none for "nothing said".
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// Tells every container its replica's name and ordinal, and the one that serves its port. What the template sets stays.
fn add_environment(manifest: &mut Value, new: &NewReplica, port: u16) {
    let place = [("RINGHOLD_NAME", new.name.to_string()), ("RINGHOLD_ORDINAL", new.ordinal.to_string())];
    for list in ["initContainers", "containers"] {
        let containers = manifest.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            set_unless_set(container, &place);
        }
    }
    if let Some(container) = serving_container(manifest, port) {
        set_unless_set(container, &[("PORT", port.to_string())]);
    }
}

/// Ours come first, so that the template's own variables may refer to them.
fn set_unless_set(container: &mut Map<String, Value>, variables: &[(&str, String)]) {
    let env = container.entry("env").or_insert(Value::Null);
    if env.is_null() {
        *env = Value::Array(Vec::new());
    }
    let Some(env) = env.as_array_mut() else { return }; // the API server says what is wrong with it
    let missing = variables.iter().filter(|(name, _)| !env.iter().any(|variable| variable["name"] == *name));
    let missing: Vec<Value> = missing.map(|(name, value)| json!({"name": name, "value": value})).collect();
    env.splice(..0, missing);
}

/// The template's entries with ours over them. What is no map is left for the API server to refuse.
fn merged<const N: usize>(template: &Value, ours: [(&str, String); N]) -> Value {
    let mut merged = match template {
        Value::Null => Map::new(),
        Value::Object(entries) => entries.clone(),
        other => return other.clone(),
    };
    merged.extend(ours.map(|(name, value)| (name.to_owned(), Value::String(value))));
    Value::Object(merged)
}
