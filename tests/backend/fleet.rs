//! What is to run, made from manifests as people write them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringhold::controller::{manifest, validate};
use ringhold::model::{Desired, FleetId, Incarnation, NewReplica, Ordinal, ReplicaName};
use serde_json::{Value, json};

/// A fleet whose pods have this spec. It is probed often, and patiently, for machines are slow at times.
pub(crate) fn fleet(id: &FleetId, pod: &Value) -> Desired {
    let resource = json!({
        "apiVersion": "ringhold.dev/v1alpha1",
        "kind": "LoadBalancer",
        "metadata": {"name": &*id.name, "namespace": &*id.namespace},
        "spec": {"health": {"timeoutSeconds": 10}, "template": {"spec": pod}},
    });
    let resource = manifest::parse(Path::new("fleet.yaml"), &resource.to_string()).unwrap().remove(0);
    let mut desired = validate(&resource).unwrap();
    desired.health.period = Duration::from_millis(50);
    desired
}

/// A fleet of shell scripts. As in any manifest, `$$` stands for one `$`.
pub(crate) fn script(script: &str) -> Desired {
    let container = json!({"name": "script", "command": ["/bin/sh", "-c"], "args": [script]});
    fleet(&FleetId::local("web"), &json!({"containers": [container]}))
}

/// What a create of this place needs.
pub(crate) fn replica(desired: &Desired, ordinal: u16, incarnation: u32) -> NewReplica {
    let (ordinal, incarnation) = (Ordinal(ordinal), Incarnation(incarnation));
    let template = desired.template.hash.clone();
    let name = ReplicaName::new(&desired.id, ordinal, &template, incarnation);
    NewReplica { name, ordinal, incarnation, template, failures: 0 }
}

/// The sample replica's program, which lies beside ours once the whole workspace has been built.
pub(crate) fn server() -> String {
    let server = PathBuf::from(env!("CARGO_BIN_EXE_ringhold")).with_file_name("ringhold-server");
    assert!(server.exists(), "{} is missing: run `cargo build --workspace` first", server.display());
    server.to_str().unwrap().to_owned()
}
