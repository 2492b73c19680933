//! The figures, for people and for programs. What is measured and what is multiplied is said beside each.

mod table;

use serde::Serialize;

use crate::hour::Hour;
use crate::news::News;
use crate::process::Usage;
use crate::requests::{Audit, Counts, counts};
use crate::rounds::{Round, Rounds, Times};

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) loadbalancers: u16,
    pub(crate) replicas: u16,
    pub(crate) times: Comparison,
    pub(crate) requests: RoundRequests,
    pub(crate) memory: Memory,
    /// From the start of an operator that finds everything there, until it routes all of it and acts.
    pub(crate) restart_seconds: f64,
    pub(crate) hour: Hour,
    pub(crate) news: News,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) memory_gibibytes: u64,
    /// How many processes wanted a core in the minute before: others' work is in the figures.
    pub(crate) load_before: String,
    pub(crate) profile: &'static str,
}

/// The two kinds beside each other.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comparison {
    pub(crate) loadbalancers: Option<Times>,
    pub(crate) deployments: Option<Times>,
    pub(crate) deployments_at_default_limits: Option<Times>,
}

/// What each kind asked of the API server in its last round.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoundRequests {
    /// The operator's for LoadBalancers.
    pub(crate) operator: Counts,
    /// The controllers' meanwhile.
    pub(crate) controllers_beside_operator: Counts,
    /// The controllers' for Deployments.
    pub(crate) controllers: Counts,
}

/// The operator's memory, in kibibytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    pub(crate) before: u64,
    pub(crate) settled_first: u64,
    pub(crate) settled_last: u64,
    /// After everything else, and the settled time.
    pub(crate) later: u64,
    pub(crate) peak: u64,
}

// === impl Machine ===

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let kibibytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes.and_then(|kibibytes| kibibytes.parse().ok()).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            memory_gibibytes: (kibibytes + (1 << 19)) >> 20,
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            profile: if cfg!(debug_assertions) { "not optimised: these figures say nothing" } else { "release" },
        }
    }
}

// === impl Comparison ===

impl Comparison {
    pub(crate) fn new(rounds: &Rounds) -> Self {
        Self {
            loadbalancers: Times::of(&rounds.loadbalancers),
            deployments: Times::of(&rounds.deployments),
            deployments_at_default_limits: Times::of(&rounds.deployments_at_default_limits),
        }
    }
}

// === impl RoundRequests ===

impl RoundRequests {
    pub(crate) fn new(audit: &Audit, operator: &str, rounds: &Rounds) -> Self {
        let of = |user: &str, rounds: &[Round]| {
            rounds.last().map(|round| counts(audit.of(user, round.window))).unwrap_or_default()
        };
        Self {
            operator: of(operator, &rounds.loadbalancers),
            controllers_beside_operator: of(CONTROLLERS, &rounds.loadbalancers),
            controllers: of(CONTROLLERS, &rounds.deployments),
        }
    }
}

/// As whom kube-controller-manager comes to the tests' API server.
const CONTROLLERS: &str = "test-controller-manager";

// === impl Memory ===

impl Memory {
    pub(crate) fn new(before: Usage, rounds: &Rounds, last: Usage) -> Self {
        let settled = |round: Option<&Round>| round.map_or(0, |round| round.operator.resident_kibibytes);
        Self {
            before: before.resident_kibibytes,
            settled_first: settled(rounds.loadbalancers.first()),
            settled_last: settled(rounds.loadbalancers.last()),
            later: last.resident_kibibytes,
            peak: last.peak_kibibytes,
        }
    }
}
