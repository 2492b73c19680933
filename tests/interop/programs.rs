//! The programs of others, which `prepare.sh` has put where this looks for them.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::PATIENCE;

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Where a program is.
pub(crate) fn path(name: &str) -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).unwrap();
    let program = cache.join("ringhold/test-interop").join(name);
    assert!(program.exists(), "{} is missing: run `make test-interop`, which prepares it", program.display());
    program
}

/// A program that dies with whoever waits for it.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(path(name));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a program to its end.
pub(crate) async fn run(name: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
    let mut command = program(name);
    command.args(args);
    ended(command).await
}

pub(crate) async fn ended(mut command: Command) -> Said {
    let output = timeout(PATIENCE * 2, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("does not end: {command:?}")).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { code: output.status.code(), stdout: output.stdout, stderr }
}

// === impl Said ===

impl Said {
    /// What it said on standard output, once it has ended well.
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", String::from_utf8_lossy(&self.stdout), self.stderr);
        String::from_utf8(self.stdout).unwrap()
    }
}
