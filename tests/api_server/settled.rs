//! What a fleet's status says, and that whoever is settled is left in peace.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use ringhold::api::LoadBalancerStatus;
use ringhold_test_cluster::{AuditEvent, eventually};
use serde_json::json;

use crate::support::{Operator, World, condition, shared, world};

/// Longer than any watch, any Lease and any pause.
const PEACE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_look_that_finds_nothing_to_do_writes_nothing() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let version = async || world.loadbalancers.get("web").await.unwrap().resource_version();
    let before = version().await;
    // A look that has a reason, and finds nothing to do: a mark for the next time that the fleet shrinks.
    let pod = world.living().await.remove(0).name_any();
    let seen = operator.looks().await;
    world.annotate(&pod, "ringhold.dev/remove-first", "true").await;
    eventually("the change has been looked at", async || (operator.looks().await > seen).then_some(())).await;
    assert_eq!(version().await, before);
}

#[tokio::test]
async fn a_settled_fleet_is_not_written_to_for_a_minute() {
    let (Some(cluster), Some(world)) = (shared().await, world().await) else { return };
    let _operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let writes = async || {
        let asked = cluster.audit_of(&world.access).await.unwrap();
        let writes = asked.into_iter().filter(AuditEvent::is_write);
        writes.partition::<Vec<_>, _>(|event| event.resource == "leases")
    };
    let (renewed, before) = writes().await;
    tokio::time::sleep(PEACE).await;
    let (renewed_since, after) = writes().await;
    assert_eq!(after[before.len()..], []);
    assert!(renewed_since.len() > renewed.len(), "it was alive all the time, and renewed its Lease");
}

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
async fn a_condition_keeps_its_time_over_changes_that_are_not_its_own_and_over_leaders() {
    let Some(world) = world().await else { return };
    let first = world.operator("a").await;
    let mut resource = world.manifest(1);
    resource.spec.rollout.max_unavailable = k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(1);
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
    look_again(&world, &second).await;
    let status = world.loadbalancers.get("web").await.unwrap().status;
    assert_eq!(status, settled.status);
}

/// Gives the operator a reason to look, and waits until it has.
async fn look_again(world: &World, operator: &Operator) {
    let seen = operator.looks().await;
    world.patch(&json!({"metadata": {"annotations": {"look": "again"}}})).await;
    eventually("it has looked again", async || (operator.looks().await > seen).then_some(())).await;
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
