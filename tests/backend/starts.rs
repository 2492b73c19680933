//! What a start needs, and what is said where it is missing.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use ringhold::backend::process::{ProcessBackend, ProcessConfig};
use ringhold::backend::{Backend, BackendError, Unsupported};
use ringhold::model::FleetId;
use serde_json::{Value, json};

use crate::fleet::{fleet, replica, script, server};
use crate::harness::{Harness, Process};

fn one_container(container: &Value) -> Value {
    json!({"containers": [container]})
}

#[tokio::test]
async fn the_replicas_own_options_reach_it() {
    let harness = Process::new();
    let args = ["-c", "echo options \"$@\"", "script", "-h", "--", "--help"];
    for args in [&["--help"][..], &args] {
        let container = json!({"name": "script", "command": ["/bin/sh"], "args": args});
        let desired = fleet(&FleetId::local("web"), &one_container(&container));
        let ordinal = u16::try_from(args.len()).unwrap();
        harness.backend().create(&desired, &replica(&desired, ordinal, 0)).await.unwrap();
    }
    assert_eq!(harness.line("options ").await.1, "-h -- --help");

    let desired = fleet(
        &FleetId::local("web"),
        &one_container(&json!({"name": "script", "command": ["/bin/echo"], "args": ["-h", "is mine"]})),
    );
    harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    harness.line("-h is mine").await;
}

#[tokio::test]
async fn a_missing_working_folder_is_named() {
    let harness = Process::new();
    let container = json!({"name": "server", "command": [server()], "workingDir": "/no/such/folder"});
    let desired = fleet(&FleetId::local("web"), &one_container(&container));
    let error = harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap_err();
    let message =
        "spec.template.spec.containers[0].workingDir: /no/such/folder: no such folder; create it or name another";
    assert_eq!(error, BackendError::Rejected { reason: "WorkingDirNotFound", message: message.to_owned() });
    assert_eq!(harness.replicas(&desired).await, [], "its name is free again");
}

#[tokio::test]
async fn a_ringhold_that_is_gone_from_the_disk_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ringhold = folder.path().join("ringhold");
    symlink(env!("CARGO_BIN_EXE_ringhold"), &ringhold).unwrap();
    let backend = ProcessBackend::new(ProcessConfig { ringhold: ringhold.clone(), show: Arc::new(|_, _| {}) });
    let desired = script("sleep 300");
    backend.create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    std::fs::remove_file(&ringhold).unwrap();
    let error = backend.create(&desired, &replica(&desired, 1, 0)).await.unwrap_err();
    let message = format!(
        "Ringhold's own program {} is gone, and no replica starts without it; put it back or restart Ringhold",
        ringhold.display()
    );
    assert_eq!(error, BackendError::Rejected { reason: "StartFailed", message });
}

#[tokio::test]
async fn fields_that_need_a_cluster_are_not_accepted() {
    let container = json!({
        "name": "server",
        "command": [server()],
        "env": [
            {"name": "PLAIN", "value": "yes"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [{"secretRef": {"name": "secret"}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    });
    let pod = json!({"initContainers": [{"name": "first", "image": "x"}], "containers": [container]});
    let unsupported = |path: &str, message: &str| Unsupported { path: path.to_owned(), message: message.to_owned() };
    assert_eq!(
        Process::new().backend().accept(&fleet(&FleetId::local("web"), &pod)).unwrap_err(),
        [
            unsupported(
                "spec.template.spec.initContainers",
                "a local process has nothing that runs before it; remove it, or do its work in the command"
            ),
            unsupported(
                "spec.template.spec.containers[0].env[1].valueFrom",
                "a local process has no pod or cluster to take it from; write a value (RINGHOLD_NAME, RINGHOLD_ORDINAL, \
                 HOST and PORT are set)"
            ),
            unsupported(
                "spec.template.spec.containers[0].envFrom",
                "a local process has no ConfigMap or Secret to read; write the variables in env"
            ),
            unsupported(
                "spec.template.spec.containers[0].volumeMounts",
                "a local process has no volumes; remove it and let the program use paths of this machine"
            ),
        ]
    );
}

#[tokio::test]
async fn of_creates_of_one_name_from_several_threads_one_starts_it() {
    let harness = Arc::new(Process::new());
    let desired = script("sleep 300");
    for ordinal in 0..8 {
        let create = || {
            let (harness, desired) = (Arc::clone(&harness), desired.clone());
            let new = replica(&desired, ordinal, 0);
            let handle = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || handle.block_on(harness.backend().create(&desired, &new)))
        };
        for create in [create(), create(), create(), create()] {
            assert_eq!(create.await.unwrap(), Ok(()));
        }
    }
    assert_eq!(harness.replicas(&desired).await.len(), 8);
}
