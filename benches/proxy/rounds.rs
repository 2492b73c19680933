//! Closed loops in rounds: every proxy has its turn in each, so what else the machine does meets all alike.

use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::args::Sizes;
use crate::ask::Client;
use crate::load;
use crate::running::Running;
use crate::scenarios::Load;

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
    /// Of the load's core, what was left, 0 to 1.
    pub(crate) load_idle: f64,
}

/// All turns of one proxy, or why there are none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series {
    pub(crate) name: String,
    /// It does no work of a proxy's: it shows what load and replicas can do.
    pub(crate) is_direct: bool,
    pub(crate) is_ringhold: bool,
    pub(crate) turns: Vec<Turn>,
    /// After the last turn, with its connections; in KiB.
    pub(crate) memory: u64,
    pub(crate) peak_memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) void: Option<String>,
}

/// Connections that do nothing.
struct Idle {
    _clients: Vec<Client>,
}

/// Of a hundred requests, so many may open a connection to a replica; more would mean that none are kept.
const MOST_OPENED: f64 = 0.5;
/// Seconds of load before the first turn.
const WARM_UP: f64 = 1.0;

/// Gives everybody a turn in each round. Each round begins with another.
pub(crate) fn measure(
    folder: &std::path::Path,
    running: &[Result<Running, Series>],
    load: &Load,
    sizes: &Sizes,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::with_capacity(running.len());
    let mut idle = Vec::with_capacity(running.len());
    for running in running {
        match running {
            Ok(running) => {
                let mut one = Series::of(running);
                idle.push(one.guard(|_| {
                    let idle = Idle::open(running, load)?;
                    load::run(folder, running.port, load, sizes.connections, WARM_UP).context("in the warm-up")?;
                    Ok(idle)
                }));
                series.push(one);
            }
            Err(void) => {
                idle.push(None);
                series.push(void.clone_void());
            }
        }
    }
    for round in 0..usize::from(sizes.rounds) {
        for place in 0..running.len() {
            let index = (round + place) % running.len();
            if let Ok(running) = &running[index] {
                series[index].guard(|series| {
                    series.turns.push(turn(folder, running, load, sizes)?);
                    let memory = running.process.as_ref().map(|process| process.memory()).transpose()?;
                    (series.memory, series.peak_memory) = memory.map_or((0, 0), |memory| (memory.now, memory.peak));
                    Ok(())
                });
            }
        }
    }
    series
}

fn turn(folder: &std::path::Path, running: &Running, load: &Load, sizes: &Sizes) -> anyhow::Result<Turn> {
    let usage = || running.process.as_ref().map(|process| process.usage()).transpose();
    let counts = || if load.is_plain() { running.counts().map(Some) } else { Ok(None) };
    let (counted, used, idle, start) = (counts()?, usage()?.unwrap_or_default(), idle_seconds()?, Instant::now());
    let done = load::run(folder, running.port, load, sizes.connections, sizes.turn_seconds.into())?;
    let took = start.elapsed().as_secs_f64();
    let (user, system) = usage()?.unwrap_or_default().since(used);
    let load_idle = (idle_seconds()? - idle) / took;
    if let (Some(before), Some(after), Some(_)) = (counted, counts()?, &running.process) {
        let opened = (after.connections - before.connections) as f64 / done.requests * 100.0;
        ensure!(opened < MOST_OPENED, "{opened:.1} of 100 requests opened a connection to a replica");
        let missing = done.requests - (after.requests - before.requests) as f64;
        ensure!(missing <= 0.0, "{missing} answers came from no replica");
    }
    Ok(Turn {
        requests_per_second: done.requests / done.seconds,
        cpu: (user + system) / done.requests,
        user: user / done.requests,
        system: system / done.requests,
        used: (user + system) / 1e6 / done.seconds,
        load_idle: load_idle.clamp(0.0, 1.0),
    })
}

/// Seconds that the load's core was idle.
fn idle_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu1 ")).context("there is no second core")?;
    let fields = line.split(' ').skip(3).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(fields.sum::<f64>() / 100.0)
}

// === impl Series ===

impl Series {
    pub(crate) fn of(running: &Running) -> Self {
        Self::empty(&running.peer)
    }

    pub(crate) fn void(peer: &crate::peers::Peer, error: &anyhow::Error) -> Self {
        Self { void: Some(format!("{error:#}")), ..Self::empty(peer) }
    }

    fn empty(peer: &crate::peers::Peer) -> Self {
        use crate::peers::Kind;
        let (is_direct, is_ringhold) = (peer.kind == Kind::Direct, peer.kind == Kind::Ringhold);
        let name = peer.name.clone();
        Self { name, is_direct, is_ringhold, turns: Vec::new(), memory: 0, peak_memory: 0, void: None }
    }

    fn clone_void(&self) -> Self {
        let Self { name, is_direct, is_ringhold, void, .. } = self;
        let (name, void) = (name.clone(), void.clone());
        let (is_direct, is_ringhold) = (*is_direct, *is_ringhold);
        Self { name, is_direct, is_ringhold, turns: Vec::new(), memory: 0, peak_memory: 0, void }
    }

    /// Does it unless the series is void already, and makes it void if that fails.
    fn guard<T>(&mut self, work: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> Option<T> {
        if self.void.is_some() {
            return None;
        }
        work(self).map_err(|error| self.void = Some(format!("{error:#}"))).ok()
    }
}

// === impl Idle ===

impl Idle {
    /// Each has asked once.
    fn open(running: &Running, load: &Load) -> anyhow::Result<Self> {
        let client = |number: usize| {
            let mut client = Client::connect(running.port)?;
            client.ask("/", &number.to_string())?;
            Ok(client)
        };
        Ok(Self { _clients: (0..load.idle).map(client).collect::<anyhow::Result<_>>().context("idle connections")? })
    }
}
