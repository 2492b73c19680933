//! The pod template as it was declared, and as much of its schema as people need while they write one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A pod template, exactly as it was written.
///
/// It is kept as it came, for two reasons: fields that are newer than this program reach the API server unharmed, and a
/// template of wrong types spoils its own LoadBalancer alone, not the list or watch that brings it.
/// `controller::validate` reads from it what Ringhold has to know.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Value);

/// The most containers of a template, and the most ports of a container: without a bound the API server can't tell what
/// the rule for `spec.targetPort` costs.
pub(crate) const MOST_CONTAINERS: u32 = 32;
pub(crate) const MOST_PORTS: u32 = 64;

// === impl PodTemplate ===

/// Written by hand, and partial: the whole schema of a pod would make the definition larger than `kubectl apply` can
/// store in its annotation. What everybody writes is typed, so that mistakes are found early and `kubectl explain` helps;
/// all the rest is kept as it is and judged by the API server once a pod is made of it. There are no defaults: one that
/// appeared later would change every template, and roll every fleet out.
impl JsonSchema for PodTemplate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = "What a replica runs: a pod template, as in a Deployment.";
        let fields = json!({"metadata": metadata(), "spec": pod()});
        object(about, fields, &["spec"]).try_into().unwrap_or_default()
    }
}

fn metadata() -> Value {
    let fields = json!({
        "annotations": texts("Annotations of every replica."),
        "labels": texts("Labels of every replica, besides those that Ringhold sets."),
    });
    object("Labels and annotations of every replica.", fields, &[])
}

fn pod() -> Value {
    let seconds = "From the first stop signal to the kill, in seconds. Kubernetes' own default is 30. The replica has \
                   left the ring and finished its requests before.";
    let mut containers = json!({
        "type": "array",
        "description": "The containers of a replica; requests go to spec.targetPort.",
        "minItems": 1,
        "maxItems": MOST_CONTAINERS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    });
    containers["items"] = container();
    let fields = json!({
        "affinity": anything("Rules on which nodes replicas run."),
        "containers": containers,
        "imagePullSecrets": list("Secrets to pull images with.", &anything("Reference to a Secret, by name.")),
        "initContainers": list("Run one by one before the containers start.", &anything("A container.")),
        "nodeSelector": texts("Labels that a node must have."),
        "priorityClassName": text("Name of a PriorityClass."),
        "securityContext": anything("Security settings of the whole pod."),
        "serviceAccountName": text("Name of the ServiceAccount that replicas run as."),
        "terminationGracePeriodSeconds": number(seconds, 0, 86_400, "int64"),
        "tolerations": list("Taints of nodes that replicas tolerate.", &anything("A toleration.")),
        "topologySpreadConstraints": list("How replicas spread over nodes and zones.", &anything("A constraint.")),
        "volumes": list("Volumes that containers may mount.", &anything("A volume: its name and its source.")),
    });
    object("The pod's specification. Every field of a PodSpec may be used.", fields, &["containers"])
}

fn container() -> Value {
    let mut name = text("The container's name, unique within the replica: a DNS label.");
    name["maxLength"] = json!(63);
    let resources = json!({
        "limits": quantities("The most that the container may use, such as {cpu: 500m, memory: 256Mi}."),
        "requests": quantities("What is set aside for the container."),
    });
    let mut ports = list("Ports that the container listens on.", &port());
    ports["maxItems"] = json!(MOST_PORTS);
    let fields = json!({
        "args": list("Arguments of the command; $(NAME) is replaced by the variable's value.", &text("One argument.")),
        "command": list("Program and leading arguments. Absent: the image's own.", &text("One word of the command.")),
        "env": list("Environment variables.", &variable()),
        "envFrom": list("Sources of several environment variables.", &anything("A ConfigMap or Secret.")),
        "image": text("The image. A local process has no use for it."),
        "imagePullPolicy": text("Always, IfNotPresent or Never."),
        "lifecycle": anything("What happens after the start and before the stop."),
        "livenessProbe": anything("A container that fails it is restarted in its place."),
        "name": name,
        "ports": ports,
        "readinessProbe": anything("When the container is ready. Absent: spec.health."),
        "resources": object("What the container needs and may use.", resources, &[]),
        "securityContext": anything("Security settings of the container."),
        "startupProbe": anything("Until it succeeds, the other probes wait."),
        "volumeMounts": list("Where volumes are mounted.", &anything("A volume's name and a path.")),
        "workingDir": text("Working directory. Absent: the image's own."),
    });
    object("One container.", fields, &["name"])
}

fn port() -> Value {
    let mut name = text("The port's name, for spec.targetPort: up to 15 of a-z, 0-9 and -.");
    name["maxLength"] = json!(15);
    let fields = json!({
        "containerPort": number("The port's number.", 1, 65_535, "int32"),
        "name": name,
        "protocol": text("TCP, UDP or SCTP. Kubernetes' own default is TCP."),
    });
    object("A port that the container listens on.", fields, &["containerPort"])
}

fn variable() -> Value {
    let mut name = text("The variable's name.");
    name["pattern"] = json!("^[^=\\x00]+$");
    let fields = json!({
        "name": name,
        "value": text("The variable's value; $(NAME) is replaced by the value of one that stands before."),
        "valueFrom": anything("Where the value comes from: a field of the pod, a ConfigMap, a Secret."),
    });
    object("One environment variable.", fields, &["name"])
}

/// These fields, and any further one.
fn object(about: &str, fields: Value, required: &[&str]) -> Value {
    let mut schema = anything(about);
    schema["properties"] = fields;
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn anything(about: &str) -> Value {
    json!({"type": "object", "description": about, "x-kubernetes-preserve-unknown-fields": true})
}

fn list(about: &str, items: &Value) -> Value {
    json!({"type": "array", "description": about, "items": items, "x-kubernetes-list-type": "atomic"})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn texts(about: &str) -> Value {
    json!({"type": "object", "description": about, "additionalProperties": {"type": "string"}})
}

fn quantities(about: &str) -> Value {
    let quantity = json!({"x-kubernetes-int-or-string": true});
    json!({"type": "object", "description": about, "additionalProperties": quantity})
}

fn number(about: &str, least: i64, most: i64, format: &str) -> Value {
    json!({"type": "integer", "description": about, "format": format, "minimum": least, "maximum": most})
}
