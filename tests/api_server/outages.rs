//! What becomes of a fleet while the API server is away, has forgotten, or has lost a node. Each test has a control plane
//! of its own to do that to.

use std::path::Path;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::DeleteParams;
use ringhold_test_cluster::{Agent, AgentConfig, AuditEvent, ControlPlane, ControlPlaneConfig, eventually};

use crate::support::{World, condition, granted, own};

/// How long the API server is away: beyond a Lease, and beyond most clients' patience.
const AWAY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn while_the_api_server_is_away_requests_flow_and_the_dead_are_skipped() {
    let Some(mut cluster) = own(patient).await else { return };
    let world = World::new(&cluster, &granted()).await;
    let operator = world.operator("a").await;
    world.apply(&world.mortal(3)).await;
    world.until_settled(3).await;
    let key = operator.key_of(1).await;
    let victim = operator.ask(&key).await;
    let traffic = operator.traffic();
    traffic.flows(20).await;

    let since = Instant::now();
    cluster.stop_api_server();
    assert!(world.agent.kill(&victim.name));
    eventually("another answers", async || (operator.ask(&key).await.ordinal != victim.ordinal).then_some(())).await;
    while since.elapsed() < AWAY {
        assert_ne!(operator.ask(&key).await.name, victim.name, "the dead don't answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(operator.is_ready().await, "it is as ready to route as it was");
    cluster.start_api_server().await.unwrap();

    world.scale(4).await;
    world.until_settled(4).await;
    eventually("the key is home with a successor", async || {
        let now = operator.ask(&key).await;
        (now.ordinal == victim.ordinal && now.name != victim.name).then_some(())
    })
    .await;
    traffic.flows(20).await;
    traffic.all_answered().await;
}

#[tokio::test]
async fn an_operator_whose_place_in_the_watch_is_forgotten_lists_anew_and_goes_on() {
    let Some(mut cluster) = own(patient).await else { return };
    let world = World::new(&cluster, &granted()).await;
    let gate = cluster.gate().await.unwrap();
    let operator = world.start("a", &world.access.through(&gate), &[]);
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let victim = operator.ask("ann").await;
    let uid = world.pods.get(&victim.name).await.unwrap().uid();

    // It misses all this, and so does the history that it would catch up with.
    gate.close();
    world.pods.delete(&victim.name, &DeleteParams::default()).await.unwrap();
    eventually("it is gone", async || world.pods.get_opt(&victim.name).await.unwrap().is_none().then_some(())).await;
    world.scale(3).await;
    cluster.compact_etcd().await.unwrap();
    cluster.stop_api_server();
    cluster.start_api_server().await.unwrap();
    let before = lists(&cluster, &world).await;
    gate.open();

    world.until_settled(3).await;
    assert!(world.living().await.iter().all(|pod| pod.uid() != uid));
    operator.key_of(victim.ordinal).await;
    let after = lists(&cluster, &world).await;
    assert!(before.iter().zip(&after).all(|(before, after)| before < after), "{before:?} lists, then {after:?}");
    world.scale(1).await;
    world.until_settled(1).await;
}

#[tokio::test]
async fn the_replicas_of_a_lost_node_are_skipped_and_replaced_elsewhere() {
    let Some(cluster) = own(|config| config.node_grace = Duration::from_secs(8)).await else { return };
    let world = World::new(&cluster, &granted()).await;
    let operator = world.operator("a").await;
    let mut resource = world.manifest(2);
    resource.spec.health.replace_after_seconds = 1;
    world.apply(&resource).await;
    world.until_settled(2).await;
    let lost: Vec<String> = world.living().await.iter().map(|pod| pod.name_any()).collect();

    world.agent.pause();
    world.agent.kill_all();
    let programs = Path::new(env!("CARGO_BIN_EXE_ringhold")).parent().unwrap();
    let node = format!("spare-of-{}", world.namespace);
    let spare = AgentConfig { node, ..AgentConfig::processes(&world.namespace, programs) };
    let _spare = Agent::start(cluster.node_agent().client().unwrap(), spare).await.unwrap();
    eventually("successors answer", async || {
        let answers = [operator.try_ask("ann").await.ok()?, operator.try_ask("bob").await.ok()?];
        answers.iter().all(|answer| !lost.contains(&answer.name)).then_some(())
    })
    .await;
    eventually("both ordinals are served", async || (world.status().await.available_replicas == 2).then_some(())).await;

    // The node is back, and hears that its pods are to go.
    world.agent.resume();
    world.until_settled(2).await;
    assert!(world.living().await.iter().all(|pod| !lost.contains(&pod.name_any())));
    assert_eq!(condition(&world.status().await, "Available"), "True");
}

/// The node is as silent as the API server, and must not count as lost once that is back.
fn patient(config: &mut ControlPlaneConfig) {
    config.node_grace = 10 * AWAY;
}

/// How often the operator has listed LoadBalancers, and how often pods.
async fn lists(cluster: &ControlPlane, world: &World) -> [usize; 2] {
    let asked = cluster.audit_of(&world.access).await.unwrap();
    let count = |resource: &str| {
        let is_list = |event: &&AuditEvent| event.verb == "list" && event.resource == resource;
        asked.iter().filter(is_list).count()
    };
    ["loadbalancers", "pods"].map(count)
}
