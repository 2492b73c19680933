//! Replicas as pods of a real API server, which all tests share. Each test has namespaces of its own.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use ringhold::backend::Backend;
use ringhold::backend::kubernetes::{KubernetesBackend, KubernetesConfig, PodWatch};
use ringhold::model::{Desired, FleetId, FleetUid, Replica};
use ringhold_test_cluster::{Agent, AgentConfig, ControlPlane, ControlPlaneConfig, Run, binaries_or_skip};
use serde_json::{Value, json};

use crate::fleet::fleet;
use crate::harness::Harness;

/// The namespaces that the cases speak of; in the cluster each test has its own in their place.
const SPOKEN_OF: [&str; 3] = [FleetId::DEFAULT_NAMESPACE, "ours", "theirs"];

/// A control plane, and a node for all of its pods.
pub(crate) struct Cluster {
    pub(crate) control: ControlPlane,
    pub(crate) agent: Agent,
}

/// Replicas as pods.
pub(crate) struct Kubernetes {
    pub(crate) cluster: &'static Cluster,
    pub(crate) client: Client,
    backend: KubernetesBackend,
    namespaces: BTreeMap<&'static str, String>,
}

// === impl Cluster ===

impl Cluster {
    /// The one of this process, which ends with it. `None`: Kubernetes' programs are missing, and the test is left out.
    pub(crate) fn shared() -> Option<&'static Self> {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        let binaries = binaries_or_skip()?;
        Some(CLUSTER.get_or_init(|| {
            let (send, receive) = mpsc::channel();
            // It outlives the runtime of the test that comes first.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    // Without controllers: the garbage collector would look for the LoadBalancers that own the pods.
                    let config = ControlPlaneConfig { controllers: false, ..ControlPlaneConfig::default() };
                    let control = ControlPlane::start(&binaries, config).await.unwrap();
                    let programs = Path::new(env!("CARGO_BIN_EXE_ringhold")).parent().unwrap().to_owned();
                    let node = AgentConfig { namespace: None, node: "node".to_owned(), run: Run::Processes(programs) };
                    let agent = Agent::start(control.node_agent().client().unwrap(), node).await.unwrap();
                    send.send(Self { control, agent }).unwrap();
                    pending::<()>().await;
                });
            });
            receive.recv().expect("the control plane starts")
        }))
    }
}

// === impl Kubernetes ===

impl Kubernetes {
    /// A backend whose watch runs. `None`: the test is left out.
    pub(crate) async fn new() -> Option<Self> {
        let cluster = Cluster::shared()?;
        let (harness, watch) = Self::with(cluster, cluster.control.client().unwrap()).await;
        harness.watch(watch).await;
        Some(harness)
    }

    /// A backend that talks through this client, and its watch, which nobody runs yet.
    pub(crate) async fn with(cluster: &'static Cluster, client: Client) -> (Self, PodWatch) {
        let mut namespaces = BTreeMap::new();
        for spoken in SPOKEN_OF {
            namespaces.insert(spoken, cluster.control.namespace().await.unwrap());
        }
        let (backend, watch) = KubernetesBackend::new(client, KubernetesConfig::default());
        (Self { cluster, client: cluster.control.client().unwrap(), backend, namespaces }, watch)
    }

    /// Runs the watch from now on.
    pub(crate) async fn watch(&self, watch: PodWatch) {
        tokio::spawn(watch.run(pending()));
        self.backend.synced().await;
    }

    /// A backend whose watch has ended after its first list.
    pub(crate) async fn blind() -> Option<Self> {
        let cluster = Cluster::shared()?;
        let (harness, watch) = Self::with(cluster, cluster.control.client().unwrap()).await;
        list_once(&harness.backend, watch).await;
        Some(harness)
    }

    /// Another Ringhold that has just begun, and whose watch has ended after its first list.
    pub(crate) async fn another(&self, desired: &Desired) -> KubernetesBackend {
        let (other, watch) = KubernetesBackend::new(self.client.clone(), KubernetesConfig::default());
        other.accept(desired).unwrap();
        list_once(&other, watch).await;
        other
    }

    /// The namespace that stands for `default` in this test.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespaces[FleetId::DEFAULT_NAMESPACE]
    }

    /// That namespace's pods, for the administrator.
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace())
    }

    pub(crate) async fn pod(&self, replica: &Replica) -> Pod {
        self.pods().get(replica.name.as_str()).await.unwrap()
    }

    /// Changes a pod as people do.
    pub(crate) async fn change(&self, replica: &Replica, change: &Value) {
        let manager = PatchParams { field_manager: Some("people".to_owned()), ..PatchParams::default() };
        self.pods().patch(replica.name.as_str(), &manager, &Patch::Merge(change)).await.unwrap();
    }

    /// A fleet whose pods have this spec.
    pub(crate) fn fleet_of(&self, id: &FleetId, pod: &Value) -> Desired {
        let namespace = &self.namespaces[&*id.namespace];
        let mut desired = fleet(&FleetId::new(namespace, &id.name), pod);
        desired.uid = FleetUid(Arc::from(format!("uid-of-{}-in-{namespace}", id.name)));
        self.backend.accept(&desired).unwrap();
        desired
    }
}

async fn list_once(backend: &KubernetesBackend, watch: PodWatch) {
    watch.run(backend.synced()).await;
}

impl Harness for Kubernetes {
    type Backend = KubernetesBackend;

    fn backend(&self) -> &KubernetesBackend {
        &self.backend
    }

    fn fleet(&self, id: &FleetId) -> Desired {
        let container = json!({"name": "server", "image": "ringhold-server:dev"});
        self.fleet_of(id, &json!({"containers": [container], "restartPolicy": "Never"}))
    }

    fn advance(&self) {}

    async fn kill(&self, replica: &Replica) {
        // The names of replicas are the same in all namespaces; no case has two of one name in reach when it kills.
        assert!(self.cluster.agent.kill(&format!("{}/{}", self.namespace(), replica.name)), "{replica:#?}");
    }
}
