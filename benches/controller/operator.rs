//! The operator as a process, with the rights that deploy/operator.yaml grants in all namespaces, and no others.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use ringhold_test_cluster::Access;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use crate::admin::{Admin, value};
use crate::process::Process;

/// Where deploy/operator.yaml puts it, and the name of its service account.
pub(crate) const NAMESPACE: &str = "ringhold-system";
pub(crate) const ACCOUNT: &str = "ringhold";

/// What of deploy/operator.yaml says what the operator may do; what is left runs it in pods, which this is not.
const RIGHTS: [&str; 6] = ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
/// An operator that is not ready by then has failed.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Killed when it is dropped.
pub(crate) struct Operator {
    child: Child,
    process: Process,
    admin: SocketAddr,
    took_to_start: Duration,
}

/// Creates what deploy/operator.yaml grants.
pub(crate) async fn grant(client: &Client) -> anyhow::Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/operator.yaml");
    let objects: Vec<DynamicObject> = serde_saphyr::from_multiple(&std::fs::read_to_string(manifest)?)?;
    for object in objects {
        let kind = object.types.clone().context("an object without a kind")?;
        if !RIGHTS.contains(&kind.kind.as_str()) {
            continue;
        }
        let resource = ApiResource::from_gvk(&(&kind).try_into()?);
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        api.create(&PostParams::default(), &object).await.with_context(|| format!("can't create a {}", kind.kind))?;
    }
    Ok(())
}

// === impl Operator ===

impl Operator {
    /// Starts one that routes and acts, and waits until it does both.
    pub(crate) async fn start(program: &Path, access: &Access, folder: &Path) -> anyhow::Result<Self> {
        let kubeconfig = folder.join("operator.kubeconfig");
        access.write_kubeconfig(&kubeconfig)?;
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // What it says while it is cut off on purpose is no news.
        let log = folder.join("operator.log");
        let began = Instant::now();
        let child = Command::new(program)
            .args(["operator", "--role", "all", "--pod-namespace", NAMESPACE, "--pod-name", "bench"])
            .args(["--admin-address", &admin.to_string(), "--address", "127.0.0.1"])
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let process = Process(child.id().context("the operator has ended at once")?);
        let mut operator = Self { child, process, admin, took_to_start: Duration::ZERO };
        while !operator.is_ready().await {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            anyhow::ensure!(began.elapsed() < LIMIT, "the operator is not ready after {LIMIT:?}:\n{}", said());
            anyhow::ensure!(operator.child.try_wait()?.is_none(), "the operator has ended by itself:\n{}", said());
            tokio::time::sleep(PAUSE).await;
        }
        operator.took_to_start = began.elapsed();
        Ok(operator)
    }

    /// Whether it routes everything that is there, and acts.
    async fn is_ready(&self) -> bool {
        let Ok(mut admin) = self.admin().await else { return false };
        let is_ready = admin.get("/readyz").await.is_ok();
        is_ready
            && admin.metrics().await.is_ok_and(|metrics| value(&metrics, "ringhold_controller_leader") == Some(1.0))
    }

    pub(crate) fn took_to_start(&self) -> Duration {
        self.took_to_start
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    pub(crate) async fn admin(&self) -> anyhow::Result<Admin> {
        Admin::connect(self.admin).await
    }

    /// As the kubelet does.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let process = Pid::from_raw(i32::try_from(self.process.0)?).context("a process without an id")?;
        rustix::process::kill_process(process, Signal::TERM)?;
        let ended = self.child.wait().await?;
        anyhow::ensure!(ended.success(), "the operator ended with {ended}");
        Ok(())
    }
}
