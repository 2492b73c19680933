//! Ringhold comes, is upgraded, and goes: by the chart, and by the one manifest.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::cluster::{Cluster, SYSTEM, root};
use crate::fleet::{Fleet, name, uids};
use crate::nodes;

/// A kind of everything that the chart makes in its namespace, and that Ringhold makes beside it.
const KINDS: &str = "deployments,replicasets,pods,services,endpointslices,secrets,serviceaccounts,roles,rolebindings,\
                     leases,poddisruptionbudgets,networkpolicies,configmaps";

/// The API server accepts it with every switch on, too, but for the ServiceMonitor, whose definition is another project's.
pub(crate) async fn the_chart_is_valid_in_every_variant(cluster: &Cluster) {
    cluster.say("asks the API server about the chart's variants");
    cluster.kubectl(&format!("create namespace {SYSTEM}")).await;
    cluster.kubectl(&format!("label namespace {SYSTEM} pod-security.kubernetes.io/enforce=restricted")).await;
    // Where the certificates are that "everything" may read.
    cluster.kubectl("create namespace shop").await;
    cluster.kubectl("create namespace blog").await;
    for variant in ["split", "one-namespace", "everything"] {
        let values = format!("--values charts/ringhold/ci/{variant}-values.yaml --set serviceMonitor.enabled=false");
        let manifest = cluster.helm(&format!("template ringhold charts/ringhold --namespace {SYSTEM} {values}")).await;
        let apply = ["apply", "--dry-run=server", "--filename", "-"];
        let answer = cluster.try_kubectl(&apply, &manifest).await;
        answer.unwrap_or_else(|error| panic!("{variant}: {error}"));
    }
    cluster.kubectl("delete namespace shop blog --wait=false").await;
}

/// A release from before this one: it is upgraded later on.
pub(crate) async fn the_chart_installs(cluster: &Cluster) {
    let chart = previous_chart(cluster);
    cluster.say("installs the chart, an earlier version of it");
    cluster.helm(&format!("install ringhold {} --namespace {SYSTEM} --wait --timeout 120s", chart.display())).await;
    let pods = cluster.list(&format!("pods --namespace {SYSTEM}")).await;
    let mut nodes: Vec<_> = pods.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-1", "node-2"], "one pod on each node");
}

/// The chart as an earlier version: of another number, with another image, and with a definition that knows less.
fn previous_chart(cluster: &Cluster) -> PathBuf {
    let chart = cluster.folder().join("previous-chart");
    let copied = Command::new("cp").arg("-r").arg(root("charts/ringhold")).arg(&chart).status().unwrap();
    assert!(copied.success(), "the chart can't be copied");
    let version = env!("CARGO_PKG_VERSION");
    let edits = [
        ("Chart.yaml", format!("\nversion: {version}\n"), "\nversion: 0.0.9\n"),
        ("Chart.yaml", format!("\nappVersion: {version}\n"), "\nappVersion: dev\n"),
        ("files/crd.yaml", "    categories:\n    - all\n".to_owned(), ""),
    ];
    for (file, now, then) in edits {
        let file = chart.join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&now), "{} has no {now}", file.display());
        std::fs::write(&file, text.replace(&now, then)).unwrap();
    }
    chart
}

pub(crate) async fn an_upgrade_replaces_every_proxy_and_no_replica(fleet: &Fleet<'_>) {
    assert_eq!(categories(fleet).await, Value::Null, "the earlier definition has no category");
    let proxies = fleet.cluster.list(&format!("pods --namespace {SYSTEM}")).await;
    let replicas = fleet.pods().await;
    let upgrade = fleet.under_load("upgrades the release", upgrade(fleet, "--set log.level=debug"));
    upgrade.await.lost_nothing().moved_no_key();
    let now = fleet.cluster.list(&format!("pods --namespace {SYSTEM}")).await;
    assert!(uids(&proxies).is_disjoint(&uids(&now)), "a proxy of the old revision is left");
    assert_eq!(uids(&replicas), uids(&fleet.pods().await), "the upgrade has touched replicas");
    for proxy in now {
        assert_eq!(proxy["spec"]["containers"][0]["image"], concat!("ringhold:", env!("CARGO_PKG_VERSION")));
    }
    assert_eq!(categories(fleet).await, json!(["all"]), "the definition is not the new one");
    fleet.is_as_at_first().await;
}

/// Of the resource definition.
async fn categories(fleet: &Fleet<'_>) -> Value {
    let mut definition = fleet.cluster.get("customresourcedefinition loadbalancers.ringhold.dev").await;
    definition["spec"]["names"]["categories"].take()
}

