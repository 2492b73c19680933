//! The node agent: pods become processes that answer, and what happens to them is told as a kubelet tells it. One
//! control plane serves all tests; each has a namespace and an agent of its own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, ResourceExt};
use ringhold_test_cluster::{Agent, AgentConfig, ControlPlane, ControlPlaneConfig, binaries_or_skip, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

struct World {
    client: Client,
    namespace: String,
    pods: Api<Pod>,
    agent: Agent,
}

async fn cluster() -> Option<&'static ControlPlane> {
    static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();
    let binaries = binaries_or_skip()?;
    let start = || ControlPlane::start(&binaries, ControlPlaneConfig::default());
    Some(CLUSTER.get_or_try_init(start).await.unwrap())
}

/// The sample replica, which is built when it is not there.
fn programs() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_ringhold-test-cluster")).parent().unwrap();
    if !folder.join("ringhold-server").exists() {
        let profile =
            folder.file_name().and_then(|name| name.to_str()).filter(|name| *name != "debug").unwrap_or("dev");
        let arguments = ["build", "--package", "ringhold-server", "--profile", profile];
        assert!(Command::new(env!("CARGO")).args(arguments).status().unwrap().success());
    }
    folder.to_owned()
}

async fn world(config: impl FnOnce(&str) -> AgentConfig) -> Option<World> {
    let cluster = cluster().await?;
    let namespace = cluster.namespace().await.unwrap();
    let client = cluster.client().unwrap();
    let pods = Api::namespaced(client.clone(), &namespace);
    let agent = Agent::start(cluster.node_agent().client().unwrap(), config(&namespace)).await.unwrap();
    Some(World { client, namespace, pods, agent })
}

fn pod(name: &str, spec: &Value) -> Pod {
    let mut container = json!({
        "name": "server",
        "image": "ringhold-server:dev",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/heartbeat", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1},
    });
    let mut merged = json!({"terminationGracePeriodSeconds": 5});
    for (key, value) in spec.as_object().unwrap() {
        let place =
            if ["image", "command", "args", "env"].contains(&key.as_str()) { &mut container } else { &mut merged };
        place[key] = value.clone();
    }
    merged["containers"] = json!([container]);
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": merged})).unwrap()
}

impl World {
    async fn create(&self, name: &str, spec: Value) -> Pod {
        self.pods.create(&PostParams::default(), &pod(name, &spec)).await.unwrap()
    }

    /// Waits until the pod's status is so.
    async fn until(&self, name: &str, what: &str, is_so: impl Fn(&PodStatus) -> bool) -> PodStatus {
        let ask = async || {
            let status = self.pods.get(name).await.unwrap().status.unwrap_or_default();
            is_so(&status).then_some(status)
        };
        eventually(what, ask).await
    }

    async fn until_ready(&self, name: &str) -> PodStatus {
        self.until(name, "the pod is ready", |status| is_true(status, "Ready")).await
    }

    async fn until_gone(&self, name: &str) {
        eventually("the pod is gone", async || self.pods.get_opt(name).await.unwrap().is_none().then_some(())).await;
    }
}

fn is_true(status: &PodStatus, condition: &str) -> bool {
    status.conditions.iter().flatten().any(|found| found.type_ == condition && found.status == "True")
}

fn restarts(status: &PodStatus) -> i32 {
    status.container_statuses.iter().flatten().map(|container| container.restart_count).sum()
}

