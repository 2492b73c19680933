//! One replica's process from its start to its end: spawned, probed, told to stop, killed if it does not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::backend::probe::{self, Verdict};
use crate::backend::process::command::CommandLine;
use crate::backend::process::guard::{self, Guard};
use crate::backend::process::{Shared, ShowLine, output};
use crate::model::{Health, ReplicaName, ReplicaState, ReplicaUid};

/// Everything that the care for one process needs.
pub(super) struct Supervised {
    pub(super) name: ReplicaName,
    pub(super) uid: ReplicaUid,
    pub(super) address: SocketAddr,
    pub(super) grace: Duration,
    pub(super) health: watch::Receiver<Health>,
    pub(super) stop: Arc<Notify>,
    pub(super) guard: Arc<Guard>,
    pub(super) show: ShowLine,
    pub(super) shared: Arc<Shared>,
}

// === impl CommandLine ===

impl CommandLine {
    /// Starts the program in a process group of its own, behind [`guard::exec`].
    pub(super) fn spawn(&self, ringhold: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(ringhold);
        command.arg(guard::EXEC).arg(std::process::id().to_string()).arg(&self.program).args(&self.args);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RINGHOLD_")) {
            command.env_remove(name); // our own flags are not the replica's
        }
        command.envs(&self.env).process_group(0);
        if let Some(folder) = &self.working_dir {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

// === impl Supervised ===

impl Supervised {
    /// Returns when the process and its group have ended.
    pub(super) async fn run(self, mut child: Child) {
        let group = child.id();
        if let Some(group) = group {
            self.guard.begins(group).await;
        }
        self.relay(child.stdout.take());
        self.relay(child.stderr.take());
        let status = tokio::select! {
            status = child.wait() => status,
            never = self.probe() => match never {},
            () = self.stop.notified() => self.stop(&mut child, group).await,
        };
        signal(group, Signal::KILL); // what the program may have left behind in its group
        if let Some(group) = group {
            self.guard.ends(group).await;
        }
        self.shared.ended(&self.uid, status.map_or_else(|error| error.to_string(), describe));
    }

    /// Shows the output until its end, which may come after the process's own.
    fn relay(&self, stream: Option<impl AsyncRead + Send + Unpin + 'static>) {
        let (name, show) = (self.name.clone(), Arc::clone(&self.show));
        if let Some(stream) = stream {
            tokio::spawn(async move { output::relay(stream, |line| show(&name, line)).await });
        }
    }

    /// Asks, gives the grace, kills.
    async fn stop(&self, child: &mut Child, group: Option<u32>) -> std::io::Result<ExitStatus> {
        signal(group, Signal::TERM);
        if let Ok(status) = tokio::time::timeout(self.grace, child.wait()).await {
            return status;
        }
        tracing::warn!(replica = %self.name, grace = ?self.grace, "replica did not stop in time and is killed");
        signal(group, Signal::KILL);
        child.wait().await
    }

    /// Probes for ever: often until the first success, then once a period.
    async fn probe(&self) -> Infallible {
        let mut verdict = Verdict::default();
        let mut was_ready = false;
        let mut next = Instant::now();
        loop {
            tokio::time::sleep_until(next).await;
            let health = self.health.borrow().clone();
            let healthy = probe::is_healthy(self.address, &health).await;
            if let Some(ready) = verdict.count(healthy, health.failure_threshold) {
                was_ready |= ready;
                self.turns(ready);
            }
            let pause = if was_ready { health.period } else { health.period.min(probe::WHILE_STARTING) };
            next = Instant::now() + pause;
        }
    }

    fn turns(&self, ready: bool) {
        let since = Timestamp::now();
        self.shared.change(&self.uid, |replica| {
            if replica.state != ReplicaState::Terminating {
                replica.state = if ready { ReplicaState::Ready { since } } else { ReplicaState::Unready { since } };
            }
        });
    }
}

/// A group that is gone already needs no signal.
fn signal(group: Option<u32>, signal: Signal) {
    if let Some(group) = group.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// How a process ended, for people.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
