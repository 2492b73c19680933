//! The processes that a measurement needs: bound to cores, gone when they are dropped, and what they have used.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::cores::Cores;

/// So long may a process take to end by itself.
const GRACE: Duration = Duration::from_secs(5);
/// More than any proxy takes.
const DESCRIPTORS: u64 = 10_000;
/// One tick of `utime` and `stime`: `USER_HZ`, the same on all of Linux.
const TICK_MICROSECONDS: f64 = 10_000.0;

/// A running one.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// What it has written.
    log: PathBuf,
    /// Its children belong to it: a master with workers.
    has_workers: bool,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// In microseconds, by the scheduler's own count: exact, of all threads that live.
    pub(crate) cpu: f64,
    /// Of it, the part in user mode, 0 to 1, as far as ticks show it.
    user: f64,
    system: f64,
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

// === impl Process ===

impl Process {
    /// Starts a program on its cores; what it writes goes to a file in the folder.
    pub(crate) fn start(
        cores: Cores,
        folder: &Path,
        program: &Path,
        arguments: &[OsString],
        variables: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or(OsStr::new("process"));
        let log = folder.join(name).with_extension("log");
        let file = File::create(&log)?;
        let mut command = bound(cores, program)?;
        command.args(arguments).envs(variables.iter().cloned()).current_dir(folder);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("can't start {}", program.display()))?;
        Ok(Self { child, log, has_workers: false })
    }

    /// The same, counted with its children.
    pub(crate) fn with_workers(mut self, has_workers: bool) -> Self {
        self.has_workers = has_workers;
        self
    }

    /// An error with what it wrote last, if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} ended: {}", self.log.display(), self.last_words());
        Ok(())
    }

    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        self.ids().into_iter().try_fold(Usage::default(), |sum, id| Ok(sum.plus(usage(id)?)))
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let mut sum = Memory { now: 0, peak: 0 };
        for id in self.ids() {
            let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0_u64)
            };
            sum = Memory { now: sum.now + of("VmRSS"), peak: sum.peak + of("VmHWM") };
        }
        Ok(sum)
    }

    fn ids(&self) -> Vec<u32> {
        let id = self.child.id();
        let mut ids = vec![id];
        if self.has_workers {
            let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            ids.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        ids
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended already.
        let _ = id.map(|id| kill_process(id, Signal::TERM));
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Usage ===

impl Usage {
    /// What was used since then: in user mode and in the kernel, in microseconds.
    pub(crate) fn since(self, before: Self) -> (f64, f64) {
        let cpu = self.cpu - before.cpu;
        let (user, system) = (self.user - before.user, self.system - before.system);
        let part = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        (cpu * part, cpu * (1.0 - part))
    }

    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, user: self.user + other.user, system: self.system + other.system }
    }
}

/// Allows this process, and all that it starts, as many descriptors as a thousand idle connections want at both sides of a
/// proxy, of which some reserve more than they use.
pub(crate) fn allow_descriptors() -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= DESCRIPTORS);
    ensure!(enough(maximum), "{DESCRIPTORS} descriptors are needed: raise the limit, as with ulimit -Hn {DESCRIPTORS}");
    if !enough(current) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum })?;
    }
    Ok(())
}

/// A command that runs the program on these cores and that dies with us.
pub(crate) fn bound(cores: Cores, program: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("can't find the path of this program")?);
    command.args(["bound", cores.word(), &std::process::id().to_string()]).arg(program);
    Ok(command)
}

fn usage(id: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).context("a process that is measured has ended")?;
    // The name in brackets may hold anything; behind it, `utime` and `stime` are the 12th and 13th field.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) * TICK_MICROSECONDS;
    let (user, system) = (ticks(), ticks());
    let mut cpu = 0.0;
    for task in std::fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        cpu += text.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 1e3;
    }
    Ok(Usage { cpu, user, system })
}