fn waits_for(status: &PodStatus) -> Option<String> {
    status.container_statuses.as_ref()?.first()?.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

async fn get(status: &PodStatus, path: &str) -> String {
    let mut stream = TcpStream::connect((status.pod_ip.as_deref().unwrap(), 8080)).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn pods_get_ready_and_answer_on_addresses_of_their_own() {
    let Some(world) = world(|namespace| AgentConfig::processes(namespace, programs())).await else { return };
    let env = json!([{"name": "ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    world.create("one", json!({"env": env})).await;
    world.create("two", json!({"env": env})).await;
    let (one, two) = (world.until_ready("one").await, world.until_ready("two").await);
    assert_ne!(one.pod_ip, two.pod_ip);
    let [answer_one, answer_two] = [get(&one, "/home").await, get(&two, "/home").await];
    assert!(answer_one.contains("one") && answer_two.contains("two"), "{answer_one}\n{answer_two}");
    assert!(["PodScheduled", "Initialized", "ContainersReady"].iter().all(|condition| is_true(&one, condition)));
    assert_eq!((one.phase.as_deref(), restarts(&one), world.agent.running()), (Some("Running"), 0, 2));
}

#[tokio::test]
async fn a_deleted_pod_is_told_first_and_killed_only_after_its_grace() {
    let Some(world) = world(|namespace| AgentConfig::processes(namespace, programs())).await else { return };
    world.create("polite", json!({})).await;
    let script = "trap '' TERM; while :; do sleep 1; done";
    let stubborn = json!({"command": ["sh", "-c", script], "terminationGracePeriodSeconds": 1});
    world.create("stubborn", stubborn).await;
    world.until_ready("polite").await;
    eventually("the stubborn one runs", async || world.agent.process_id("stubborn")).await;

    let began = Instant::now();
    world.pods.delete("polite", &DeleteParams::default()).await.unwrap();
    world.until_gone("polite").await;
    assert!(began.elapsed().as_secs() < 4, "a process that ends when told is waited for no longer");

    let began = Instant::now();
    world.pods.delete("stubborn", &DeleteParams::default()).await.unwrap();
    world.until_gone("stubborn").await;
    assert!(began.elapsed().as_millis() >= 950, "a process has its whole grace");
    eventually("nothing runs", async || (world.agent.running() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_killed_process_runs_again_at_the_same_address() {
    let Some(world) = world(|namespace| AgentConfig::processes(namespace, programs())).await else { return };
    world.create("web", json!({})).await;
    let before = world.until_ready("web").await;
    assert!(world.agent.kill("web"));
    let again = |status: &PodStatus| restarts(status) == 1 && is_true(status, "Ready");
    let after = world.until("web", "it runs again", again).await;
    assert_eq!(before.pod_ip, after.pod_ip);
    let last = after.container_statuses.unwrap()[0].last_state.clone().unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.signal), (137, Some(9)));
}

#[tokio::test]
async fn what_ends_by_itself_is_told_by_policy() {
    let Some(world) = world(|namespace| AgentConfig::processes(namespace, programs())).await else { return };
    world.create("done", json!({"command": ["true"], "restartPolicy": "Never"})).await;
    world.create("failed", json!({"command": ["sh", "-c", "exit 3"], "restartPolicy": "Never"})).await;
    world.create("crashing", json!({"command": ["sh", "-c", "exit 3"]})).await;
    world.create("unknown", json!({"image": "unknown:dev"})).await;
    world.until("done", "it has succeeded", |status| status.phase.as_deref() == Some("Succeeded")).await;
    world.until("failed", "it has failed", |status| status.phase.as_deref() == Some("Failed")).await;
    let crashes =
        |status: &PodStatus| restarts(status) >= 3 && waits_for(status).as_deref() == Some("CrashLoopBackOff");
    world.until("crashing", "it crashes again and again", crashes).await;
    let misses = |status: &PodStatus| waits_for(status).as_deref() == Some("ImagePullBackOff");
    let unknown = world.until("unknown", "its image is missed", misses).await;
    assert_eq!(unknown.phase.as_deref(), Some("Pending"));
}

#[tokio::test]
async fn a_test_can_make_a_pod_unready_and_evict_it() {
    let Some(world) = world(|namespace| AgentConfig::processes(namespace, programs())).await else { return };
    world.create("web", json!({})).await;
    world.until_ready("web").await;
    assert!(world.agent.log("web").contains("listens on"), "{}", world.agent.log("web"));
    assert!(world.agent.force_unready("web"));
    let unready = world.until("web", "it is unready", |status| !is_true(status, "Ready")).await;
    assert!(get(&unready, "/heartbeat").await.starts_with("HTTP/1.1 200"), "its process knows nothing of it");
    assert!(world.agent.unforce("web"));
    world.until_ready("web").await;

    assert!(world.agent.evict("web"));
    let is_evicted = |status: &PodStatus| status.reason.as_deref() == Some("Evicted");
    let evicted = world.until("web", "it is evicted", is_evicted).await;
    assert_eq!((evicted.phase.as_deref(), is_true(&evicted, "DisruptionTarget")), (Some("Failed"), true));
    eventually("nothing runs", async || (world.agent.running() == 0).then_some(())).await;
    world.pods.delete("web", &DeleteParams::default()).await.unwrap();
    world.until_gone("web").await;
}

#[tokio::test]
async fn a_lost_node_lets_its_processes_run_and_says_nothing() {
    let Some(world) = world(|namespace| AgentConfig::processes(namespace, programs())).await else { return };
    world.create("web", json!({})).await;
    let ready = world.until_ready("web").await;
    world.agent.pause();
    world.pods.delete("web", &DeleteParams::default()).await.unwrap();
    world.create("late", json!({})).await;
    // A second agent, which does act, shows that time enough has passed.
    let witness = AgentConfig { node: "witness".to_owned(), ..AgentConfig::processes(&world.namespace, programs()) };
    let witness = Agent::start(world.client.clone(), witness).await.unwrap();
    world.until_ready("late").await;
    assert_eq!((world.agent.running(), witness.running()), (1, 1));
    assert!(get(&ready, "/heartbeat").await.starts_with("HTTP/1.1 200"), "it has not heard that it should end");
    assert!(world.pods.get_opt("web").await.unwrap().is_some());
    world.agent.resume();
    world.until_gone("web").await;
    eventually("its process has ended", async || (world.agent.running() == 0).then_some(())).await;
}

#[tokio::test]
async fn large_fleets_run_within_the_test() {
    const PODS: usize = 100;
    let Some(world) = world(AgentConfig::in_process).await else { return };
    let began = Instant::now();
    for index in 0..PODS {
        world.create(&format!("pod-{index}"), json!({"image": "any:dev"})).await;
    }
    eventually("all run", async || (world.agent.running() == PODS).then_some(())).await;
    for index in 0..PODS {
        let status = world.until_ready(&format!("pod-{index}")).await;
        assert!(get(&status, "/any").await.ends_with(&format!("\r\npod-{index}")));
    }
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let all = pods.list(&Default::default()).await.unwrap();
    let addresses: std::collections::BTreeSet<_> = all.iter().map(|pod| pod.status.clone().unwrap().pod_ip).collect();
    assert_eq!(addresses.len(), PODS, "{}", all.items[0].name_any());
    pods.delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    eventually("all are gone", async || pods.list(&Default::default()).await.unwrap().items.is_empty().then_some(()))
        .await;
    assert_eq!(world.agent.running(), 0);
    assert!(began.elapsed().as_secs() < 60);
}
