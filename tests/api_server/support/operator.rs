//! The operator as a process, and requests through its proxy.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringhold_test_cluster::{Access, eventually};
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::World;

/// For one answer of a replica.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One process of the operator; it is killed when it is dropped.
pub(crate) struct Operator {
    pub(crate) name: String,
    child: Child,
    log: PathBuf,
    pub(crate) admin: SocketAddr,
    pub(crate) proxy: SocketAddr,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) ordinal: u16,
}

/// Requests without a pause, each for another of a few keys, until they are stopped.
pub(crate) struct Traffic {
    task: JoinHandle<Vec<String>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

// === impl World ===

impl World {
    /// Starts an operator of this name, and waits until it is ready.
    pub(crate) async fn operator(&self, name: &str) -> Operator {
        self.operator_with(name, &[]).await
    }

    /// The same with further flags.
    pub(crate) async fn operator_with(&self, name: &str, flags: &[&str]) -> Operator {
        let operator = self.start(name, &self.access, flags);
        eventually("the operator is ready", async || operator.is_ready().await.then_some(())).await;
        operator
    }

    /// Starts an operator that comes to the API server this way.
    pub(crate) fn start(&self, name: &str, access: &Access, flags: &[&str]) -> Operator {
        let kubeconfig = self.folder.path().join(format!("{name}.kubeconfig"));
        access.write_kubeconfig(&kubeconfig).unwrap();
        // An address of its own for each, as pods have.
        let host = format!("127.0.0.{}", 2 + name.as_bytes()[0] % 100);
        let admin = SocketAddr::new(host.parse().unwrap(), self.port());
        let log = self.folder.path().join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(["operator", "--namespace", &self.namespace, "--pod-namespace", &self.home, "--pod-name", name])
            // Seen only of a test that fails.
            .args(["--log-level", "warn,ringhold=debug"])
            .args(["--admin-address", &admin.to_string(), "--address", &host, "--workers", "1"])
            .args(flags)
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let proxy = SocketAddr::new(host.parse().unwrap(), self.listener);
        Operator { name: name.to_owned(), child, log, admin, proxy }
    }

    /// Gives an operator a reason to look, though nothing is to be done, and waits until it has.
    pub(crate) async fn look_again(&self, operator: &Operator) {
        let seen = operator.looks().await;
        self.patch(&json!({"metadata": {"annotations": {"look": seen.to_string()}}})).await;
        eventually("it has looked again", async || (operator.looks().await > seen).then_some(())).await;
    }
}

// === impl Operator ===

impl Operator {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) async fn is_ready(&self) -> bool {
        get(self.admin, "/readyz", "").await.is_ok()
    }

    /// Sends a request with this key; it has to be answered with 200.
    pub(crate) async fn ask(&self, key: &str) -> Answer {
        self.try_ask(key).await.unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    pub(crate) async fn try_ask(&self, key: &str) -> Result<Answer, String> {
        ask(self.proxy, key).await
    }

    /// A key whose requests go to the replica of this ordinal.
    pub(crate) async fn key_of(&self, ordinal: u16) -> String {
        for number in 0..1_000 {
            let key = format!("key-{number}");
            if self.ask(&key).await.ordinal == ordinal {
                return key;
            }
        }
        panic!("no key leads to ordinal {ordinal}");
    }

    /// Requests all the time, from now on.
    pub(crate) fn traffic(&self) -> Traffic {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (proxy, stopped, count) = (self.proxy, Arc::clone(&stop), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            let mut failed = Vec::new();
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                match ask(proxy, &format!("key-{}", number % 20)).await {
                    Ok(_) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => failed.push(error),
                }
                number += 1;
                // The machine has other things to do, too.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            failed
        });
        Traffic { task, stop, answered }
    }

    /// How often it has looked at a LoadBalancer.
    pub(crate) async fn looks(&self) -> u64 {
        self.metric("ringhold_controller_reconciles_total").await
    }

    /// A metric's value, with all labels together.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = get(self.admin, "/metrics", "").await.unwrap();
        let samples = metrics.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// The fleet as its admin API shows it.
    pub(crate) async fn fleet(&self, namespace: &str) -> String {
        get(self.admin, &format!("/api/v1/loadbalancers/{namespace}/web"), "").await.unwrap()
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

impl Drop for Operator {
    /// What it said belongs to a failed test.
    fn drop(&mut self) {
        use std::io::Write;
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(&self.log)
        {
            drop(writeln!(std::io::stderr(), "operator {} of port {}:\n{log}", self.name, self.proxy.port()));
        }
    }
}

// === impl Traffic ===

impl Traffic {
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits for so many further answers.
    pub(crate) async fn flows(&self, further: u64) {
        let before = self.answered();
        eventually("requests are answered", async || (self.answered() >= before + further).then_some(())).await;
    }

    /// Stops; every request has to have been answered with 200.
    pub(crate) async fn all_answered(self) -> u64 {
        let Self { task, stop, answered } = self;
        stop.store(true, Ordering::Relaxed);
        let failed = task.await.unwrap();
        assert!(failed.is_empty(), "{} requests failed, the first with: {}", failed.len(), failed[0]);
        answered.load(Ordering::Relaxed)
    }
}

async fn ask(proxy: SocketAddr, key: &str) -> Result<Answer, String> {
    let body = get(proxy, "/whoami", &format!("X-User-Id: {key}\r\n")).await?;
    serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
}

/// The body of a 200.
async fn get(address: SocketAddr, path: &str, headers: &str) -> Result<String, String> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n")).await
}

/// The body of a 200.
pub(crate) async fn post(address: SocketAddr, path: &str) -> Result<String, String> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    exchange(address, &head).await
}

async fn exchange(address: SocketAddr, request: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
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
