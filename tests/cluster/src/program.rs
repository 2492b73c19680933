//! One running program of the control plane.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context;

use crate::guard::{Guarded, guard};

/// How much of a log is shown when something goes wrong.
const TAIL_LINES: usize = 30;

/// A running program. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    guarded: Guarded,
    child: Child,
}

// === impl Program ===

impl Program {
    /// Starts it; what it says goes to `NAME.log` in the folder, behind what a former run said.
    pub(crate) fn start(program: &Path, arguments: &[String], folder: &Path) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (child, guarded) = guard()?.spawn(&mut command).with_context(|| format!("can't start {name}"))?;
        Ok(Self { name, log, guarded, child })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of its log if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(self.ended(status)),
            None => Ok(()),
        }
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!("{} ended ({status}); its last words:\n{}", self.name, self.last_words())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.guarded.kill();
        drop(self.child.wait());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
