//! Backends under test, each with its own way to let time pass and to kill, and waiting with a deadline.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ringhold::backend::Backend;
use ringhold::backend::fake::FakeBackend;
use ringhold::backend::process::{ProcessBackend, ProcessConfig};
use ringhold::model::{Desired, FleetId, NewReplica, Replica, ReplicaName, ReplicaState};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fleet::{fleet, server};

/// Long enough for the slowest machine; nothing waits so long unless it fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// A backend as the contract's cases see it.
pub(crate) trait Harness {
    type Backend: Backend;

    fn backend(&self) -> &Self::Backend;

    /// A fleet whose replicas turn ready and stop when told.
    fn fleet(&self, id: &FleetId) -> Desired;

    /// Lets a moment pass where somebody has to; elsewhere time passes by itself.
    fn advance(&self);

    /// Ends a replica from outside, as `kill -9` would.
    async fn kill(&self, replica: &Replica);

    /// All replicas of a fleet, by name.
    async fn replicas(&self, desired: &Desired) -> Vec<Replica> {
        let mut replicas = self.backend().observe(&desired.id).await.unwrap();
        replicas.sort_by(|one, other| one.name.cmp(&other.name));
        replicas
    }

    /// Waits until the fleet looks as it should. Looks only when the backend says that something has changed, so a
    /// backend that forgets to say so fails.
    async fn until(&self, desired: &Desired, what: &str, is_so: impl Fn(&[Replica]) -> bool) -> Vec<Replica> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let replicas = self.replicas(desired).await;
            if is_so(&replicas) {
                return replicas;
            }
            self.advance();
            let changed = tokio::time::timeout_at(deadline, self.backend().changed()).await;
            assert!(changed.is_ok(), "no change was reported that made it so: {what}; last seen: {replicas:#?}");
        }
    }

    /// Starts a replica and waits until it is ready.
    async fn ready(&self, desired: &Desired, new: &NewReplica) -> Replica {
        self.backend().create(desired, new).await.unwrap();
        let is_new = |replica: &Replica| replica.name == new.name;
        let is_ready = |replicas: &[Replica]| replicas.iter().any(|replica| is_new(replica) && replica.is_ready());
        let replicas = self.until(desired, "the replica is ready", is_ready).await;
        replicas.into_iter().find(is_new).unwrap()
    }
}

/// Replicas in memory.
pub(crate) struct Fake {
    backend: FakeBackend,
}

/// Replicas as processes.
pub(crate) struct Process {
    backend: ProcessBackend,
    lines: Arc<Mutex<Vec<(ReplicaName, String)>>>,
}

// === impl Fake ===

impl Fake {
    pub(crate) fn new() -> Self {
        Self { backend: FakeBackend::new(1, Timestamp::UNIX_EPOCH) }
    }
}

impl Harness for Fake {
    type Backend = FakeBackend;

    fn backend(&self) -> &FakeBackend {
        &self.backend
    }

    fn fleet(&self, id: &FleetId) -> Desired {
        fleet(id, &json!({"containers": [{"name": "server"}]}))
    }

    fn advance(&self) {
        self.backend.advance(Duration::from_millis(100));
    }

    async fn kill(&self, replica: &Replica) {
        self.backend.kill(&replica.uid);
    }
}

// === impl Process ===

impl Process {
    pub(crate) fn new() -> Self {
        Self::with(env!("CARGO_BIN_EXE_ringhold").into())
    }

    /// Behind another program than the real one.
    pub(crate) fn with(ringhold: PathBuf) -> Self {
        let lines = Arc::<Mutex<Vec<(ReplicaName, String)>>>::default();
        let shown = Arc::clone(&lines);
        let backend = ProcessBackend::new(ProcessConfig {
            ringhold,
            show: Arc::new(move |name, line| shown.lock().unwrap().push((name.clone(), line.to_owned()))),
        });
        Self { backend, lines }
    }

    /// Waits for a line of output that begins so; returns who wrote it and the rest of it.
    pub(crate) async fn line(&self, start: &str) -> (ReplicaName, String) {
        eventually(&format!("a replica writes {start:?}"), || {
            let lines = self.lines.lock().unwrap();
            lines.iter().find_map(|(name, line)| Some((name.clone(), line.strip_prefix(start)?.to_owned())))
        })
        .await
    }

    /// Starts a replica and waits for a line of its output that is `start` and a process's id.
    pub(crate) async fn start(&self, desired: &Desired, new: &NewReplica, start: &str) -> Pid {
        self.backend.create(desired, new).await.unwrap();
        pid(&self.line(start).await.1)
    }
}

impl Harness for Process {
    type Backend = ProcessBackend;

    fn backend(&self) -> &ProcessBackend {
        &self.backend
    }

    fn fleet(&self, id: &FleetId) -> Desired {
        let desired = fleet(id, &json!({"containers": [{"name": "server", "command": [server()]}]}));
        self.backend.accept(&desired).unwrap();
        desired
    }

    fn advance(&self) {}

    async fn kill(&self, replica: &Replica) {
        let who: Value = serde_json::from_str(&ask(replica, "GET", "/whoami").await).unwrap();
        rustix::process::kill_process(pid(&who["pid"].to_string()), Signal::KILL).unwrap();
    }
}

// === helpers ===

/// Waits until there is something, and fails past the deadline.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends a request to a replica's own address; returns the body of its answer.
pub(crate) async fn ask(replica: &Replica, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(replica.address.unwrap()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{method} {path}: {head}");
    body.to_owned()
}

pub(crate) fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Whether a process runs; one that has ended and waits for its parent to notice does not.
pub(crate) fn is_running(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X'))
}

pub(crate) async fn until_ended(pid: Pid) {
    eventually(&format!("process {pid:?} ends"), || (!is_running(pid)).then_some(())).await;
}

pub(crate) fn is_dead(replica: &Replica) -> bool {
    matches!(replica.state, ReplicaState::Dead { .. })
}

/// The same fleet with another time to stop in.
pub(crate) fn with_grace(mut desired: Desired, grace: Duration) -> Desired {
    Arc::make_mut(&mut desired.template).termination_grace = grace;
    desired
}

/// Stops the only replica.
pub(crate) async fn delete(harness: &Process, desired: &Desired) {
    let Replica { name, uid, .. } = harness.replicas(desired).await.remove(0);
    harness.backend().delete(&desired.id, &name, &uid).await.unwrap();
}
