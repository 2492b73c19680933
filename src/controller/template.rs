//! From a pod template to what backends run, and the hash that tells one template from another.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as PodContainer, ContainerPort, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use siphasher::sip::SipHasher13;

use crate::api::{LoadBalancerSpec, MOST_CONTAINERS, MOST_PORTS};
use crate::controller::manifest;
use crate::controller::validate::{Checker, is_label};
use crate::model::{Container, Template, TemplateHash};

/// Where the template stands in the resource.
pub(super) const PATH: &str = "spec.template";
/// What Kubernetes grants where a pod says nothing.
const DEFAULT_GRACE_SECONDS: u64 = 30;

/// The template, or `None` with the errors noted.
pub(super) fn template(spec: &LoadBalancerSpec, check: &mut Checker) -> Option<Template> {
    let manifest = &spec.template.0;
    let typed: PodTemplateSpec = match serde_path_to_error::deserialize(manifest) {
        Ok(typed) => typed,
        Err(error) => {
            check.note(manifest::mismatch(manifest, PATH, &error));
            return None;
        }
    };
    let Some(pod) = &typed.spec else {
        check.fail("spec.template.spec", "", "missing: declare at least one container");
        return None;
    };
    if pod.containers.is_empty() {
        check.fail("spec.template.spec.containers", "", "empty: declare at least one container");
        return None;
    }
    let grace = pod.termination_grace_period_seconds.map_or(DEFAULT_GRACE_SECONDS, |seconds| {
        check.number("spec.template.spec.terminationGracePeriodSeconds", seconds, 0, 86_400)
    });
    let port = target_port(spec, &pod.containers, check);
    check.count("spec.template.spec.containers", pod.containers.len(), "containers", MOST_CONTAINERS as usize);
    let mut names = BTreeSet::new();
    for (index, container) in pod.containers.iter().enumerate().filter(|(_, container)| !names.insert(&container.name))
    {
        let path = format!("spec.template.spec.containers[{index}].name");
        check.fail(&path, &container.name, "another container has this name; choose a new one");
    }
    let containers = pod.containers.iter().enumerate().map(|(index, pod)| container(index, pod, port, check)).collect();
    Some(Template {
        hash: hash(manifest),
        manifest: manifest.clone(),
        containers,
        termination_grace: Duration::from_secs(grace),
    })
}

/// `spec.targetPort`, looked up by name or taken as a number; by default the first container's first port, else 8080.
fn target_port(spec: &LoadBalancerSpec, containers: &[PodContainer], check: &mut Checker) -> u16 {
    const TARGET_PORT: &str = "spec.targetPort";
    let mut ports = Vec::new();
    for (place, container) in containers.iter().enumerate() {
        let path = format!("spec.template.spec.containers[{place}].ports");
        let declared = container.ports.as_deref().unwrap_or_default();
        check.count(&path, declared.len(), "ports", MOST_PORTS as usize);
        ports.extend(
            declared.iter().enumerate().map(|(index, port)| named_port(port, &format!("{path}[{index}]"), check)),
        );
    }
    match &spec.target_port {
        None => ports.first().map_or(8080, |(_, number)| *number),
        Some(IntOrString::Int(number)) => check.number(TARGET_PORT, *number, 1, u16::MAX),
        Some(IntOrString::String(name)) => {
            let is_wanted = |(known, _): &&(Option<&str>, u16)| *known == Some(name);
            if let Some((_, number)) = ports.iter().find(is_wanted) {
                return *number;
            }
            let known: Vec<&str> = ports.iter().filter_map(|(name, _)| *name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let rule = format!("no container port of the template has this name (named ports: {known})");
            check.fail(TARGET_PORT, name, &rule);
            1
        }
    }
}

fn named_port<'a>(port: &'a ContainerPort, path: &str, check: &mut Checker) -> (Option<&'a str>, u16) {
    let name = port.name.as_deref();
    if let Some(name) = name.filter(|name| !is_port_name(name)) {
        let rule = "use 1 to 15 of a-z, 0-9 and single -, with a letter, neither beginning nor ending with -";
        check.fail(&format!("{path}.name"), name, rule);
    }
    (name, check.number(&format!("{path}.containerPort"), port.container_port, 1, u16::MAX))
}

fn container(index: usize, pod: &PodContainer, port: u16, check: &mut Checker) -> Container {
    if !is_label(&pod.name) {
        let path = format!("spec.template.spec.containers[{index}].name");
        check.fail(&path, &pod.name, "use 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -");
    }
    let mut env = BTreeMap::new();
    for (place, variable) in pod.env.iter().flatten().enumerate() {
        if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
            let path = format!("spec.template.spec.containers[{index}].env[{place}].name");
            check.fail(&path, &variable.name, "use a variable name without =");
        } else if let Some(value) = &variable.value {
            env.insert(variable.name.clone(), value.clone());
        }
    }
    Container {
        name: pod.name.clone(),
        image: pod.image.clone().unwrap_or_default(),
        command: pod.command.clone().unwrap_or_default(),
        args: pod.args.clone().unwrap_or_default(),
        env,
        working_dir: pod.working_dir.clone(),
        port,
    }
}

/// What Kubernetes takes for a port's name, so that a template that runs here is not refused there.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && is_label(name)
        && !name.contains("--")
        && name.contains(|letter: char| letter.is_ascii_lowercase())
}

/// Eight hexadecimal digits that depend on the template's content alone: SipHash-1-3 over its JSON with sorted keys and
/// without nulls.
pub(super) fn hash(manifest: &Value) -> TemplateHash {
    let mut hasher = SipHasher13::new();
    feed(manifest, &mut hasher);
    TemplateHash(format!("{:08x}", hasher.finish() >> 32).into())
}

fn feed(value: &Value, hasher: &mut SipHasher13) {
    match value {
        Value::Object(fields) => {
            // To Kubernetes a null is a field that is not there.
            let sorted: BTreeMap<_, _> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            hasher.write(b"{");
            for (name, value) in sorted {
                hasher.write(Value::String(name.clone()).to_string().as_bytes());
                hasher.write(b":");
                feed(value, hasher);
            }
            hasher.write(b"}");
        }
        Value::Array(items) => {
            hasher.write(b"[");
            for item in items {
                feed(item, hasher);
                hasher.write(b",");
            }
            hasher.write(b"]");
        }
        scalar => hasher.write(scalar.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_depends_on_content_and_not_on_order_or_nulls() {
        let one = json!({"spec": {"containers": [{"name": "a", "image": "x"}]}, "metadata": {"labels": {"k": "v"}}});
        let same = json!({
            "metadata": {"creationTimestamp": null, "labels": {"k": "v"}},
            "spec": {"containers": [{"image": "x", "name": "a"}]},
        });
        let other = json!({"metadata": {"labels": {"k": "v"}}, "spec": {"containers": [{"image": "y", "name": "a"}]}});
        assert_eq!(hash(&one), hash(&same));
        assert_ne!(hash(&one), hash(&other));
        assert_eq!(hash(&one).0.len(), 8);
    }

    #[test]
    fn a_port_is_named_as_kubernetes_wants_it() {
        for name in ["a", "http", "h2c", "8080-tcp", &"x".repeat(15)] {
            assert!(is_port_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "Web", "a.b", "a--b", "8080", &"x".repeat(16)] {
            assert!(!is_port_name(name), "{name}");
        }
    }
}
