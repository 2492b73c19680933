//! One control plane for most tests; each has namespaces, a node agent and operators of its own.

mod grants;
mod operator;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt, Resource, ResourceExt};
use ringhold::api::{LoadBalancer, LoadBalancerStatus, ServiceSpec};
use ringhold_test_cluster::{
    Access, Agent, AgentConfig, ControlPlane, ControlPlaneConfig, Port, binaries_or_skip, eventually, eventually_ok,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) use grants::{Right, granted, secret_rights};
use grants::{bind, grant};
pub(crate) use operator::{Operator, post};

/// Everything that a test has.
pub(crate) struct World {
    pub(crate) client: Client,
    /// The operator's user, with the rights that deploy/operator.yaml grants and no others.
    pub(crate) access: Access,
    /// Where the LoadBalancers are.
    pub(crate) namespace: String,
    /// Where the operators would be, were they pods: of the Lease and the proxies' pods.
    pub(crate) home: String,
    folder: TempDir,
    pub(crate) listener: u16,
    /// The listener's and every operator's own, kept from other tests.
    ports: Mutex<Vec<Port>>,
    pub(crate) loadbalancers: Api<LoadBalancer>,
    pub(crate) pods: Api<Pod>,
    pub(crate) agent: Agent,
}

/// The control plane that tests share. `None`: there is none here, and that is allowed.
pub(crate) async fn shared() -> Option<&'static ControlPlane> {
    static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();
    let binaries = binaries_or_skip()?;
    Some(CLUSTER.get_or_try_init(|| ControlPlane::start(&binaries, config())).await.unwrap())
}

/// A control plane for one test that does things to it.
pub(crate) async fn own(change: impl FnOnce(&mut ControlPlaneConfig)) -> Option<ControlPlane> {
    let binaries = binaries_or_skip()?;
    let mut config = config();
    change(&mut config);
    Some(ControlPlane::start(&binaries, config).await.unwrap())
}

