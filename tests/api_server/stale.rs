//! An operator that sees an old picture of its pods: it goes by its own writes and makes nothing twice.

use kube::ResourceExt;
use ringhold_test_cluster::{AuditEvent, eventually};
use serde_json::json;

use crate::support::{Operator, World, granted, shared};

#[tokio::test]
async fn one_that_never_hears_of_its_pods_makes_none_twice() {
    let Some(cluster) = shared().await else { return };
    let (watch, rest): (Vec<_>, Vec<_>) =
        granted().into_iter().partition(|right| right.to_string() == "proxy: watch pods");
    let world = World::new(cluster, &rest).await;
    let operator = world.operator("a").await;
    world.apply(&world.manifest(3)).await;
    eventually("the pods are there", async || (world.living().await.len() == 3).then_some(())).await;
    for look in 0..20 {
        look_again(&world, &operator, look).await;
    }
    assert_eq!(world.status().await.ready_replicas, 0, "it does not know that any is ready");
    let created = async || {
        let asked = cluster.audit_of(&world.access).await.unwrap();
        asked.iter().filter(|event| is_create(event)).count()
    };
    assert_eq!(created().await, 3, "it asked for each once");

    // It now catches up with what it missed: a pod that is gone, and three that are ready.
    let victim = world.living().await[0].name_any();
    world.pods.delete(&victim, &kube::api::DeleteParams::default()).await.unwrap();
    world.grant_besides("watches", &watch).await;
    world.until_settled(3).await;
    assert_eq!(world.living().await.len(), 3);
    assert_eq!(created().await, 4, "the one that was deleted has one successor");
}

fn is_create(event: &&AuditEvent) -> bool {
    event.verb == "create" && event.resource == "pods"
}

/// Gives the operator a reason to look, and waits until it has.
async fn look_again(world: &World, operator: &Operator, count: usize) {
    let before = operator.looks().await;
    world.patch(&json!({"metadata": {"annotations": {"look": count.to_string()}}})).await;
    eventually("it has looked again", async || (operator.looks().await > before).then_some(())).await;
}
