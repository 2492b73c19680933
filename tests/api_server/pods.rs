//! What can happen to a pod, by itself or by hand, and what becomes of its ordinal.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use ringhold_test_cluster::eventually;

use crate::support::{World, post, world};

#[tokio::test]
async fn a_deleted_pod_is_replaced_at_its_ordinal() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_ready(2).await;
    let victim = operator.ask("ann").await;
    let uid = world.pods.get(&victim.name).await.unwrap().uid();
    world.pods.delete(&victim.name, &DeleteParams::default()).await.unwrap();
    // Where it is gone before the operator has looked, its successor has its name.
    eventually("the key is home with a successor", async || {
        let now = operator.ask("ann").await;
        let pod = world.pods.get_opt(&now.name).await.unwrap();
        (now.ordinal == victim.ordinal && pod.is_some_and(|pod| pod.uid() != uid)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn evicted_completed_and_failed_pods_are_replaced_and_taken_away() {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    world.apply(&world.mortal(3)).await;
    world.until_settled(3).await;
    let before = world.living().await;
    assert!(world.agent.evict(&before[0].name_any()));
    // They end in the middle of the answer.
    for (pod, code) in [(&before[1], 0), (&before[2], 3)] {
        let address = format!("{}:8080", pod.status.as_ref().unwrap().pod_ip.as_ref().unwrap());
        post(address.parse().unwrap(), &format!("/exit?code={code}")).await.expect_err("it ends without an answer");
    }
    let uids: BTreeSet<_> = before.iter().map(ResourceExt::uid).collect();
    eventually("three others are there, and nothing else", async || {
        let pods = world.pods.list(&world.ours()).await.unwrap().items;
        (pods.len() == 3 && pods.iter().all(|pod| !uids.contains(&pod.uid()))).then_some(())
    })
    .await;
    world.until_settled(3).await;
    assert_eq!(ordinals(&world.living().await), [0, 1, 2]);
    let told = world.told().await;
    let died = told.iter().filter(|event| event.reason.as_deref() == Some("ReplicaDied"));
    let died: Vec<&str> = died.filter_map(|event| event.message.as_deref()).collect();
    for how in ["web-0 died (Evicted", "web-1 died (", "web-2 died ("] {
        assert!(died.iter().any(|text| text.starts_with(how)), "{how} is not in {died:#?}");
    }
}

#[tokio::test]
async fn a_replica_that_is_no_longer_ready_is_skipped_and_keeps_its_place() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let home = operator.ask("ann").await;
    assert!(world.agent.force_unready(&home.name));
    eventually("another answers", async || (operator.ask("ann").await != home).then_some(())).await;
    let message = world.until_stated("Degraded", "True", "ReplicaUnready").await;
    assert!(message.starts_with(&format!("web-{} ", home.ordinal)), "{message}");
    assert_eq!(world.status().await.ready_replicas, 1);

    assert!(world.agent.unforce(&home.name));
    eventually("the key is home", async || (operator.ask("ann").await == home).then_some(())).await;
    world.until_settled(2).await;
}

#[tokio::test]
async fn a_pod_that_is_marked_by_hand_drains_and_is_replaced() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let marked = operator.ask("ann").await;
    let traffic = operator.traffic();
    world.annotate(&marked.name, "ringhold.dev/draining-since", "now").await;
    until_gone(&world, &marked.name).await;
    world.until_settled(2).await;
    let now = operator.ask("ann").await;
    assert_eq!(now.ordinal, marked.ordinal);
    assert_ne!(now.name, marked.name);
    traffic.all_answered().await;
}

#[tokio::test]
async fn a_pod_that_is_marked_to_go_first_goes_first() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(3)).await;
    world.until_settled(3).await;
    let first = world.living().await[0].name_any();
    world.annotate(&first, "ringhold.dev/remove-first", "true").await;
    // Two watches tell the operator of mark and size, in any order.
    eventually("the mark is seen", async || {
        operator.fleet(&world.namespace).await.contains("\"removeFirst\":true").then_some(())
    })
    .await;
    world.scale(2).await;
    world.until_settled(2).await;
    assert_eq!(ordinals(&world.living().await), [1, 2]);
}

fn ordinals(pods: &[Pod]) -> Vec<u16> {
    pods.iter().map(|pod| pod.labels()["ringhold.dev/ordinal"].parse().unwrap()).collect()
}

async fn until_gone(world: &World, pod: &str) {
    eventually("it is gone", async || world.pods.get_opt(pod).await.unwrap().is_none().then_some(())).await;
}
