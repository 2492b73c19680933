//! The cluster that everything happens in: a control plane, one node, one namespace, and who watches it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use ringhold::api::LoadBalancer;
use ringhold_test_cluster::{Access, Agent, AgentConfig, Binaries, ControlPlane, ControlPlaneConfig};
use tempfile::TempDir;

use crate::args::Args;
use crate::fleets::{self, Fleets};
use crate::followed::Followed;
use crate::operator::{self, Operator};
use crate::process::{Process, Usage};
use crate::rounds::Limits;

/// Between two parts, so that what one of them leaves to do is not on the next one's account.
const BREATH: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub(crate) cluster: ControlPlane,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) agent: Agent,
    pub(crate) pods: Followed<PodState>,
    pub(crate) loadbalancers: Fleets<LoadBalancer>,
    pub(crate) deployments: Fleets<Deployment>,
    access: Access,
    program: PathBuf,
    folder: TempDir,
}

/// What matters of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodState {
    /// Of which LoadBalancer it is; empty for a Deployment's.
    pub(crate) loadbalancer: String,
    pub(crate) ordinal: Option<u16>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) is_ready: bool,
    pub(crate) is_leaving: bool,
}

// === impl World ===

impl World {
    pub(crate) async fn start(binaries: &Binaries, args: &Args) -> anyhow::Result<Self> {
        let config = ControlPlaneConfig {
            definitions: vec![LoadBalancer::crd()],
            controller_arguments: Limits::Lifted.arguments(),
            ..ControlPlaneConfig::default()
        };
        let cluster = ControlPlane::start(binaries, config).await?;
        let client = cluster.client()?;
        operator::grant(&client).await?;
        let access = cluster.service_account(operator::NAMESPACE, operator::ACCOUNT).await?;
        let namespace = cluster.namespace().await?;
        let agent = Agent::start(cluster.node_agent().client()?, AgentConfig::in_process(&namespace)).await?;
        Ok(Self {
            pods: Followed::start(Api::namespaced(client.clone(), &namespace), PodState::read),
            loadbalancers: fleets::loadbalancers(&client, &namespace, args)?,
            deployments: fleets::deployments(&client, &namespace, args)?,
            cluster,
            client,
            namespace,
            agent,
            access,
            program: args.operator.clone(),
            folder: TempDir::new()?,
        })
    }

    /// As whom the operator comes to the API server.
    pub(crate) fn operator_access(&self) -> Access {
        self.access.clone()
    }

    pub(crate) async fn operator(&self, access: Access) -> anyhow::Result<Operator> {
        Operator::start(&self.program, &access, self.folder.path()).await
    }

    /// One of each comes and goes: only then the controllers, the garbage collector among them, work for certain.
    pub(crate) async fn warm_up(&self) -> anyhow::Result<()> {
        self.deployments.create(1).await?;
        self.loadbalancers.create(1).await?;
        self.deployments.until_told(1).await?;
        self.loadbalancers.until_told(1).await?;
        self.deployments.delete().await?;
        self.loadbalancers.delete().await?;
        self.until_empty().await
    }

    /// Starts the controllers anew, with other limits, and waits until they work.
    pub(crate) async fn restart_controllers(&mut self, limits: Limits) -> anyhow::Result<()> {
        self.start_controllers(limits)?;
        self.deployments.create(1).await?;
        self.deployments.until_told(1).await?;
        self.deployments.delete().await?;
        self.until_empty().await
    }

    /// The same, without the wait.
    pub(crate) fn start_controllers(&mut self, limits: Limits) -> anyhow::Result<()> {
        self.cluster.stop_controllers();
        self.cluster.set_controller_arguments(limits.arguments());
        self.cluster.start_controllers()
    }

    /// Waits until nothing is left of any fleet, nor anything to do about it.
    pub(crate) async fn until_empty(&self) -> anyhow::Result<()> {
        self.until_no_pods().await?;
        fleets::until_nothing_owned(&self.client, &self.namespace).await?;
        self.breathe().await;
        Ok(())
    }

    pub(crate) async fn until_no_pods(&self) -> anyhow::Result<()> {
        self.pods.until("no pod is left", |pods| pods.is_empty().then_some(())).await
    }

    /// Waits until exactly so many pods are there, all ready.
    pub(crate) async fn until_ready(&self, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} pods are ready");
        self.pods
            .until(&what, |pods| {
                let ready = || pods.values().filter(|pod| pod.what.is_ready && !pod.what.is_leaving).count();
                (pods.len() == count && ready() == count).then_some(())
            })
            .await
    }

    /// What the controllers have used so far.
    pub(crate) fn controllers(&self) -> anyhow::Result<Usage> {
        Process(self.cluster.controllers_process().context("the controllers do not run")?).usage()
    }

    pub(crate) async fn breathe(&self) {
        tokio::time::sleep(BREATH).await;
    }
}

// === impl PodState ===

impl PodState {
    fn read(pod: &Pod) -> Self {
        let label = |name| pod.labels().get(name).cloned();
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is_ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Self {
            loadbalancer: label("ringhold.dev/loadbalancer").unwrap_or_default(),
            ordinal: label("ringhold.dev/ordinal").and_then(|ordinal| ordinal.parse().ok()),
            address: pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
            is_ready,
            is_leaving: pod.metadata.deletion_timestamp.is_some(),
        }
    }
}