fn config() -> ControlPlaneConfig {
    ControlPlaneConfig {
        definitions: vec![LoadBalancer::crd()],
        // As strict as an API server can be about owners.
        api_server_arguments: vec!["--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned()],
        ..ControlPlaneConfig::default()
    }
}

/// A world in the shared control plane.
pub(crate) async fn world() -> Option<World> {
    Some(World::new(shared().await?, &granted()).await)
}

/// A condition's status; empty where it is not stated.
pub(crate) fn condition(status: &LoadBalancerStatus, kind: &str) -> String {
    let stated = status.conditions.iter().find(|condition| condition.type_ == kind);
    stated.map(|condition| condition.status.clone()).unwrap_or_default()
}

// === impl World ===

impl World {
    /// One whose operator has these rights.
    pub(crate) async fn new(cluster: &ControlPlane, rights: &[Right]) -> Self {
        let namespace = cluster.namespace().await.unwrap();
        let home = cluster.namespace().await.unwrap();
        let programs = Path::new(env!("CARGO_BIN_EXE_ringhold")).parent().unwrap();
        let agent = AgentConfig::processes(&namespace, programs);
        let agent = Agent::start(cluster.node_agent().client().unwrap(), agent).await.unwrap();
        let access = cluster.service_account(&home, "operator").await.unwrap();
        let client = cluster.client().unwrap();
        grant(&client, &access, [&namespace, &home], rights).await;
        let listener = Port::claim().unwrap();
        Self {
            loadbalancers: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client.clone(), &namespace),
            client,
            access,
            namespace,
            home,
            folder: TempDir::new().unwrap(),
            listener: listener.number(),
            ports: Mutex::new(vec![listener]),
            agent,
        }
    }

    /// A port for as long as this world stands.
    fn port(&self) -> u16 {
        let port = Port::claim().unwrap();
        let number = port.number();
        self.ports.lock().unwrap().push(port);
        number
    }

    /// Gives the operator further rights where the LoadBalancers are.
    pub(crate) async fn grant_besides(&self, role: &str, rights: &[Right]) {
        bind(&self.client, &self.access, &self.namespace, role, rights).await;
    }

    /// Gives the operator further rights where it is itself.
    pub(crate) async fn grant_at_home(&self, role: &str, rights: &[Right]) {
        bind(&self.client, &self.access, &self.home, role, rights).await;
    }

    /// Another kind of object, where the LoadBalancers are.
    pub(crate) fn all<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The fleet `web`, on the test's own port.
    pub(crate) fn manifest(&self, replicas: i32) -> LoadBalancer {
        serde_json::from_value(json!({
            "apiVersion": "ringhold.dev/v1alpha1",
            "kind": "LoadBalancer",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "listener": {"port": self.listener},
                "hashKey": [{"header": {"name": "X-User-Id"}}],
                "ring": {"slots": 256},
                "health": {"periodSeconds": 1},
                "rollout": {"drainTimeoutSeconds": 5},
                "template": {"spec": {
                    "terminationGracePeriodSeconds": 2,
                    "containers": [{
                        "name": "server",
                        "image": "ringhold-server:dev",
                        "command": ["ringhold-server"],
                        "ports": [{"name": "http", "containerPort": 8080}],
                    }],
                }},
            },
        }))
        .unwrap()
    }

    /// The same without a Service: its slices could not lead to the loopback addresses that operators have here.
    pub(crate) fn unexposed(&self, replicas: i32) -> LoadBalancer {
        let mut resource = self.manifest(replicas);
        resource.spec.service = ServiceSpec::default();
        resource
    }

    /// The same as [`World::manifest`], of pods that are not restarted in their place when they end.
    pub(crate) fn mortal(&self, replicas: i32) -> LoadBalancer {
        let mut resource = self.manifest(replicas);
        resource.spec.template.0["spec"]["restartPolicy"] = json!("Never");
        resource
    }

    pub(crate) async fn apply(&self, resource: &LoadBalancer) {
        self.loadbalancers.create(&PostParams::default(), resource).await.unwrap();
    }

    pub(crate) async fn patch(&self, change: &Value) {
        self.loadbalancers.patch("web", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    /// Annotates a pod, as people do.
    pub(crate) async fn annotate(&self, pod: &str, name: &str, value: &str) {
        let note = json!({"metadata": {"annotations": {name: value}}});
        self.pods.patch(pod, &PatchParams::default(), &Patch::Merge(note)).await.unwrap();
    }

    /// As `kubectl scale` does.
    pub(crate) async fn scale(&self, replicas: i32) {
        let scale = json!({"spec": {"replicas": replicas}});
        self.loadbalancers.patch_scale("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    }

    pub(crate) async fn change_template(&self, variable: &str, value: &str) {
        let mut template = serde_json::to_value(&self.manifest(1).spec.template).unwrap();
        template["spec"]["containers"][0]["env"] = json!([{"name": variable, "value": value}]);
        self.patch(&json!({"spec": {"template": template}})).await;
    }

    pub(crate) async fn status(&self) -> LoadBalancerStatus {
        self.loadbalancers.get("web").await.unwrap().status.unwrap_or_default()
    }

    /// Waits until exactly so many replicas exist, all ready.
    pub(crate) async fn until_ready(&self, replicas: i32) {
        eventually(&format!("{replicas} replicas are ready"), async || {
            let status = self.status().await;
            (status.replicas == replicas && status.ready_replicas == replicas).then_some(())
        })
        .await;
    }

    /// Waits until exactly so many replicas exist, all ready, and there is nothing left to do.
    pub(crate) async fn until_settled(&self, replicas: i32) {
        eventually_ok(&format!("{replicas} replicas are ready, and no more is to come"), async || {
            let resource = self.loadbalancers.get("web").await.unwrap();
            let generation = resource.metadata.generation;
            let status = resource.status.unwrap_or_default();
            let is_new = Some(status.observed_generation) == generation;
            let is_whole = status.replicas == replicas && status.ready_replicas == replicas;
            if is_new && is_whole && condition(&status, "Progressing") == "False" {
                return Ok(());
            }
            let pods = self.pods.list(&self.ours()).await.unwrap().items;
            let pods = pods.iter().map(|pod| (pod.name_any(), pod.status.as_ref()));
            Err(format!("{status:#?}\n{:#?}", pods.collect::<Vec<_>>()))
        })
        .await;
    }

    /// Lets an operator be a pod that routes, as those with `--proxy-selector app=ringhold` see it.
    pub(crate) async fn pretend(&self, operator: &Operator) {
        self.pretend_pod(&operator.name, operator.admin, true).await;
    }

    /// Lets there be a pod that routes, with this address of its admin server.
    pub(crate) async fn pretend_pod(&self, name: &str, admin: SocketAddr, is_ready: bool) {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.home);
        let port = json!({"name": "admin", "containerPort": admin.port()});
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "ringhold"}},
            "spec": {"containers": [{"name": "ringhold", "image": "ringhold", "ports": [port]}]},
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        self.pretend_ready(name, admin, is_ready).await;
    }

    /// Lets that pod be ready, or not.
    pub(crate) async fn pretend_ready(&self, name: &str, admin: SocketAddr, is_ready: bool) {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.home);
        let address = admin.ip();
        let ready = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }});
        let status = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]});
        let status = Patch::Strategic(json!({"status": status}));
        pods.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// Selects the pods of the fleet.
    pub(crate) fn ours(&self) -> ListParams {
        ListParams::default().labels("ringhold.dev/loadbalancer=web")
    }

    /// The fleet's pods that are not being deleted, by name.
    pub(crate) async fn living(&self) -> Vec<Pod> {
        let mut pods = self.pods.list(&self.ours()).await.unwrap().items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// Waits for a condition of this status and reason; gives its message.
    pub(crate) async fn until_stated(&self, kind: &str, status: &str, reason: &str) -> String {
        eventually(&format!("{kind} is {status} with {reason}"), async || {
            let stated = self.status().await.conditions;
            let stated = stated.into_iter().find(|condition| condition.type_ == kind)?;
            (stated.status == status && stated.reason == reason).then_some(stated.message)
        })
        .await
    }

    /// Waits for an Event of this reason; gives its text.
    pub(crate) async fn until_told(&self, reason: &str) -> String {
        eventually(&format!("{reason} is told"), async || {
            let told = self.told().await;
            told.into_iter().find(|event| event.reason.as_deref() == Some(reason))?.message
        })
        .await
    }

    /// All Events that Ringhold wrote.
    pub(crate) async fn told(&self) -> Vec<Event> {
        let mut events = self.all::<Event>().list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| event.reporting_component.as_deref() == Some("ringhold.dev/controller"));
        events
    }

    /// Who holds the Lease.
    pub(crate) async fn leader(&self) -> Option<String> {
        self.holder("ringhold").await
    }

    /// Who holds the Lease of this name.
    pub(crate) async fn holder(&self, lease: &str) -> Option<String> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.home);
        leases.get_opt(lease).await.unwrap()?.spec?.holder_identity
    }
}
