//! Closed loops in rounds: every proxy has its turn in each, so what else the machine does meets all alike.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use serde::Serialize;

use crate::admin::Admin;
use crate::args::Sizes;
use crate::idle::{Idle, Rest};
use crate::load::{self, Done};
use crate::peers::{Kind, Peer};
use crate::running::{REPLICAS, Running};
use crate::scenarios::Load;

/// Who was measured, or why not.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) name: String,
    /// Nobody: it shows what load and replicas can do.
    pub(crate) is_direct: bool,
    pub(crate) is_ringhold: bool,
    #[serde(skip)]
    pub(crate) kind: Kind,
    pub(crate) workers: u8,
    /// What went wrong: then its figures mean nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) void: Option<String>,
    /// What it can't do, so that it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<String>,
}

/// All turns of one proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) turns: Vec<Turn>,
    /// After the last turn, with its connections; in KiB.
    pub(crate) memory: u64,
    pub(crate) peak_memory: u64,
    /// If some of its connections do nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rest: Option<Rest>,
}

/// What was seen in one turn.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Turn {
    pub(crate) requests_per_second: f64,
    /// Microseconds of the proxy's CPU time for each request.
    pub(crate) cpu: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// The proxy's share of its core, 0 to 1.
    pub(crate) used: f64,
    /// What others used of the proxy's core, 0 to 1.
    pub(crate) foreign: f64,
    /// Of the load's core, what was left, 0 to 1.
    pub(crate) load_idle: f64,
}

/// How long a fleet is left alone before each change, and by how many seconds each makes a turn longer.
const BEFORE_CHANGE: Duration = Duration::from_millis(500);
const CHANGE: f64 = 2.0;
/// Seconds of load before the first turn.
const WARM_UP: f64 = 1.0;

/// Gives everybody a turn in each round. Each round begins with another.
pub(crate) fn measure(
    folder: &Path,
    running: &mut [(Subject, Option<Running>)],
    load: &Load,
    sizes: &Sizes,
) -> Vec<Series> {
    let mut idle = Vec::new();
    for (subject, running) in &mut *running {
        idle.push(subject.attempt(running, |running| {
            let idle = Idle::open(running, load)?;
            if sizes.warms_up {
                load::run(folder, running.port, load, sizes.connections, WARM_UP).context("in the warm-up")?;
            }
            Ok(idle)
        }));
    }
    let mut series: Vec<(Vec<Turn>, u64, u64)> = running.iter().map(|_| Default::default()).collect();
    for round in 0..usize::from(sizes.rounds) {
        for place in 0..running.len() {
            let index = (round + place) % running.len();
            let (subject, running) = &mut running[index];
            let seen = subject.attempt(running, |running| {
                let turn = turn(folder, running, load, sizes)?;
                let memory = running.process.as_ref().map(|process| process.memory()).transpose()?;
                Ok((turn, memory.map_or((0, 0), |memory| (memory.now, memory.peak))))
            });
            if let Some((turn, memory)) = seen {
                series[index].0.push(turn);
                (series[index].1, series[index].2) = memory;
            }
        }
    }
    let of = |(((subject, _), (turns, memory, peak_memory)), idle): ((&(Subject, _), _), &Option<Idle>)| {
        let (subject, rest) = (subject.clone(), idle.as_ref().and_then(|idle| idle.rest));
        Series { subject, turns, memory, peak_memory, rest }
    };
    running.iter().zip(series).zip(&idle).map(of).collect()
}

fn turn(folder: &Path, running: &Running, load: &Load, sizes: &Sizes) -> anyhow::Result<Turn> {
    let usage = || running.process.as_ref().map(|process| process.usage()).transpose();
    let counted = running.counts()?;
    let (used, idle, start) = (usage()?.unwrap_or_default(), idle_seconds()?, Instant::now());
    let done = amid_changes(running.admin, load.sizes, |seconds| {
        load::run(folder, running.port, load, sizes.connections, f64::from(sizes.turn_seconds) + seconds)
    })?;
    let took = start.elapsed().as_secs_f64();
    let (user, system) = usage()?.unwrap_or_default().since(used);
    let idle_after = idle_seconds()?;
    if !load.sizes.is_empty() {
        // Those that left took their counts with them.
        running.admin.scale(REPLICAS)?;
    } else if running.process.is_some() {
        running.counts()?.prove(counted, done.requests, sizes.connections)?;
    }
    let cpu = user + system;
    let [proxy_idle, load_idle] = [0, 1].map(|core| (idle_after[core] - idle[core]) / took);
    Ok(Turn {
        requests_per_second: done.requests / done.seconds,
        cpu: cpu / done.requests,
        user: user / done.requests,
        system: system / done.requests,
        used: cpu / 1e6 / done.seconds,
        foreign: (1.0 - proxy_idle - cpu / 1e6 / took).clamp(0.0, 1.0),
        load_idle: load_idle.clamp(0.0, 1.0),
    })
}

/// Does the work while the fleet takes on these sizes, for so many seconds longer. All of that has to happen amid it.
fn amid_changes(admin: Admin, sizes: &[usize], work: impl FnOnce(f64) -> anyhow::Result<Done>) -> anyhow::Result<Done> {
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            sizes.iter().try_for_each(|size| {
                thread::sleep(BEFORE_CHANGE);
                admin.scale(*size)
            })
        });
        let done = work(CHANGE * sizes.len() as f64)?;
        ensure!(changes.is_finished(), "the fleet took longer to change than the load ran");
        changes.join().map_err(|_| anyhow!("the changes failed"))?.context("while the fleet changed")?;
        Ok(done)
    })
}

/// Seconds that the proxy's core and the load's were idle so far.
fn idle_seconds() -> anyhow::Result<[f64; 2]> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let of = |core: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(core)).context("there is no second core")?;
        let fields = line.split_whitespace().skip(3).take(2).filter_map(|field| field.parse::<f64>().ok());
        anyhow::Ok(fields.sum::<f64>() / 100.0)
    };
    Ok([of("cpu0 ")?, of("cpu1 ")?])
}

// === impl Subject ===

impl Subject {
    pub(crate) fn of(peer: &Peer, workers: u8) -> Self {
        let kind = peer.kind;
        let (is_direct, is_ringhold) = (kind == Kind::Direct, kind == Kind::Ringhold);
        Self { name: peer.name.clone(), is_direct, is_ringhold, kind, workers, void: None, left_out: None }
    }

    /// It has figures, and they are worth something.
    pub(crate) fn counts(&self) -> bool {
        self.void.is_none() && self.left_out.is_none()
    }

    /// Does it with the proxy unless that is void already, and makes it void if that fails.
    pub(crate) fn attempt<T>(
        &mut self,
        running: &mut Option<Running>,
        work: impl FnOnce(&mut Running) -> anyhow::Result<T>,
    ) -> Option<T> {
        let done = work(running.as_mut()?);
        if let Err(error) = &done {
            self.void = Some(format!("{error:#}"));
            *running = None;
        }
        done.ok()
    }
}
