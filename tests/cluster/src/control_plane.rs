//! etcd, the API server and, if asked, the controllers.

mod programs;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use crate::audit::{self, AuditEvent};
use crate::certificates::{self, Authority};
use crate::claims::Port;
use crate::program::Program;
use crate::{Access, Binaries, Gate, guard};

/// How long a control plane may take to get ready.
const START_LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(25);

/// The users that the API server knows by their tokens; all are in `system:masters`.
const ADMIN: &str = "test-admin";
const CONTROLLERS: &str = "test-controller-manager";
const NODE_AGENT: &str = "test-node-agent";

/// What to start.
#[derive(Clone, Debug)]
pub struct ControlPlaneConfig {
    /// Kubernetes' own controllers: needed for garbage collection, disruption budgets, autoscaling, EndpointSlices and
    /// the end of namespaces. Without them, pods need no service account.
    pub controllers: bool,
    /// Resource definitions to create before the controllers start, and to wait for. The garbage collector learns of a
    /// definition that comes later only after up to 30 s.
    pub definitions: Vec<CustomResourceDefinition>,
    /// How long a node may stay silent before its pods count as not ready.
    pub node_grace: Duration,
    /// Addresses besides 127.0.0.1 that the API server's certificate holds for.
    pub addresses: Vec<std::net::IpAddr>,
    /// Further arguments, behind ours.
    pub api_server_arguments: Vec<String>,
    /// Further arguments, behind ours.
    pub controller_arguments: Vec<String>,
}

/// A running control plane. It may be shared by tests with runtimes of their own, and ends when it is dropped, or else
/// with the test process.
#[derive(Debug)]
pub struct ControlPlane {
    binaries: Binaries,
    folder: PathBuf,
    config: ControlPlaneConfig,
    authority: Authority,
    ports: Ports,
    /// Dropped in this order.
    controllers: Option<Program>,
    api_server: Option<Program>,
    etcd: Program,
}

#[derive(Debug)]
struct Ports {
    api_server: Port,
    etcd: Port,
    etcd_peer: Port,
}

// === impl ControlPlaneConfig ===

