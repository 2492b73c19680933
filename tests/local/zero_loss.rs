//! Under steady load no idempotent request is lost, whatever happens to the fleet.

use http_body_util::BodyExt;
use serde_json::json;

use crate::harness::{Manifest, Ringhold, free_port};
use crate::load::Load;

const NOTHING: [&str; 0] = [];
const RUDE: &[&str] = &["sh", "-c", "trap 'kill -9 $!' TERM; ringhold-server & wait $!"];

#[tokio::test]
async fn killing_a_replica_loses_no_request() {
    let ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    let load = Load::of_gets(ringhold.port);
    for ordinal in 0..3 {
        load.answers(300).await;
        let victim = ringhold.replica(ordinal).await;
        victim.kill();
        let back = |shown: &serde_json::Value| {
            let replicas = shown["replicas"].as_array().unwrap();
            replicas.iter().all(|replica| replica["name"] != victim.name.as_str())
        };
        ringhold.until("the dead replica is forgotten", back).await;
        ringhold.settled().await;
    }
    load.answers(300).await;
    assert_eq!(load.stop().await, NOTHING, "{}", ringhold.story());
}

/// A fleet whose replicas drop everything at once when they are told to stop, so that nothing but the drain saves a
/// request.
fn rude(port: u16) -> Manifest {
    Manifest { command: RUDE, ..Manifest::new(port) }
}

#[tokio::test]
async fn scaling_up_and_down_loses_no_request_not_even_a_post() {
    let mut manifest = rude(free_port());
    let ringhold = Ringhold::start(&manifest).await;
    let load = Load::of_posts(ringhold.port);
    for (generation, replicas) in [(2, 6), (3, 2)] {
        load.answers(300).await;
        manifest.replicas = replicas;
        ringhold.edit(&manifest);
        let shown = ringhold.settled_at(generation).await;
        assert_eq!(shown["readyReplicas"], json!(replicas));
    }
    load.answers(300).await;
    assert_eq!(load.stop().await, NOTHING, "{}", ringhold.story());
}

#[tokio::test]
async fn a_rollout_loses_no_request_not_even_a_post() {
    for rollout in ["{maxSurge: 1, maxUnavailable: 0}", "{maxSurge: 0, maxUnavailable: 1}"] {
        let mut manifest = rude(free_port());
        manifest.spec = format!("rollout: {rollout}");
        let ringhold = Ringhold::start(&manifest).await;
        let load = Load::of_posts(ringhold.port);
        for version in [2, 3] {
            load.answers(300).await;
            manifest.version = version;
            ringhold.edit(&manifest);
            ringhold.settled_at(u64::from(version)).await;
        }
        load.answers(300).await;
        assert_eq!(load.stop().await, NOTHING, "{rollout}\n{}", ringhold.story());
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_never_ends_cleanly() {
    let mut manifest = Manifest::new(free_port());
    manifest.replicas = 1;
    let ringhold = Ringhold::start(&manifest).await;
    let victim = ringhold.replica(0).await;
    let mut client = ringhold.client();
    let response = client.open("GET", "/stream?ms=5", &[], "").await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    victim.kill();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("the stream of a killed replica ended cleanly");
}
