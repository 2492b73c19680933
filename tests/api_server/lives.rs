//! The operator as a process, against a real API server, with replicas that answer real requests. It has the rights that
//! deploy/operator.yaml grants, and no others.

use kube::api::DeleteParams;
use ringhold::api::LoadBalancer;
use ringhold_test_cluster::eventually;
use serde_json::json;

use crate::support::{condition, world};

#[tokio::test]
async fn a_fleet_starts_serves_scales_and_goes() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(3)).await;
    world.until_ready(3).await;
    let first = operator.ask("ann").await;
    assert_eq!(operator.ask("ann").await, first, "equal keys meet the same replica");

    world.scale(5).await;
    world.until_ready(5).await;
    world.scale(2).await;
    world.until_ready(2).await;

    world.loadbalancers.delete("web", &DeleteParams::default()).await.unwrap();
    eventually("nothing listens any more", async || operator.try_ask("ann").await.is_err().then_some(())).await;
}

#[tokio::test]
async fn a_rollout_moves_no_key_and_loses_no_request() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(3)).await;
    world.until_ready(3).await;
    let keys: Vec<String> = (0..40).map(|key| format!("key-{key}")).collect();
    let mut before = Vec::new();
    for key in &keys {
        before.push(operator.ask(key).await.ordinal);
    }
    world.change_template("VERSION", "2").await;
    let mut asked = 0_usize;
    eventually("the rollout is over", async || {
        for (key, ordinal) in keys.iter().zip(&before) {
            assert_eq!(operator.ask(key).await.ordinal, *ordinal, "{key} changed its ordinal");
            asked += 1;
        }
        let status = world.status().await;
        (status.observed_generation == 2 && condition(&status, "Progressing") == "False").then_some(())
    })
    .await;
    assert!(asked >= keys.len());
    let pods = world.pods.list(&world.ours()).await.unwrap();
    assert_eq!(pods.items.len(), 3);
}

#[tokio::test]
async fn a_rejected_template_leaves_the_old_fleet_serving() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_ready(2).await;
    let before = operator.ask("ann").await;
    let image = json!({"spec": {"template": {"spec": {"restartPolicy": "Sometimes"}}}});
    world.patch(&image).await;
    eventually("the rejection is told", async || {
        let status = world.status().await;
        let degraded = status.conditions.iter().find(|condition| condition.type_ == "Degraded")?;
        (degraded.reason == "PodRejected" && degraded.message.contains("restartPolicy")).then_some(())
    })
    .await;
    assert_eq!(operator.ask("ann").await, before);
    assert_eq!(world.status().await.ready_replicas, 2);
}

#[tokio::test]
async fn two_that_want_one_port_are_told_and_the_first_keeps_it() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(1)).await;
    world.until_ready(1).await;
    let mut second: LoadBalancer = world.manifest(1);
    second.metadata.name = Some("late".to_owned());
    world.apply(&second).await;
    eventually("the second is refused", async || {
        let late = world.loadbalancers.get("late").await.unwrap().status?;
        let accepted = late.conditions.iter().find(|condition| condition.type_ == "Accepted")?;
        (accepted.status == "False" && accepted.reason == "ListenerConflict").then_some(())
    })
    .await;
    operator.ask("ann").await;
    world.loadbalancers.delete("web", &DeleteParams::default()).await.unwrap();
    eventually("the second has the port", async || {
        let late = world.loadbalancers.get("late").await.unwrap().status?;
        (condition(&late, "Accepted") == "True").then_some(())
    })
    .await;
}
