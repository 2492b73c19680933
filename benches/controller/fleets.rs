//! The two kinds of fleets that are compared: LoadBalancers and Deployments, of equal pods.

use std::fmt::Debug;
use std::net::TcpListener;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use ringhold::api::LoadBalancer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::args::Args;
use crate::followed::Followed;

/// So many are created, or deleted, at one time, as `kubectl apply` of several files at once would.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);

/// What a fleet can be.
pub(crate) trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + 'static
{
}

impl Kind for LoadBalancer {}
impl Kind for Deployment {}

/// All of one kind.
pub(crate) struct Fleets<K> {
    api: Api<K>,
    objects: Vec<K>,
    told: Followed<bool>,
}

/// All LoadBalancers share a port, each with a host of its own.
pub(crate) fn loadbalancers(client: &Client, namespace: &str, args: &Args) -> anyhow::Result<Fleets<LoadBalancer>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let replicas = i32::from(args.replicas);
    let object = |index: u16| {
        json!({
            "apiVersion": "ringhold.dev/v1alpha1",
            "kind": "LoadBalancer",
            "metadata": {"name": format!("lb-{index}")},
            "spec": {
                "replicas": replicas,
                "listener": {"port": port, "hostnames": [format!("lb-{index}.test")]},
                "template": template(&format!("lb-{index}")),
            },
        })
    };
    Fleets::new(client, namespace, args, object, |loadbalancer: &LoadBalancer| {
        let told = loadbalancer.status.as_ref().map(|status| status.ready_replicas);
        told == Some(loadbalancer.spec.replicas)
    })
}

pub(crate) fn deployments(client: &Client, namespace: &str, args: &Args) -> anyhow::Result<Fleets<Deployment>> {
    let object = |index: u16| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": format!("deployment-{index}")},
            "spec": {
                "replicas": args.replicas,
                "selector": {"matchLabels": {"app": format!("deployment-{index}")}},
                "template": template(&format!("deployment-{index}")),
            },
        })
    };
    Fleets::new(client, namespace, args, object, |deployment: &Deployment| {
        let told = deployment.status.as_ref().and_then(|status| status.ready_replicas);
        told == deployment.spec.as_ref().and_then(|spec| spec.replicas)
    })
}

fn template(name: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{
            "name": "server",
            "image": "server:bench",
            "ports": [{"name": "http", "containerPort": 8080}],
        }]},
    })
}

/// Waits until the garbage collector has taken everything that fleets own besides pods.
pub(crate) async fn until_nothing_owned(client: &Client, namespace: &str) -> anyhow::Result<()> {
    until_none::<ReplicaSet>(client, namespace).await?;
    until_none::<Service>(client, namespace).await?;
    until_none::<EndpointSlice>(client, namespace).await?;
    until_none::<PodDisruptionBudget>(client, namespace).await
}

async fn until_none<K>(client: &Client, namespace: &str) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    while !api.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

// === impl Fleets ===

impl<K: Kind> Fleets<K> {
    fn new(
        client: &Client,
        namespace: &str,
        args: &Args,
        object: impl Fn(u16) -> Value,
        is_told: fn(&K) -> bool,
    ) -> anyhow::Result<Self> {
        let api: Api<K> = Api::namespaced(client.clone(), namespace);
        let objects = (0..args.loadbalancers).map(|index| serde_json::from_value(object(index)));
        let told = Followed::start(api.clone(), is_told);
        Ok(Self { api, objects: objects.collect::<Result<_, _>>()?, told })
    }

    /// Creates the first so many.
    pub(crate) async fn create(&self, count: usize) -> anyhow::Result<()> {
        let created = stream::iter(self.objects.iter().take(count))
            .map(async |object| self.api.create(&PostParams::default(), object).await);
        Ok(created.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?)
    }

    pub(crate) async fn create_all(&self) -> anyhow::Result<()> {
        self.create(self.objects.len()).await
    }

    /// Deletes all; what they own is the garbage collector's.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        let names: Vec<String> = self.told.now(|known| known.keys().cloned().collect());
        let params = DeleteParams::background();
        let deleted = stream::iter(&names).map(async |name| self.api.delete(name, &params).await);
        Ok(deleted.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?)
    }

    /// Waits until so many say in their status that all of their replicas are ready.
    pub(crate) async fn until_told(&self, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} say that they are ready");
        self.told.until(&what, |known| (known.values().filter(|seen| seen.what).count() == count).then_some(())).await
    }

    pub(crate) async fn until_all_told(&self) -> anyhow::Result<()> {
        self.until_told(self.objects.len()).await
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.objects[index % self.objects.len()].name_any()
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }
}
