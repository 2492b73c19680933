//! What a fleet's conditions say, and since when.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use ringhold::api::LoadBalancerStatus;
use ringhold_test_cluster::eventually;
use serde_json::json;

use crate::support::{condition, world};

#[tokio::test]
async fn conditions_have_a_reason_and_follow_the_generation() {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    world.apply(&world.manifest(1)).await;
    world.until_settled(1).await;
    are_of(&world.status().await, 1);
    world.scale(2).await;
    world.until_settled(2).await;
    are_of(&world.status().await, 2);
    // A spec that is refused is observed, too, and says why; this mistake no schema finds.
    let container = json!({"name": "server", "image": "ringhold-server:dev", "tty": "yes"});
    world.patch(&json!({"spec": {"template": {"spec": {"containers": [container]}}}})).await;
    let message = world.until_stated("Accepted", "False", "InvalidSpec").await;
    assert!(message.contains("spec.template.spec.containers[0].tty"), "{message}");
    let status = world.status().await;
    assert_eq!((status.observed_generation, status.ready_replicas), (3, 2));
}

#[tokio::test]
async fn an_operator_that_begins_with_a_spec_it_refuses_routes_to_what_runs_and_leaves_it() {
    let Some(world) = world().await else { return };
    let first = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let served = first.ask("ann").await;
    let container = json!({"name": "server", "image": "ringhold-server:dev", "tty": "yes"});
    world.patch(&json!({"spec": {"template": {"spec": {"containers": [container]}}}})).await;
    world.until_stated("Accepted", "False", "InvalidSpec").await;
    let pods: Vec<_> = world.living().await.iter().map(|pod| pod.uid()).collect();
    first.stop().await;

    let second = world.operator("b").await;
    assert_eq!(second.ask("ann").await, served);
    eventually("the second acts", async || (second.metric("ringhold_controller_leader").await == 1).then_some(()))
        .await;
    world.look_again(&second).await;
    world.look_again(&second).await;
    assert_eq!(second.ask("ann").await, served);
    assert_eq!(world.living().await.iter().map(|pod| pod.uid()).collect::<Vec<_>>(), pods);
    let status = world.status().await;
    assert_eq!(status.listener.map(|listener| listener.port), Some(i32::from(world.listener)));
    // Mended, it is followed whole again.
    let resource = world.manifest(2);
    world.patch(&json!({"spec": {"template": resource.spec.template}})).await;
    world.scale(3).await;
    world.until_settled(3).await;
    let now: Vec<_> = world.living().await.iter().map(|pod| pod.uid()).collect();
    assert!(pods.iter().all(|uid| now.contains(uid)), "the template is what it was");
}

#[tokio::test]
async fn a_condition_keeps_its_time_over_changes_that_are_not_its_own_and_over_leaders() {
    let Some(world) = world().await else { return };
    let first = world.operator("a").await;
    let mut resource = world.manifest(1);
    resource.spec.rollout.max_unavailable = IntOrString::Int(1);
    world.apply(&resource).await;
    world.until_settled(1).await;
    let before = times(&world.status().await);
    // A time has whole seconds: only from the next one on a new time would be another.
    let newest = before.values().max().unwrap().0;
    eventually("a second is over", async || (jiff::Timestamp::now().as_second() > newest.as_second()).then_some(()))
        .await;
    world.scale(2).await;
    world.until_settled(2).await;
    let after = times(&world.status().await);
    for kind in ["Accepted", "Available", "Degraded"] {
        assert_eq!(after[kind], before[kind], "{kind} has not changed");
    }
    assert!(after["Progressing"] > before["Progressing"], "it progressed, and settled again");

    let settled = world.loadbalancers.get("web").await.unwrap();
    first.stop().await;
    let second = world.operator("b").await;
    eventually("the second leads", async || (world.leader().await.as_deref() == Some("b")).then_some(())).await;
    world.look_again(&second).await;
    let status = world.loadbalancers.get("web").await.unwrap().status;
    assert_eq!(status, settled.status);
}

fn are_of(status: &LoadBalancerStatus, generation: i64) {
    assert_eq!(status.observed_generation, generation);
    let kinds: Vec<&str> = status.conditions.iter().map(|condition| &*condition.type_).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    for kind in ["Accepted", "Available", "Degraded", "Progressing"] {
        assert!(!condition(status, kind).is_empty(), "{kind} is not stated");
    }
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, Some(generation), "{condition:?}");
        assert!(condition.reason.starts_with(|first: char| first.is_ascii_uppercase()), "{condition:?}");
        assert!(!condition.message.is_empty(), "{condition:?}");
    }
}

fn times(status: &LoadBalancerStatus) -> BTreeMap<String, Time> {
    let conditions = status.conditions.iter();
    conditions.map(|condition| (condition.type_.clone(), condition.last_transition_time.clone())).collect()
}
