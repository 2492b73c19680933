//! Nothing outlives the test process, however that ends: one shell beside it holds the read end of a pipe, on which it
//! is told each process group that was started. When the pipe closes, the shell kills the groups that are left and
//! removes the folder that holds all files.
//!
//! The kernel's own way (`PR_SET_PDEATHSIG`) follows the thread that started a process, and each test has a thread of
//! its own, while a control plane is shared by many tests.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;
use rustix::process::{Pid, Signal};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=' '
while read -r verb group; do
    case $verb in
        begins) groups="$groups$group " ;;
        ends) groups="${groups%% $group *} ${groups#* $group }" ;;
    esac
done
for group in $groups; do kill -KILL -- "-$group"; done
rm -rf -- "$1"
"#;

/// The guard of this test process.
pub(crate) struct Guard {
    folder: PathBuf,
    pipe: Mutex<ChildStdin>,
}

/// A process group that ends with the test process. Held until its leader is waited for: then its id may be another's.
#[derive(Debug)]
pub(crate) struct Guarded {
    group: u32,
}

/// The guard, started when it is first needed.
pub(crate) fn guard() -> anyhow::Result<&'static Guard> {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(guard) = GUARD.get() {
        return Ok(guard);
    }
    let guard = Guard::start().context("can't start the shell that cleans up after the tests")?;
    Ok(GUARD.get_or_init(|| guard))
}

// === impl Guard ===

impl Guard {
    fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ringhold-test-").tempdir()?.keep();
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&folder)
            .process_group(0) // a terminal's Ctrl-C does not reach it
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = child.stdin.take().ok_or_else(|| io::Error::other("the guard has no pipe"))?;
        Ok(Self { folder, pipe: Mutex::new(pipe) })
    }

    /// A new folder, which is removed when the test process ends.
    pub(crate) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        Ok(tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(&self.folder)?.keep())
    }

    /// Starts a command in a process group of its own, which ends with the test process.
    pub(crate) fn spawn(&'static self, command: &mut Command) -> io::Result<(Child, Guarded)> {
        let child = command.process_group(0).spawn()?;
        let guarded = self.watch(child.id())?;
        Ok((child, guarded))
    }

    /// The same for a group that was started already.
    pub(crate) fn watch(&self, group: u32) -> io::Result<Guarded> {
        self.tell("begins", group)?;
        Ok(Guarded { group })
    }

    fn tell(&self, verb: &str, group: u32) -> io::Result<()> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.write_all(format!("{verb} {group}\n").as_bytes())
    }
}

// === impl Guarded ===

impl Guarded {
    /// Kills the group.
    pub(crate) fn kill(&self) {
        if let Some(group) = i32::try_from(self.group).ok().and_then(Pid::from_raw) {
            // A group that is gone already is what we want.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A guard that was killed can't be told; then there is nobody who would confuse this group with a later one.
        if let Ok(guard) = guard() {
            drop(guard.tell("ends", self.group));
        }
    }
}

/// Removes a folder of a cluster that ends before the test process does.
pub(crate) fn remove(folder: &Path) {
    drop(std::fs::remove_dir_all(folder));
}
