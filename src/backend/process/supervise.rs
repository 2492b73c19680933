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
use crate::backend::process::{Entry, Shared, ShowLine, output};
use crate::model::{Health, ReplicaName, ReplicaState, ReplicaUid};

/// Between two looks whether a group that was told to stop has: first this, doubled each time up to the other.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LATER_LOOKS: Duration = Duration::from_millis(160);

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
        let parent = std::process::id().to_string();
        // Without `--` a `-h` of the replica's would be taken for ours.
        command.args([guard::EXEC, &parent, "--"]).arg(&self.program).args(&self.args);
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

    /// Asks the whole group, gives all of it the grace, kills. A shell that wraps a program ends before the program does.
    async fn stop(&self, child: &mut Child, group: Option<u32>) -> std::io::Result<ExitStatus> {
        signal(group, Signal::TERM);
        let ends = async {
            let status = child.wait().await;
            until_empty(group).await;
            status
        };
        if let Ok(status) = tokio::time::timeout(self.grace, ends).await {
            return status;
        }
        tracing::warn!(replica = %self.name, grace = ?self.grace, "replica did not stop in time and is killed");
        signal(group, Signal::KILL);
        child.wait().await
    }

    /// Probes for ever: often until the first success, then once a period.
    async fn probe(&self) -> Infallible {
        let mut verdict = Verdict::default();
        let mut settings = self.health.clone();
        let mut was_ready = false;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = changed(&mut settings) => {}
            }
            let health = settings.borrow_and_update().clone();
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
        self.shared.change(&self.uid, |Entry { replica, last_ready, .. }| {
            if replica.state != ReplicaState::Terminating {
                *last_ready = replica.ready_for(since).unwrap_or(*last_ready);
                replica.state = if ready { ReplicaState::Ready { since } } else { ReplicaState::Unready { since } };
            }
        });
    }
}

/// Returns when the settings have changed.
async fn changed(settings: &mut watch::Receiver<Health>) {
    if settings.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn pid(group: Option<u32>) -> Option<Pid> {
    group.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// A group that is gone already needs no signal.
fn signal(group: Option<u32>, signal: Signal) {
    if let Some(group) = pid(group) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Returns when nothing of the group runs any more. Nobody tells us when processes end that are not our children, so we
/// look, often at first.
async fn until_empty(group: Option<u32>) {
    let Some(group) = pid(group) else { return };
    let mut pause = FIRST_LOOK;
    while rustix::process::test_kill_process_group(group).is_ok() && has_running(group) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LATER_LOOKS);
    }
}

/// Whether a process of the group runs. One that has ended still counts for the kernel until its parent has noticed;
/// where Ringhold is a container's first process, or that process reaps nothing, nobody ever would.
fn has_running(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let is_running = |stat: String| {
        // `id (name) state parent group …`, where the name may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let its_group: i32 = fields.nth(1)?.parse().ok()?;
        Some(its_group == group.as_raw_nonzero().get() && !matches!(state, "Z" | "X"))
    };
    let stats = processes.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter_map(is_running).any(|is_running| is_running)
}

/// How a process ended, for people.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
