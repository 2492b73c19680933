//! gRPC: Python's grpcio on both sides.

use serde_json::json;

use crate::harness::{Manifest, free_port};
use crate::programs::path;
use crate::python::{SCRIPTS, script};
use crate::served::Served;

/// Replicas that speak gRPC, which take messages up to 4 MB.
fn mk_manifest() -> Manifest {
    let spec = "targetProtocol: HTTP2\n  limits: {maxBodyBytes: 4000000}".to_owned();
    let leak = |text: String| &*text.leak();
    let python = leak(path("python/bin/python").display().to_string());
    let command = vec![python, "-B", leak(format!("{SCRIPTS}/grpc_replica.py"))].leak();
    Manifest { spec, command, ..Manifest::new(free_port()) }
}

#[tokio::test]
async fn grpc_passes_in_every_shape() {
    let (clear, secured) = (mk_manifest(), mk_manifest());
    let (clear, secured) = tokio::join!(Served::start(&clear, "http", &[]), Served::start(&secured, "https", &[]));
    for served in [clear, secured] {
        let mut said = script(&served, "grpc_client", &[]).await;
        let names = said["names"].take();
        let mut ordinals: Vec<_> =
            names.as_object().unwrap().values().map(|name| name.as_str().unwrap()[..5].to_owned()).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        assert!(ordinals.len() > 1 && ordinals.iter().all(|name| name.starts_with("web-")), "{names}");
        let expected = json!({
            "names": null,
            "large": [3_000_000, "3000000"],
            "numbers": true,
            "joined": "abc",
            "echo": ["one", "two", "three"],
            "broken": [["first"], ["DATA_LOSS", "and no second"]],
            "missing": ["NOT_FOUND", "nothing here, größer"],
            "unknown": "UNIMPLEMENTED",
            "overdue": "DEADLINE_EXCEEDED",
            "cancelled": "True",
            "too_large": ["RESOURCE_EXHAUSTED", "the request's body is longer than this load balancer takes"],
        });
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn a_rollout_fails_no_call() {
    let manifest = mk_manifest();
    let served = Served::start(&manifest, "http", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let stop = folder.path().join("stop");
    let args = [stop.to_str().unwrap()];
    let calls = script(&served, "grpc_calls", &args);
    let rollout = async {
        served.ringhold.edit(&Manifest { version: 2, ..manifest.clone() });
        served.ringhold.settled_at(2).await;
        std::fs::write(&stop, "").unwrap();
    };
    let (said, ()) = tokio::join!(calls, rollout);
    let ends = said["ends"].as_object().unwrap();
    assert!(ends.keys().eq(["OK"]) && ends["OK"].as_u64().unwrap() > 100, "{said}");
    let replicas = said["replicas"].as_array().unwrap();
    assert!(replicas.len() > 3, "those before and those after were called: {said}");
}
