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
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Mutex;

/// The argument that makes the binary call [`exec`]; the parent's id and the command follow it.
pub const EXEC: &str = "exec-replica";
/// The argument that makes the binary call [`run`].
pub const GUARD: &str = "guard-replicas";

/// The helper process, as Ringhold holds it. One that has ended is replaced.
#[derive(Debug)]
pub(super) struct Guard {
    ringhold: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    helper: Option<Helper>,
    /// Groups that have begun and not ended: what a new helper has to know.
    groups: BTreeSet<u32>,
}

#[derive(Debug)]
struct Helper {
    pipe: ChildStdin,
    process: Child,
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
            Ok(line) => match (line.get(..1), line.get(1..).and_then(group)) {
                (Some("+"), Some(group)) => drop(groups.insert(group)),
                (Some("-"), Some(group)) => drop(groups.remove(&group)),
                _ => {}
            },
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        // A group that is gone already is what we want.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    outcome
}

/// A group's id. Not 1: to kill that "group" is to kill every process there is.
fn group(text: &str) -> Option<i32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_number && *id > 1)
}

// === impl Guard ===

impl Guard {
    /// A guard whose helper is this program.
    pub(super) fn new(ringhold: PathBuf) -> Self {
        Self { ringhold, state: Mutex::default() }
    }

    /// Sees to it that the helper runs; a new one learns of all groups.
    pub(super) async fn stand(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        let State { helper, groups } = &mut *state;
        if let Some(Ok(None)) = helper.as_mut().map(|helper| helper.process.try_wait()) {
            return Ok(());
        }
        let mut new = self.start()?;
        let names: String = groups.iter().map(|group| format!("+{group}\n")).collect();
        new.pipe.write_all(names.as_bytes()).await?;
        *helper = Some(new);
        Ok(())
    }

    /// Starts the helper in a process group of its own, so that a terminal's Ctrl-C does not reach it.
    fn start(&self) -> io::Result<Helper> {
        let mut process = Command::new(&self.ringhold)
            .arg(GUARD)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = process.stdin.take().ok_or_else(|| io::Error::other("the guard has no pipe"))?;
        Ok(Helper { pipe, process })
    }

    pub(super) async fn begins(&self, group: u32) {
        let mut state = self.state.lock().await;
        state.groups.insert(group);
        state.tell(format!("+{group}\n")).await;
    }

    pub(super) async fn ends(&self, group: u32) {
        let mut state = self.state.lock().await;
        state.groups.remove(&group);
        state.tell(format!("-{group}\n")).await;
    }
}

impl State {
    async fn tell(&mut self, line: String) {
        let Some(Helper { pipe, .. }) = &mut self.helper else { return };
        // One that was killed can't be told; the next learns it. Until then the kernel's death signal still holds.
        if let Err(error) = pipe.write_all(line.as_bytes()).await {
            tracing::warn!(%error, "the replica guard has ended; another one starts with the next replica");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_above_one_name_a_group() {
        let named = ["2", "4194304", "1", "0", "-1", "-5", "+7", "", " 7", "99999999999"].map(group);
        assert_eq!(named, [Some(2), Some(4_194_304), None, None, None, None, None, None, None, None]);
    }
}
