//! What nodes do to the fleet and to Ringhold alike: they are drained and tainted; and what a new leader makes of it.

use serde_json::Value;

use crate::cluster::SYSTEM;
use crate::fleet::{Fleet, name};

pub(crate) async fn a_tainted_node_loses_its_pods(fleet: &Fleet<'_>) {
    let taint = fleet.under_load("taints node-2 with NoExecute", async {
        fleet.cluster.kubectl("taint node node-2 gone=now:NoExecute").await;
        is_empty(fleet, "node-2").await;
        fleet.settled(3).await;
        proxies_are_ready(fleet).await;
    });
    taint.await.lost_nothing();
    fleet.cluster.kubectl("taint node node-2 gone-").await;
    fleet.is_as_at_first().await;
}

/// As an upgrade of the nodes does it, one after the other. Every pod moves, twice.
pub(crate) async fn nodes_are_drained(fleet: &Fleet<'_>) {
    for node in ["node-1", "node-2"] {
        let drain = fleet.under_load(format!("drains {node}"), async {
            fleet.cluster.kubectl(&format!("drain {node} --ignore-daemonsets --timeout 200s")).await;
            is_empty(fleet, node).await;
            fleet.settled(3).await;
            proxies_are_ready(fleet).await;
        });
        drain.await.lost_nothing();
        fleet.cluster.kubectl(&format!("uncordon {node}")).await;
        fleet.is_as_at_first().await;
    }
}

pub(crate) async fn the_leader_is_deleted(fleet: &Fleet<'_>) {
    let before = leader(fleet).await.unwrap();
    let change = fleet.under_load(format!("deletes the leader, {before}"), async {
        fleet.cluster.kubectl(&format!("delete pod --namespace {SYSTEM} {before}")).await;
        let next = fleet.cluster.eventually("another leader", async || match leader(fleet).await {
            Some(now) if now != before => Ok(()),
            other => Err(format!("{other:?}")),
        });
        next.await;
        fleet.cluster.kubectl("scale loadbalancer web --replicas=4").await;
        fleet.settled(4).await;
        fleet.cluster.kubectl("scale loadbalancer web --replicas=3").await;
        fleet.settled(3).await;
        proxies_are_ready(fleet).await;
    });
    change.await.lost_nothing();
    fleet.is_as_at_first().await;
}

/// The pod that holds the Lease.
async fn leader(fleet: &Fleet<'_>) -> Option<String> {
    let lease = fleet.cluster.get(&format!("lease ringhold --namespace {SYSTEM}")).await;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

/// Every proxy that there should be is ready.
pub(crate) async fn proxies_are_ready(fleet: &Fleet<'_>) {
    fleet.cluster.kubectl(&format!("rollout status deployment/ringhold --namespace {SYSTEM} --timeout 120s")).await;
}

async fn is_empty(fleet: &Fleet<'_>, node: &str) {
    let empty = fleet.cluster.eventually(format!("{node} is empty"), async || {
        let selector = format!("pods --all-namespaces --field-selector spec.nodeName={node}");
        let pods: Vec<Value> = fleet.cluster.list(&selector).await;
        if pods.is_empty() { Ok(()) } else { Err(format!("{:?}", pods.iter().map(name).collect::<Vec<_>>())) }
    });
    empty.await;
}
