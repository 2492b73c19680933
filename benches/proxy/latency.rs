//! How long answers take at rates that all can serve: parts of what the slowest of the others can.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::args::Sizes;
use crate::arrivals::Arrivals;
use crate::load;
use crate::rounds::Subject;
use crate::running::Running;
use crate::scenarios::Load;
use crate::spread::Spread;

/// Of the slowest peer's capacity.
pub(crate) const PARTS: [f64; 3] = [0.3, 0.6, 0.8];
/// Where p99 is to be at or below the best peer's.
pub(crate) const JUDGED: usize = 1;

/// All proxies, at all rates.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    /// Whose capacity it is, and how many requests a second.
    pub(crate) slowest: String,
    pub(crate) capacity: f64,
    pub(crate) series: Vec<Times>,
}

/// One proxy's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Times {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    /// For each rate.
    pub(crate) rates: Vec<Percentiles>,
}

/// Over all rounds, in microseconds from the moment at which a request was due.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Percentiles {
    pub(crate) p50: Spread,
    pub(crate) p99: Spread,
    pub(crate) p999: Spread,
    /// How late the load itself was; part of all others.
    pub(crate) own_p99: Spread,
}

/// Of one turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    p50: f64,
    p99: f64,
    p999: f64,
    own_p99: f64,
}

/// Gives everybody a turn at each rate in each round.
pub(crate) fn measure(
    folder: &Path,
    running: &mut [(Subject, Option<Running>)],
    load: &Load,
    sizes: &Sizes,
) -> anyhow::Result<Latency> {
    let (slowest, capacity) = capacity(folder, running, load, sizes)?;
    let mut turns: Vec<[Vec<Turn>; PARTS.len()]> = running.iter().map(|_| Default::default()).collect();
    for round in 0..usize::from(sizes.rounds) {
        for (rate, part) in PARTS.iter().enumerate() {
            for place in 0..running.len() {
                let index = (round + place) % running.len();
                let (subject, running) = &mut running[index];
                if let Some(turn) = subject.attempt(running, |running| turn(running, capacity * part, round, sizes)) {
                    turns[index][rate].push(turn);
                }
            }
        }
    }
    let of = |((subject, _), turns): (&(Subject, Option<Running>), [Vec<Turn>; PARTS.len()])| Times {
        subject: subject.clone(),
        rates: turns.iter().map(|turns| Percentiles::of(turns)).collect(),
    };
    Ok(Latency { slowest, capacity, series: running.iter().zip(turns).map(of).collect() })
}

/// Of the slowest that is not Ringhold, if there is any.
fn capacity(
    folder: &Path,
    running: &mut [(Subject, Option<Running>)],
    load: &Load,
    sizes: &Sizes,
) -> anyhow::Result<(String, f64)> {
    let mut capacities = Vec::new();
    for (subject, running) in running.iter_mut().filter(|(subject, _)| !subject.is_direct) {
        let done = subject.attempt(running, |running| {
            load::run(folder, running.port, load, sizes.connections, sizes.turn_seconds.into())
        });
        capacities.extend(done.map(|done| (subject.is_ringhold, subject.name.clone(), done.requests / done.seconds)));
    }
    let least = capacities.into_iter().min_by(|one, other| one.0.cmp(&other.0).then(one.2.total_cmp(&other.2)));
    least.map(|(_, name, capacity)| (name, capacity)).context("nobody answers")
}

fn turn(running: &Running, per_second: f64, round: usize, sizes: &Sizes) -> anyhow::Result<Turn> {
    let (seconds, connections) = (sizes.turn_seconds.into(), sizes.connections);
    let arrivals = Arrivals { port: running.port, per_second, seconds, connections, seed: round as u64 };
    let counted = running.counts()?;
    let seen = arrivals.run()?;
    if running.process.is_some() {
        running.counts()?.prove(counted, seen.answers.len() as f64, connections)?;
    }
    let at = |values: &[f64], part: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = (values.len() as f64 * part) as usize;
        values.get(place.min(values.len().saturating_sub(1))).copied().context("nothing was due")
    };
    Ok(Turn {
        p50: at(&seen.answers, 0.5)?,
        p99: at(&seen.answers, 0.99)?,
        p999: at(&seen.answers, 0.999)?,
        own_p99: at(&seen.notices, 0.99)?,
    })
}

// === impl Percentiles ===

impl Percentiles {
    fn of(turns: &[Turn]) -> Self {
        let spread = |figure: fn(&Turn) -> f64| Spread::of(turns.iter().map(figure));
        Self {
            p50: spread(|turn| turn.p50),
            p99: spread(|turn| turn.p99),
            p999: spread(|turn| turn.p999),
            own_p99: spread(|turn| turn.own_p99),
        }
    }
}
