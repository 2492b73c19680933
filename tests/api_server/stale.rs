//! An operator that sees an old picture of its pods: it goes by its own writes and makes nothing twice.

use kube::ResourceExt;
use kube::api::DeleteParams;
use ringhold_test_cluster::{AuditEvent, eventually};

use crate::support::{World, granted, shared};

#[tokio::test]
async fn one_that_never_hears_of_its_pods_makes_none_twice() {
    let Some(cluster) = shared().await else { return };
    let (watch, rest): (Vec<_>, Vec<_>) =
        granted().into_iter().partition(|right| right.to_string() == "proxy: watch pods");
    let world = World::new(cluster, &rest).await;
    let operator = world.operator("a").await;
    world.apply(&world.manifest(3)).await;
    eventually("the pods are there", async || (world.living().await.len() == 3).then_some(())).await;
    for _ in 0..20 {
        world.look_again(&operator).await;
    }
    assert_eq!(world.status().await.ready_replicas, 0, "it does not know that any is ready");
    let created = async || {
        let asked = cluster.audit_of(&world.access).await.unwrap();
        asked.iter().filter(is_create).count()
    };
    assert_eq!(created().await, 3, "it asked for each once");

    // It now catches up with what it missed: a pod that is gone, and three that are ready.
    let victim = world.living().await[0].name_any();
    world.pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    world.grant_besides("watches", &watch).await;
    world.until_settled(3).await;
    assert_eq!(world.living().await.len(), 3);
    assert_eq!(created().await, 4, "the one that was deleted has one successor");
}

fn is_create(event: &&AuditEvent) -> bool {
    event.verb == "create" && event.resource == "pods"
}
