//! Nothing survives a killed Ringhold. Two nets, each for what the other can't hold:
//!
//! - [`exec`] runs in the child before the replica's program: it asks the kernel to kill the program when Ringhold dies
//!   (`PR_SET_PDEATHSIG`), then becomes it. This needs no helper, but reaches only the program itself.
//! - [`run`] is one small process beside Ringhold. It holds the read end of a pipe, on which Ringhold names each
//!   replica's process group; when the pipe closes, for whatever reason, it kills the groups that are left, so the
//!   children of a replica (a shell's, npm's) go too.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Mutex;

/// The argument that makes the binary call [`exec`]; the parent's id and the command follow it.
pub const EXEC: &str = "exec-replica";
/// The argument that makes the binary call [`run`].
pub const GUARD: &str = "guard-replicas";

/// The helper process, as Ringhold holds it.
#[derive(Debug)]
pub(super) struct Guard {
    pipe: Mutex<ChildStdin>,
    _process: Child,
}

/// Becomes the replica's program. Returns only if that fails.
///
/// # Errors
/// The parent is gone already, or the program can't be run.
pub fn exec(parent: u32, program: &OsString, args: &[OsString]) -> io::Error {
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    let actual = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get().unsigned_abs());
    if actual != parent {
        return io::Error::other("Ringhold ended before the replica began");
    }
    std::process::Command::new(program).args(args).exec()
}

/// Keeps the list of process groups that `commands` name (`+ID` begins, `-ID` ends) and kills what is left at its end.
///
/// # Errors
/// Only what reading gives; the groups are killed then, too.
pub fn run(commands: impl BufRead) -> io::Result<()> {
    let mut groups = BTreeSet::new();
    let mut outcome = Ok(());
    for line in commands.lines() {
        match line {
            Ok(line) => match (line.get(..1), line.get(1..).and_then(|id| id.parse().ok()).and_then(Pid::from_raw)) {
                (Some("+"), Some(group)) => drop(groups.insert(group.as_raw_nonzero())),
                (Some("-"), Some(group)) => drop(groups.remove(&group.as_raw_nonzero())),
                _ => {}
            },
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    for group in groups.into_iter().filter_map(|id| Pid::from_raw(id.get())) {
        // A group that is gone already is what we want.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    outcome
}

// === impl Guard ===

impl Guard {
    /// Starts the helper in a process group of its own, so that a terminal's Ctrl-C does not reach it.
    pub(super) fn start(ringhold: &Path) -> io::Result<Self> {
        let mut process = Command::new(ringhold)
            .arg(GUARD)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = process.stdin.take().ok_or_else(|| io::Error::other("the guard has no pipe"))?;
        Ok(Self { pipe: Mutex::new(pipe), _process: process })
    }

    pub(super) async fn begins(&self, group: u32) {
        self.tell(format!("+{group}\n")).await;
    }

    pub(super) async fn ends(&self, group: u32) {
        self.tell(format!("-{group}\n")).await;
    }

    async fn tell(&self, line: String) {
        // A guard that was killed can't be told; the kernel's death signal still holds.
        if let Err(error) = self.pipe.lock().await.write_all(line.as_bytes()).await {
            tracing::warn!(%error, "the replica guard does not listen any more");
        }
    }
}