/// There and back.
pub(crate) async fn proxies_and_controllers_part_and_meet(fleet: &Fleet<'_>) {
    let replicas = fleet.pods().await;
    for (mode, deployments) in [("split", &["ringhold", "ringhold-controller"][..]), ("combined", &["ringhold"])] {
        let change = fleet.under_load(format!("changes to mode {mode}"), async {
            upgrade(fleet, &format!("--set mode={mode}")).await;
            let found = fleet.cluster.list(&format!("deployments --namespace {SYSTEM}")).await;
            assert_eq!(found.iter().map(name).collect::<Vec<_>>(), deployments);
            fleet.cluster.kubectl("scale loadbalancer web --replicas=4").await;
            fleet.settled(4).await;
            fleet.cluster.kubectl("scale loadbalancer web --replicas=3").await;
            fleet.settled(3).await;
        });
        change.await.lost_nothing();
        assert_eq!(uids(&replicas), uids(&fleet.pods().await), "the upgrade has touched replicas");
        fleet.is_as_at_first().await;
    }
    let proxy = format!("--as=system:serviceaccount:{SYSTEM}:ringhold-proxy");
    let may = fleet.cluster.try_kubectl(&["auth", "can-i", "create", "pods", &proxy], "").await;
    may.expect_err("a proxy that only proxies may create pods");
}

async fn upgrade(fleet: &Fleet<'_>, values: &str) {
    let args = format!("upgrade ringhold charts/ringhold --namespace {SYSTEM} --reset-then-reuse-values {values}");
    fleet.cluster.helm(&format!("{args} --wait --timeout 180s")).await;
    nodes::proxies_are_ready(fleet).await;
    let all_old_gone = fleet.cluster.eventually("the old pods are gone", async || {
        let pods = fleet.cluster.list(&format!("pods --namespace {SYSTEM}")).await;
        let ending: Vec<_> = pods.iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).collect();
        if ending.is_empty() { Ok(()) } else { Err(format!("{} are ending", ending.len())) }
    });
    all_old_gone.await;
}

pub(crate) async fn uninstalling_leaves_only_the_definition(cluster: &Cluster) {
    cluster.say("uninstalls the release");
    cluster.helm(&format!("uninstall ringhold --namespace {SYSTEM} --wait --timeout 120s")).await;
    let gone = cluster.eventually("nothing of the release is left", async || {
        let mut left = cluster.list(&format!("{KINDS} --namespace {SYSTEM}")).await;
        // What Kubernetes puts into every namespace.
        left.retain(|object| !["default", "kube-root-ca.crt"].contains(&name(object).as_str()));
        left.extend(cluster.list("clusterroles,clusterrolebindings --selector app.kubernetes.io/name=ringhold").await);
        let left: Vec<_> = left.iter().map(|object| format!("{}/{}", object["kind"], name(object))).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    gone.await;
    cluster.kubectl("delete customresourcedefinition loadbalancers.ringhold.dev").await;
}

/// `kubectl apply` of deploy/operator.yaml, and nothing before.
pub(crate) async fn one_manifest_is_enough(cluster: &Cluster) {
    cluster.say("applies deploy/operator.yaml alone");
    cluster.kubectl(&format!("delete namespace {SYSTEM}")).await;
    cluster.kubectl("apply --server-side --filename deploy/operator.yaml").await;
    cluster.kubectl(&format!("rollout status deployment/ringhold --namespace {SYSTEM} --timeout 120s")).await;
    fleet_lives_in(cluster, "default").await;
    cluster.kubectl("delete --filename deploy/operator.yaml --timeout 120s").await;
}

pub(crate) async fn one_namespace_is_enough(cluster: &Cluster) {
    cluster.say("installs for one namespace");
    cluster.kubectl("create namespace team").await;
    let values = "--set watchNamespace=team,rbac.userRoles=false";
    let place = format!("--namespace {SYSTEM} --create-namespace");
    cluster.helm(&format!("install ringhold charts/ringhold {place} {values} --wait --timeout 120s")).await;
    let wide = cluster.list("clusterroles --selector app.kubernetes.io/name=ringhold").await;
    assert_eq!(wide.iter().map(name).collect::<Vec<_>>(), [""; 0], "rights beyond the namespace");
    fleet_lives_in(cluster, "team").await;
    cluster.helm(&format!("uninstall ringhold --namespace {SYSTEM} --wait --timeout 120s")).await;
}

/// A LoadBalancer becomes ready there, and goes.
async fn fleet_lives_in(cluster: &Cluster, namespace: &str) {
    cluster.kubectl(&format!("apply --namespace {namespace} --filename deploy/samples/web.yaml")).await;
    let ready = "wait loadbalancer web --for jsonpath={.status.readyReplicas}=3 --timeout 120s";
    cluster.kubectl(&format!("{ready} --namespace {namespace}")).await;
    cluster.kubectl(&format!("delete loadbalancer web --namespace {namespace}")).await;
    cluster.kubectl(&format!("wait pods --for delete --selector app=web --timeout 120s --namespace {namespace}")).await;
}
