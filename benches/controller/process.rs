//! What a process has used, from `/proc`.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// What one tick of `utime` and `stime` is: `USER_HZ`, the same on all of Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process of this machine, by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

/// What it has used so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    pub(crate) resident_kibibytes: u64,
    pub(crate) peak_kibibytes: u64,
    /// In user and kernel mode, exact to a hundredth of a second.
    pub(crate) cpu: Duration,
}

// === impl Process ===

impl Process {
    pub(crate) fn usage(self) -> anyhow::Result<Usage> {
        let read = |file| std::fs::read_to_string(format!("/proc/{}/{file}", self.0));
        let status = read("status").context("a process that is measured has ended")?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).with_context(|| format!("no {name}"))
        };
        let stat = read("stat")?;
        // The name in brackets may hold anything; behind it, `utime` and `stime` are the 12th and 13th field.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: u32 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
        Ok(Usage { resident_kibibytes: of("VmRSS")?, peak_kibibytes: of("VmHWM")?, cpu: TICK * ticks })
    }
}
