//! What of a pod template a local process can't honour. Better refused than left out in silence.

use serde_json::Value;

use crate::backend::Unsupported;
use crate::model::Desired;

const POD: &str = "spec.template.spec";

/// Lists of the first container that mean something only where there is a kubelet, each with the way out.
const CONTAINER_LISTS: [(&str, &str); 2] = [
    ("envFrom", "a local process has no ConfigMap or Secret to read; write the variables in env"),
    ("volumeMounts", "a local process has no volumes; remove it and let the program use paths of this machine"),
];

/// Every field that can't be honoured.
pub(super) fn unsupported(desired: &Desired) -> Vec<Unsupported> {
    let template = &*desired.template;
    let mut unsupported = Vec::new();
    let mut refuse = |path: String, message: &str| unsupported.push(Unsupported { path, message: message.to_owned() });
    if desired.route.replica_tls.is_some() {
        let message = "a local process is asked for its health in the clear; leave it out";
        refuse("spec.replicaTls".to_owned(), message);
    }
    let pod = &template.manifest["spec"];
    let containers = &template.containers;
    if is_filled(&pod["initContainers"]) {
        let message = "a local process has nothing that runs before it; remove it, or do its work in the command";
        refuse(format!("{POD}.initContainers"), message);
    }
    if containers.len() > 1 {
        let message = format!("{} containers: a local process stands for one; leave one", containers.len());
        refuse(format!("{POD}.containers"), &message);
    }
    let first = &pod["containers"][0];
    let path = format!("{POD}.containers[0]");
    if containers.first().is_some_and(|container| container.command.is_empty()) {
        let message = "missing: a local process has no image to take it from; name the program to run";
        refuse(format!("{path}.command"), message);
    }
    for (index, variable) in first["env"].as_array().into_iter().flatten().enumerate() {
        if !variable["valueFrom"].is_null() {
            let message = "a local process has no pod or cluster to take it from; write a value \
                           (RINGHOLD_NAME, RINGHOLD_ORDINAL, HOST and PORT are set)";
            refuse(format!("{path}.env[{index}].valueFrom"), message);
        }
    }
    for (field, message) in CONTAINER_LISTS {
        if is_filled(&first[field]) {
            refuse(format!("{path}.{field}"), message);
        }
    }
    unsupported
}

fn is_filled(list: &Value) -> bool {
    list.as_array().is_some_and(|items| !items.is_empty())
}
