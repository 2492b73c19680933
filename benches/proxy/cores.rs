//! Which core runs what: the proxy has one for itself, everything else shares the other.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use rustix::process::Signal;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Cores of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cores {
    /// The proxy's.
    Proxy,
    /// What the load and the replicas share.
    Load,
    /// Both: for a proxy with two workers.
    Both,
}

// === impl Cores ===

impl Cores {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Load => "load",
            Self::Both => "both",
        }
    }

    fn numbers(self) -> &'static [usize] {
        match self {
            Self::Proxy => &[0],
            Self::Load => &[1],
            Self::Both => &[0, 1],
        }
    }

    /// Binds this thread, and all that it starts.
    pub(crate) fn bind(self) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        self.numbers().iter().for_each(|number| set.set(*number));
        sched_setaffinity(None, &set).context("a proxy and its load need the cores 0 and 1")
    }
}

/// Becomes the program, on its cores, and ends with the benchmark, even if that is killed: asked to, not killed itself, so
/// that it ends what it has started. Returns only if that fails.
pub(crate) fn become_bound(cores: Cores, parent: u32, command: &[OsString]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let actual = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get().unsigned_abs());
    ensure!(actual == parent, "the benchmark ended before {command:?} began");
    cores.bind()?;
    let [program, arguments @ ..] = command else { anyhow::bail!("there is no program to become") };
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("can't run {}", program.display()))
}
