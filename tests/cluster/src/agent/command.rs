//! What a pod's first container runs: its program, arguments and environment.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt;

use super::life::Waiting;

/// What to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
}

// === impl Command ===

impl Command {
    /// The first container's command, with programs from `folder`.
    pub(super) fn new(pod: &Pod, container: &Container, address: Ipv4Addr, folder: &Path) -> Result<Self, Waiting> {
        let image = container.image.as_deref().unwrap_or_default();
        let of_image = folder.join(program_name(image));
        if !of_image.is_file() {
            let reason = match container.image_pull_policy.as_deref() {
                Some("Never") => "ErrImageNeverPull",
                _ => "ImagePullBackOff",
            };
            return Err(Waiting { reason, message: format!("there is no {}", of_image.display()) });
        }
        let mut environment = BTreeMap::from([("HOSTNAME".to_owned(), pod.name_any())]);
        if container.env_from.as_ref().is_some_and(|from| !from.is_empty()) {
            return Err(unsupported("envFrom"));
        }
        for variable in container.env.iter().flatten() {
            let value = value(pod, variable, address, &environment)?;
            environment.insert(variable.name.clone(), value);
        }
        // All pods share one network here, so each has to listen on its own address alone.
        environment.insert("HOST".to_owned(), address.to_string());

        let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
            words.iter().flatten().map(|word| expand(word, &environment)).collect()
        };
        let (mut command, arguments) = (expanded(&container.command), expanded(&container.args));
        let program = if command.is_empty() { None } else { Some(PathBuf::from(command.remove(0))) };
        // A path within the image means the program of the image; anything else is one of this machine: `sh`.
        let program = program.filter(|program| program.file_name() != of_image.file_name()).unwrap_or(of_image);
        Ok(Self { program, arguments: [command, arguments].concat(), environment })
    }
}

/// `name` of `registry:5000/path/name:tag@digest`.
fn program_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

fn value(pod: &Pod, variable: &EnvVar, address: Ipv4Addr, known: &BTreeMap<String, String>) -> Result<String, Waiting> {
    let Some(source) = &variable.value_from else {
        return Ok(expand(variable.value.as_deref().unwrap_or_default(), known));
    };
    let Some(field) = &source.field_ref else { return Err(unsupported("valueFrom but fieldRef")) };
    let spec = pod.spec.clone().unwrap_or_default();
    let value = match field.field_path.as_str() {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => spec.node_name,
        "spec.serviceAccountName" => spec.service_account_name,
        "status.podIP" | "status.podIPs" => Some(address.to_string()),
        "status.hostIP" | "status.hostIPs" => Some(Ipv4Addr::LOCALHOST.to_string()),
        path => {
            let of = |map: &BTreeMap<String, String>, prefix: &str| {
                let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
                Some(map.get(key).cloned().unwrap_or_default())
            };
            of(pod.labels(), "metadata.labels").or_else(|| of(pod.annotations(), "metadata.annotations"))
        }
    };
    value.ok_or_else(|| unsupported(&field.field_path))
}

fn unsupported(what: &str) -> Waiting {
    Waiting { reason: "CreateContainerConfigError", message: format!("the tests' own agent does not know {what}") }
}

/// Replaces each `$(NAME)` that is known; `$$(NAME)` stands for `$(NAME)` itself.
fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let reference = after.strip_prefix('(').and_then(|name| name.split_once(')'));
        match reference.and_then(|(name, behind)| Some((known.get(name)?, behind))) {
            Some((value, behind)) => {
                expanded.push_str(value);
                rest = behind;
            }
            None => {
                expanded.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
                // Whatever follows `$$` is plain.
                if rest.len() < after.len() && rest.starts_with('(') {
                    expanded.push('(');
                    rest = &rest[1..];
                }
            }
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);

    fn command(container: &Value) -> Result<Command, Waiting> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server"), "").unwrap();
        let pod = json!({
            "metadata": {"name": "web-0", "namespace": "n", "labels": {"a/b": "c"}},
            "spec": {"nodeName": "node", "containers": [container]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let mut command = Command::new(&pod, container, ADDRESS, folder.path())?;
        if let Ok(program) = command.program.strip_prefix(folder.path()) {
            command.program = Path::new("FOLDER").join(program);
        }
        Ok(command)
    }

    #[test]
    fn a_container_becomes_a_command_of_this_machine() {
        let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        let found = command(&json!({
            "name": "server",
            "image": "registry:5000/some/server:dev",
            "command": ["/server", "--name=$(NAME)"],
            "args": ["--at=$(IP)", "$$(NAME)", "$(UNKNOWN)", "5$"],
            "env": [
                {"name": "NAME", "valueFrom": field("metadata.name")},
                {"name": "IP", "valueFrom": field("status.podIP")},
                {"name": "LABEL", "valueFrom": field("metadata.labels['a/b']")},
                {"name": "BOTH", "value": "$(NAME) on $(IP)"},
                {"name": "HOST", "value": "0.0.0.0"},
            ],
        }));
        let pairs = [
            ("BOTH", "web-0 on 127.64.0.1"),
            ("HOST", "127.64.0.1"),
            ("HOSTNAME", "web-0"),
            ("IP", "127.64.0.1"),
            ("LABEL", "c"),
            ("NAME", "web-0"),
        ];
        let expected = Command {
            program: "FOLDER/server".into(),
            arguments: ["--name=web-0", "--at=127.64.0.1", "$(NAME)", "$(UNKNOWN)", "5$"].map(str::to_owned).into(),
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn a_container_that_cannot_start_waits_for_a_reason() {
        let reason = |container: Value| command(&container).unwrap_err().reason;
        assert_eq!(reason(json!({"name": "c", "image": "other:dev"})), "ImagePullBackOff");
        assert_eq!(reason(json!({"name": "c", "image": "other:dev", "imagePullPolicy": "Never"})), "ErrImageNeverPull");
        let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        assert_eq!(reason(json!({"name": "c", "image": "server", "env": [secret]})), "CreateContainerConfigError");
    }
}
