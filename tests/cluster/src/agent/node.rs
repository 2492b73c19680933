//! The node that the agent pretends to be.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::context::Context;

/// Often enough for the shortest grace that tests give a node.
const HEARTBEAT: Duration = Duration::from_secs(2);
const MANAGER: &str = "ringhold-test-agent";

/// Creates the node, unless it is there, and says that it is ready.
pub(super) async fn create(context: &Context) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let name = &context.config.node;
    let labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"});
    let node = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        created => drop(created.with_context(|| format!("can't create node {name}"))?),
    }
    renew(context).await?;
    let now = Time(Timestamp::now());
    let resources = json!({"cpu": "1000", "memory": "1Ti", "pods": "10000"});
    let status = json!({"status": {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the tests' own agent is ready",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    }});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await?;
    Ok(())
}

/// Says again and again that the node is alive.
pub(super) async fn heartbeat(context: Arc<Context>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        context.until_acting().await;
        // One that fails is followed by the next.
        drop(renew(&context).await);
    }
}

async fn renew(context: &Context) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(context.client.clone(), "kube-node-lease");
    let name = &context.config.node;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": MicroTime(Timestamp::now())},
    });
    leases.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&lease)).await?;
    Ok(())
}