impl Default for ControlPlaneConfig {
    fn default() -> Self {
        Self {
            controllers: true,
            definitions: Vec::new(),
            node_grace: Duration::from_secs(40),
            addresses: Vec::new(),
            api_server_arguments: Vec::new(),
            controller_arguments: Vec::new(),
        }
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// A program does not start, or is not ready in time; the error has the end of its log.
    pub async fn start(binaries: &Binaries, config: ControlPlaneConfig) -> anyhow::Result<Self> {
        let folder = guard::guard()?.folder("control-plane")?;
        let authority = certificates::write(&folder, &config.addresses)?;
        let ports = Ports { api_server: Port::claim()?, etcd: Port::claim()?, etcd_peer: Port::claim()? };
        programs::write_files(&folder)?;
        let etcd = programs::etcd(binaries, &folder, &ports)?;
        let binaries = binaries.clone();
        let mut cluster =
            Self { binaries, folder, config, authority, ports, controllers: None, api_server: None, etcd };
        cluster.start_api_server().await?;
        cluster.create_definitions().await?;
        if cluster.config.controllers {
            cluster.controllers = Some(programs::controllers(&cluster)?);
        }
        Ok(cluster)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.api_server.number()))
    }

    /// The folder with the logs and keys of this control plane. It goes with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The programs that it runs.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    // --- who may talk to it ---

    /// A new client as administrator, for the tokio runtime that this is called in.
    ///
    /// # Errors
    /// What building it gives.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.admin().client()
    }

    /// The administrator, who may do everything.
    #[must_use]
    pub fn admin(&self) -> Access {
        self.access(ADMIN, &token(ADMIN), "default")
    }

    /// The user for an [`Agent`](crate::Agent), who may do everything too, but can be told apart in the audit log.
    #[must_use]
    pub fn node_agent(&self) -> Access {
        self.access(NODE_AGENT, &token(NODE_AGENT), "default")
    }

    /// A service account, created if it is not there, with a fresh token. It has what rights its role bindings give.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn service_account(&self, namespace: &str, name: &str) -> anyhow::Result<Access> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client()?, namespace);
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        match accounts.create(&PostParams::default(), &account).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.with_context(|| format!("can't create service account {namespace}/{name}"))?),
        }
        let spec = TokenRequestSpec { expiration_seconds: Some(24 * 60 * 60), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let request = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token =
            request.status.and_then(|status| status.token).context("a token request was answered without one")?;
        Ok(self.access(&format!("system:serviceaccount:{namespace}:{name}"), &token, namespace))
    }

    fn access(&self, user: &str, token: &str, namespace: &str) -> Access {
        let [user, token, namespace] = [user, token, namespace].map(str::to_owned);
        Access { server: self.address(), authority: self.authority.clone(), user, token, namespace }
    }

    /// A way to the API server that a test can close: [`Access::through`] takes it.
    ///
    /// # Errors
    /// What listening gives.
    pub async fn gate(&self) -> anyhow::Result<Gate> {
        Gate::start(self.address()).await
    }

    // --- what lives in it ---

    /// A new namespace with a name of its own, in which pods can be created.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn namespace(&self) -> anyhow::Result<String> {
        let client = self.client()?;
        let metadata = ObjectMeta { generate_name: Some("test-".to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let name = Api::all(client.clone()).create(&PostParams::default(), &namespace).await?.name_any();
        if self.config.controllers {
            let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
            until("the namespace has its service account", async || Ok(accounts.get_opt("default").await?.is_some()))
                .await?;
        }
        Ok(name)
    }

    async fn create_definitions(&self) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client()?);
        for definition in &self.config.definitions {
            api.create(&PostParams::default(), definition).await?;
        }
        for definition in &self.config.definitions {
            let name = definition.name_any();
            until("a resource definition is established", async || {
                let status = api.get(&name).await?.status;
                let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
                Ok(conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True"))
            })
            .await?;
        }
        Ok(())
    }

    // --- what was asked of it ---

    /// Every request that was answered so far, in the order of the answers; a watch counts once it has ended. What was
    /// asked and answered before this call is in it.
    ///
    /// # Errors
    /// The API server is away, or its log can't be read.
    pub async fn audit(&self) -> anyhow::Result<Vec<AuditEvent>> {
        audit::read(&self.client()?, &self.folder.join(programs::AUDIT_LOG), None).await
    }

    /// The same of one user's requests only.
    ///
    /// # Errors
    /// The API server is away, or its log can't be read.
    pub async fn audit_of(&self, user: &Access) -> anyhow::Result<Vec<AuditEvent>> {
        audit::read(&self.client()?, &self.folder.join(programs::AUDIT_LOG), Some(user.user())).await
    }

    // --- what can happen to it ---

    /// Kills the API server. Its data and its port are kept.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server, unless it runs, with the data and the port that it had, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub async fn start_api_server(&mut self) -> anyhow::Result<()> {
        if self.api_server.is_some() {
            return Ok(());
        }
        self.api_server = Some(programs::api_server(self)?);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.etcd.check()?;
            let api_server = self.api_server.as_mut().context("the API server has just been started")?;
            api_server.check()?;
            // A new client each time: one that has failed may try its old connection again.
            let request = http::Request::get("/readyz").body(Vec::new())?;
            if self.admin().client()?.request_text(request).await.is_ok() {
                return Ok(());
            }
            let api_server = self.api_server.as_mut().context("the API server has just been started")?;
            let last_words = api_server.last_words();
            anyhow::ensure!(Instant::now() < deadline, "the API server is not ready in {START_LIMIT:?}:\n{last_words}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops the controllers, as when their leader is lost. [`start_controllers`](Self::start_controllers) goes on.
    pub fn stop_controllers(&mut self) {
        self.controllers = None;
    }

    /// The controllers' process, while they run.
    #[must_use]
    pub fn controllers_process(&self) -> Option<u32> {
        self.controllers.as_ref().map(Program::process_id)
    }

    /// From their next start on, the controllers get these arguments behind ours, in place of the configured ones.
    pub fn set_controller_arguments(&mut self, arguments: Vec<String>) {
        self.config.controller_arguments = arguments;
    }

    /// Starts the controllers, unless they run.
    ///
    /// # Errors
    /// They do not start.
    pub fn start_controllers(&mut self) -> anyhow::Result<()> {
        if self.controllers.is_none() {
            self.controllers = Some(programs::controllers(self)?);
        }
        Ok(())
    }

    /// Lets etcd forget all but the present. The API server still remembers recent changes by itself: only once it was
    /// stopped and started, too, a watch that goes on from an older version is told that this is gone (410).
    ///
    /// # Errors
    /// What etcd says.
    pub async fn compact_etcd(&self) -> anyhow::Result<()> {
        let now = self.ask_etcd("/v3/kv/range", &serde_json::json!({"key": "AA=="})).await?;
        let revision = now.pointer("/header/revision").context("etcd answers without a revision")?;
        self.ask_etcd("/v3/kv/compaction", &serde_json::json!({"revision": revision, "physical": true})).await?;
        Ok(())
    }

    async fn ask_etcd(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.etcd.number()));
        let request = http::Request::post(path).header("host", "etcd").body(body.to_string().into())?;
        let answer = crate::request::send(address, request).await?;
        let (status, body) = (answer.status(), answer.into_body());
        anyhow::ensure!(status.is_success(), "etcd says {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // They write into the folder until they end.
        self.controllers = None;
        self.api_server = None;
        self.etcd.kill();
        guard::remove(&self.folder);
    }
}

fn token(user: &str) -> String {
    format!("token-of-{user}")
}

/// Asks until it is so. An error of the API server ends the wait.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> kube::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while !is_so().await? {
        anyhow::ensure!(Instant::now() < deadline, "still not so after {START_LIMIT:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
