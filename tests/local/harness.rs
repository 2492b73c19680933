//! A real Ringhold on a manifest of its own, with real replicas, watched from outside.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;

/// Longest time for anything that a test waits for. A condition that comes true ends the wait at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

type Lines = Arc<Mutex<Vec<String>>>;

/// A running Ringhold.
pub(crate) struct Ringhold {
    pub(crate) port: u16,
    pub(crate) admin: u16,
    pub(crate) manifest: PathBuf,
    child: Child,
    output: Lines,
    /// Of that, what came on standard output.
    printed: Lines,
    _folder: TempDir,
}

/// A manifest to fill in.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) replicas: i64,
    /// Changing it changes the template.
    pub(crate) version: u32,
    /// Lines of YAML inside `spec`.
    pub(crate) spec: String,
    /// The container's command.
    pub(crate) command: &'static [&'static str],
}

impl Manifest {
    pub(crate) fn new(port: u16) -> Self {
        Self { name: "web", port, replicas: 3, version: 1, spec: String::new(), command: &["ringhold-server"] }
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { name, port, replicas, version, spec, command } = self;
        format!(
            "apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  listener: {{port: {port}}}
  hashKey: [{{header: {{name: X-User-Id}}}}, {{sourceIp: {{}}}}]
  health: {{periodSeconds: 1}}
  {spec}
  template:
    spec:
      containers:
        - name: server
          command: {command}
          env: [{{name: VERSION, value: \"{version}\"}}]
",
            command = json!(command),
        )
    }
}

impl Ringhold {
    /// Starts on this manifest and waits until the fleet is as declared.
    pub(crate) async fn start(manifest: &Manifest) -> Self {
        let ringhold = Self::start_without_waiting(manifest);
        ringhold.settled().await;
        ringhold
    }

    /// The same, with more on the command line.
    pub(crate) async fn start_with(manifest: &Manifest, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yaml");
        std::fs::write(&file, manifest.yaml()).unwrap();
        let ringhold = Self::spawn(folder, file, manifest.port, args);
        ringhold.settled().await;
        ringhold
    }

    pub(crate) fn start_without_waiting(manifest: &Manifest) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yaml");
        std::fs::write(&file, manifest.yaml()).unwrap();
        Self::start_on(folder, file, manifest.port)
    }

    pub(crate) fn start_on(folder: TempDir, file: PathBuf, port: u16) -> Self {
        Self::spawn(folder, file, port, &[])
    }

    pub(crate) fn spawn(folder: TempDir, file: PathBuf, port: u16, args: &[&str]) -> Self {
        let admin = free_port();
        let mut child = command(&file, admin).args(args).spawn().unwrap();
        let (output, printed) = (Lines::default(), Lines::default());
        collect(child.stdout.take().unwrap(), vec![Arc::clone(&printed), Arc::clone(&output)]);
        collect(child.stderr.take().unwrap(), vec![Arc::clone(&output)]);
        Self { port, admin, manifest: file, child, output, printed, _folder: folder }
    }

    /// Replaces the manifest in one step, as an editor does.
    pub(crate) fn edit(&self, manifest: &Manifest) {
        self.write(&manifest.yaml());
    }

    pub(crate) fn write(&self, text: &str) {
        let next = self.manifest.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &self.manifest).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// What the admin API says of a LoadBalancer.
    pub(crate) async fn show(&self, name: &str) -> Option<Value> {
        let (status, body) = Client::new(self.admin).get(&format!("/api/v1/loadbalancers/{name}"), &[]).await.ok()?;
        (status == 200).then(|| serde_json::from_slice(&body).unwrap())
    }

    /// Waits until the admin API says this of `web`; returns what it said.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_of("web", what, holds).await
    }

    pub(crate) async fn until_of(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            if let Some(shown) = self.show(name).await {
                if holds(&shown) {
                    return shown;
                }
                last = shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; last: {last:#}\n{}", self.story());
    }

    /// Waits until nothing is left to do for `web`.
    pub(crate) async fn settled(&self) -> Value {
        self.until("settled", is_settled).await
    }

    /// Waits until the edit to so many replicas of this generation has been carried out.
    pub(crate) async fn settled_at(&self, generation: u64) -> Value {
        self.until("settled after the edit", |shown| is_settled(shown) && shown["observedGeneration"] == generation)
            .await
    }

    /// The process id of the replica at an ordinal, asked of itself.
    pub(crate) async fn replica(&self, ordinal: u64) -> Replica {
        let shown = self.settled().await;
        let replicas = shown["replicas"].as_array().unwrap();
        let replica = replicas.iter().find(|replica| replica["ordinal"] == ordinal).unwrap();
        let port = replica["address"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        let (_, body) = Client::new(port).get("/whoami", &[]).await.unwrap();
        let whoami: Value = serde_json::from_slice(&body).unwrap();
        let pid = i32::try_from(whoami["pid"].as_i64().unwrap()).unwrap();
        Replica { pid: Pid::from_raw(pid).unwrap(), name: replica["name"].as_str().unwrap().to_owned() }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("Ringhold does not end:\n{}", self.story());
    }

    /// Waits until a line with this text has been printed; returns the line.
    pub(crate) async fn says(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(line) = self.output.lock().unwrap().iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never said: {text}\n{}", self.story());
    }

    pub(crate) fn story(&self) -> String {
        self.output.lock().unwrap().join("\n")
    }

    /// What came on standard output alone.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }
}

impl Drop for Ringhold {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A replica's process.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) pid: Pid,
    pub(crate) name: String,
}

impl Replica {
    pub(crate) fn kill(&self) {
        kill_process(self.pid, Signal::KILL).unwrap();
    }
}

/// Runs Ringhold on a manifest that it should refuse; returns what it said on standard error.
pub(crate) fn refused(yaml: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut child = command(&file, free_port()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    said.replace(&file.display().to_string(), "web.yaml")
}

pub(crate) fn command(file: &Path, admin: u16) -> Command {
    let ringhold = Path::new(env!("CARGO_BIN_EXE_ringhold"));
    let folder = ringhold.parent().unwrap();
    let server = folder.join("ringhold-server");
    assert!(server.exists(), "{} is missing: run `cargo build --workspace` first", server.display());
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(ringhold);
    command.arg("local").arg("-f").arg(file).arg("--admin-address").arg(format!("127.0.0.1:{admin}"));
    command.env("PATH", format!("{}:{path}", folder.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn is_settled(shown: &Value) -> bool {
    let condition = |kind: &str| {
        let conditions = shown["conditions"].as_array().unwrap();
        conditions.iter().find(|condition| condition["type"] == kind).map(|condition| condition["status"].clone())
    };
    condition("Progressing") == Some(json!("False")) && condition("Available") == Some(json!("True"))
}

/// A port that nobody has and that no other test of this run gets: below the range of outgoing connections and of
/// replicas, counted up from a place that depends on the process.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 9_000).unwrap();
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn collect(stream: impl Read + Send + 'static, into: Vec<Lines>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.iter().for_each(|lines| lines.lock().unwrap().push(line.clone()));
        }
    });
}
