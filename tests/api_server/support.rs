//! One control plane for all tests; each has a namespace, a node agent and operators of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt};
use ringhold::api::{LoadBalancer, LoadBalancerStatus};
use ringhold_test_cluster::{Agent, AgentConfig, ControlPlane, ControlPlaneConfig, binaries_or_skip, eventually};
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// For one answer of a replica.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Everything that a test has.
pub(crate) struct World {
    cluster: &'static ControlPlane,
    client: Client,
    namespace: String,
    folder: TempDir,
    listener: u16,
    pub(crate) loadbalancers: Api<LoadBalancer>,
    pub(crate) pods: Api<Pod>,
    _agent: Agent,
}

/// One process of the operator; it is killed when it is dropped.
pub(crate) struct Operator {
    child: Child,
    proxy: SocketAddr,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) ordinal: u16,
}

/// `None`: there is no control plane here, and that is allowed.
pub(crate) async fn world() -> Option<World> {
    static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();
    let binaries = binaries_or_skip()?;
    let config = ControlPlaneConfig { definitions: vec![LoadBalancer::crd()], ..ControlPlaneConfig::default() };
    let cluster = CLUSTER.get_or_try_init(|| ControlPlane::start(&binaries, config)).await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_ringhold")).parent().unwrap();
    let agent = AgentConfig::processes(&namespace, programs);
    let agent = Agent::start(cluster.node_agent().client().unwrap(), agent).await.unwrap();
    let client = cluster.client().unwrap();
    let world = World {
        cluster,
        loadbalancers: Api::namespaced(client.clone(), &namespace),
        pods: Api::namespaced(client.clone(), &namespace),
        client,
        namespace,
        folder: TempDir::new().unwrap(),
        listener: free_port(),
        _agent: agent,
    };
    world.grant().await;
    Some(world)
}

/// A condition's status; empty where it is not stated.
pub(crate) fn condition(status: &LoadBalancerStatus, kind: &str) -> String {
    let stated = status.conditions.iter().find(|condition| condition.type_ == kind);
    stated.map(|condition| condition.status.clone()).unwrap_or_default()
}

// === impl World ===

impl World {
    /// Binds the rules of deploy/operator.yaml, all in this namespace.
    async fn grant(&self) {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/operator.yaml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest).unwrap();
        let names = ["ringhold-proxy", "ringhold-controller", "ringhold-leader"];
        let is_ours = |document: &&Value| {
            matches!(document["kind"].as_str(), Some("ClusterRole" | "Role"))
                && document["metadata"]["name"].as_str().is_some_and(|name| names.contains(&name))
        };
        let rules: Vec<Value> = documents
            .iter()
            .filter(is_ours)
            .flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        assert!(rules.len() > names.len(), "deploy/operator.yaml grants nothing");
        let role: Role = serde_json::from_value(json!({"metadata": {"name": "operator"}, "rules": rules})).unwrap();
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": self.namespace}],
        }))
        .unwrap();
        let params = PostParams::default();
        Api::namespaced(self.client.clone(), &self.namespace).create(&params, &role).await.unwrap();
        Api::namespaced(self.client.clone(), &self.namespace).create(&params, &binding).await.unwrap();
    }

    /// Starts an operator of this name, and waits until it is ready.
    pub(crate) async fn operator(&self, name: &str) -> Operator {
        let access = self.cluster.service_account(&self.namespace, "operator").await.unwrap();
        let kubeconfig = self.folder.path().join(format!("{name}.kubeconfig"));
        access.write_kubeconfig(&kubeconfig).unwrap();
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        std::fs::write(self.admin_file(name), admin.to_string()).unwrap();
        // An address of its own for each, as pods have.
        let host = format!("127.0.0.{}", 2 + name.as_bytes()[0] % 100);
        let child = Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(["operator", "--namespace", &self.namespace, "--pod-namespace", &self.namespace, "--pod-name", name])
            .args(["--admin-address", &admin.to_string(), "--address", &host, "--workers", "1"])
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("the operator is ready", async || get(admin, "/readyz", "").await.ok()).await;
        Operator { child, proxy: SocketAddr::new(host.parse().unwrap(), self.listener) }
    }

    fn admin_file(&self, operator: &str) -> PathBuf {
        self.folder.path().join(format!("{operator}.admin"))
    }

    /// How often an operator has looked at a LoadBalancer.
    pub(crate) async fn looks(&self, operator: &str) -> u64 {
        let admin = std::fs::read_to_string(self.admin_file(operator)).unwrap().parse().unwrap();
        let metrics = get(admin, "/metrics", "").await.unwrap();
        let counts = metrics.lines().filter(|line| line.starts_with("ringhold_controller_reconciles_total"));
        counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
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

    pub(crate) async fn apply(&self, resource: &LoadBalancer) {
        self.loadbalancers.create(&PostParams::default(), resource).await.unwrap();
    }

    pub(crate) async fn patch(&self, change: &Value) {
        self.loadbalancers.patch("web", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
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

    /// Selects the pods of the fleet.
    pub(crate) fn ours(&self) -> ListParams {
        ListParams::default().labels("ringhold.dev/loadbalancer=web")
    }

    /// Who holds the Lease.
    pub(crate) async fn leader(&self) -> Option<String> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
        leases.get_opt("ringhold").await.unwrap()?.spec?.holder_identity
    }
}

// === impl Operator ===

impl Operator {
    /// Sends a request with this key; it has to be answered with 200.
    pub(crate) async fn ask(&self, key: &str) -> Answer {
        self.try_ask(key).await.unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    pub(crate) async fn try_ask(&self, key: &str) -> Result<Answer, String> {
        let body = get(self.proxy, "/whoami", &format!("X-User-Id: {key}\r\n")).await?;
        serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
    }

    /// As the kubelet does.
    pub(crate) async fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().await.unwrap().success(), "an operator that is told to stop ends well");
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// The body of a 200.
async fn get(address: SocketAddr, path: &str, headers: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        Ok::<_, std::io::Error>(response)
    };
    let response = tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| "no answer in time".to_owned())?;
    let response = response.map_err(|error| error.to_string())?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(response),
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
