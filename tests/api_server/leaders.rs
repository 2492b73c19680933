//! Several operators: all route, one acts; and when it is gone, or when two act by mistake, nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::DeleteParams;
use ringhold_test_cluster::eventually;

use crate::support::{Operator, World, condition, granted, shared, world};

#[tokio::test]
async fn an_operator_that_is_killed_in_a_rollout_is_followed_by_one_that_ends_it() {
    let Some(world) = world().await else { return };
    let first = world.operator("a").await;
    world.apply(&world.manifest(3)).await;
    world.until_ready(3).await;
    world.change_template("VERSION", "2").await;
    eventually("the rollout has begun", async || {
        let pods = world.pods.list(&world.ours()).await.unwrap();
        (pods.items.len() > 3).then_some(())
    })
    .await;
    first.kill().await;
    let second = world.operator("b").await;
    eventually("the rollout is over", async || {
        let status = world.status().await;
        (status.updated_replicas == 3 && condition(&status, "Progressing") == "False").then_some(())
    })
    .await;
    second.ask("ann").await;
}

#[tokio::test]
async fn one_that_stops_hands_over_at_once() {
    let Some(world) = world().await else { return };
    let first = world.operator("a").await;
    eventually("the first leads", async || (world.leader().await.as_deref() == Some("a")).then_some(())).await;
    let second = world.operator("b").await;
    first.stop().await;
    // Far less than the 15 s after which a Lease runs out.
    let taken = eventually("the second leads", async || (world.leader().await.as_deref() == Some("b")).then_some(()));
    tokio::time::timeout(Duration::from_secs(10), taken).await.expect("a Lease that was given back is taken at once");
    world.apply(&world.manifest(1)).await;
    world.until_ready(1).await;
    second.ask("ann").await;
}

#[tokio::test]
async fn one_that_is_killed_is_followed_while_requests_flow() {
    let Some(world) = world().await else { return };
    let first = world.operator_with("a", &["--lease-seconds", "3"]).await;
    eventually("the first leads", async || (world.leader().await.as_deref() == Some("a")).then_some(())).await;
    let second = world.operator_with("b", &["--lease-seconds", "3"]).await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    eventually("both replicas are known to the second", async || (reached(&second).await.len() == 2).then_some(()))
        .await;
    let traffic = second.traffic();
    traffic.flows(50).await;

    first.kill().await;
    world.scale(3).await;
    world.until_settled(3).await;
    assert_eq!(world.leader().await.as_deref(), Some("b"));
    traffic.flows(50).await;
    traffic.all_answered().await;
    assert_eq!(reached(&second).await, BTreeSet::from([0, 1, 2]));
}

#[tokio::test]
async fn one_that_is_cut_off_is_followed_and_routes_on_until_it_is_back() {
    let (Some(cluster), Some(world)) = (shared().await, world().await) else { return };
    let gate = cluster.gate().await.unwrap();
    let flags = ["--lease-seconds", "3"];
    let first = world.start("a", &world.access.through(&gate), &flags);
    eventually("the first leads", async || (world.leader().await.as_deref() == Some("a")).then_some(())).await;
    let second = world.operator_with("b", &flags).await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    eventually("the first routes to both", async || (reached(&first).await.len() == 2).then_some(())).await;
    let traffic = first.traffic();
    traffic.flows(20).await;

    // Its words reach nobody, and it hears none, not even that a connection is lost.
    gate.pause();
    eventually("the second leads", async || (world.leader().await.as_deref() == Some("b")).then_some(())).await;
    world.scale(3).await;
    world.until_settled(3).await;
    traffic.flows(20).await;
    gate.open();
    eventually("the first has heard", async || (reached(&first).await.len() == 3).then_some(())).await;
    eventually("one acts", async || {
        let leads = [&first, &second].map(|operator| operator.metric("ringhold_controller_leader"));
        let [first, second] = leads;
        ((first.await, second.await) == (0, 1)).then_some(())
    })
    .await;
    traffic.all_answered().await;
    world.scale(1).await;
    world.until_settled(1).await;
}

#[tokio::test]
async fn two_that_act_at_one_time_end_in_one_fleet() {
    let Some(world) = world().await else { return };
    let of_second = granted().into_iter().filter(|right| right.is_named()).map(|right| right.of("second"));
    world.grant_at_home("second", &of_second.collect::<Vec<_>>()).await;
    let flags = ["--proxy-selector", "app=ringhold"];
    let first = world.operator_with("a", &flags).await;
    let second = world.operator_with("b", &[&flags[..], &["--lease-name", "second"]].concat()).await;
    for operator in [&first, &second] {
        world.pretend(operator).await;
    }
    eventually("both lead", async || {
        let holders = (world.leader().await?, world.holder("second").await?);
        (holders == ("a".to_owned(), "b".to_owned())).then_some(())
    })
    .await;

    world.apply(&world.unexposed(3)).await;
    whole(&world, 3).await;
    for operator in [&first, &second] {
        eventually("each routes to all", async || (reached(operator).await.len() == 3).then_some(())).await;
    }
    let traffic = [first.traffic(), second.traffic()];
    world.scale(5).await;
    whole(&world, 5).await;
    world.change_template("VERSION", "2").await;
    whole(&world, 5).await;
    let victim = world.living().await[0].name_any();
    world.pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    eventually("it is gone", async || world.pods.get_opt(&victim).await.unwrap().is_none().then_some(())).await;
    whole(&world, 5).await;
    world.scale(2).await;
    whole(&world, 2).await;
    for traffic in traffic {
        traffic.flows(20).await;
        traffic.all_answered().await;
    }
    for operator in [&first, &second] {
        eventually("each routes to both", async || (reached(operator).await == BTreeSet::from([0, 1])).then_some(()))
            .await;
    }
}

/// Waits until the fleet is settled, and exactly one pod is at each ordinal from 0 on.
async fn whole(world: &World, replicas: i32) {
    eventually(&format!("one pod at each of {replicas} ordinals"), async || {
        world.until_settled(replicas).await;
        let pods = world.pods.list(&world.ours()).await.unwrap().items;
        let mut ordinals: Vec<i32> =
            pods.iter().filter_map(|pod| pod.labels()["ringhold.dev/ordinal"].parse().ok()).collect();
        ordinals.sort_unstable();
        ordinals.into_iter().eq(0..replicas).then_some(())
    })
    .await;
}

/// The ordinals that answer.
async fn reached(operator: &Operator) -> BTreeSet<u16> {
    let mut reached = BTreeSet::new();
    for key in 0..40 {
        if let Ok(answer) = operator.try_ask(&format!("key-{key}")).await {
            reached.insert(answer.ordinal);
        }
    }
    reached
}
