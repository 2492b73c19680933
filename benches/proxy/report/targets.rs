//! What Ringhold should reach, and whether it does.

use serde::Serialize;

use super::{Figures, best};
use crate::latency::{JUDGED, Latency, Times};
use crate::peers::Kind;
use crate::rounds::{Series, Subject};
use crate::scenarios::{Scenario, TWO_WORKERS};

/// A target and what became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// Which Ringhold.
    pub(super) name: String,
    pub(super) target: String,
    /// How much of what the target allows was used: above 1, it is missed.
    pub(super) of_allowed: f64,
    pub(super) is_reached: bool,
}

/// Of what the small request costs others.
const SMALL: [(f64, &[Kind], &str); 3] = [
    (0.95, &[Kind::Nginx, Kind::Haproxy], "the better of nginx and HAProxy"),
    (0.7, &[Kind::Pingora], "Pingora"),
    (0.5, &[Kind::Envoy], "Envoy"),
];
/// Of what anything else costs the best peer; of what a request costs with one worker, with two.
const AT_MOST: f64 = 1.1;

pub(super) fn verdicts(scenario: Scenario, figures: &Figures) -> Vec<Verdict> {
    match figures {
        Figures::Latency(latency) => latency_verdicts(latency),
        Figures::Loop(series) => {
            let ours = series.iter().filter(|series| series.subject.is_ringhold && series.subject.counts());
            ours.flat_map(|ours| loop_verdicts(scenario, ours, series)).collect()
        }
    }
}

fn loop_verdicts(scenario: Scenario, ours: &Series, series: &[Series]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut judge = |factor: f64, other: Option<&Series>, whose: &str| {
        // Without the other there is nothing to judge.
        if let Some(other) = other {
            let target = format!("CPU ≤ {factor} × {whose}");
            verdicts.push(Verdict::new(&ours.subject, target, ours.cpu() / other.cpu() / factor));
        }
    };
    match scenario {
        Scenario::Small => {
            for (factor, kinds, whose) in SMALL {
                judge(factor, best(series, |subject| kinds.contains(&subject.kind)), whose);
            }
        }
        Scenario::Workers => {
            let alone = ours.subject.name.strip_suffix(TWO_WORKERS);
            let alone = series.iter().find(|other| other.subject.counts() && Some(&*other.subject.name) == alone);
            judge(AT_MOST, alone, "one worker");
        }
        _ => {
            let other = best(series, |_| true);
            let whose = other.map_or("nobody", |other| &other.subject.name);
            judge(AT_MOST, other, whose);
        }
    }
    verdicts
}

fn latency_verdicts(latency: &Latency) -> Vec<Verdict> {
    let p99 = |times: &Times| times.rates[JUDGED].p99.median;
    let peers = latency.series.iter().filter(|times| times.subject.is_peer());
    let Some(best) = peers.min_by(|one, other| p99(one).total_cmp(&p99(other))) else { return Vec::new() };
    let ours = latency.series.iter().filter(|times| times.subject.is_ringhold && times.subject.counts());
    let target = format!("p99 ≤ {}'s at the middle rate", best.subject.name);
    ours.map(|ours| Verdict::new(&ours.subject, target.clone(), p99(ours) / p99(best))).collect()
}

// === impl Verdict ===

impl Verdict {
    fn new(subject: &Subject, target: String, of_allowed: f64) -> Self {
        Self { name: subject.name.clone(), target, of_allowed, is_reached: of_allowed <= 1.0 }
    }
}
