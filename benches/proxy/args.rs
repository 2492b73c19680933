//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::cores::Cores;
use crate::peers::Kind;
use crate::scenarios::Scenario;

/// Measures Ringhold beside nginx, HAProxy, Envoy and Pingora
///
/// Proxies run on core 0, load and replicas on core 1. All have their turns in each round; medians of the rounds are told
/// with the least and the most.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) helper: Option<Helper>,

    /// A Ringhold to measure, with a label; may be repeated, to compare several [default: the one that was built]
    #[arg(long, value_name = "[LABEL=]FILE")]
    ringhold: Vec<String>,

    /// Only these proxies, with commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PROXIES")]
    only: Vec<Kind>,

    /// Only these scenarios, with commas [default: all; if quick, small, 64k, churn and latency]
    #[arg(long = "scenario", value_enum, value_delimiter = ',', value_name = "SCENARIOS")]
    scenarios: Vec<Scenario>,

    /// Rounds; in each, every proxy has its turn
    #[arg(long, value_name = "N", default_value_t = 5, env = "BENCH_ROUNDS", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// How long one turn takes, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, env = "BENCH_TURN_SECONDS", value_parser = clap::value_parser!(u16).range(1..=60))]
    turn_seconds: u16,

    /// Connections of the load
    #[arg(long, value_name = "N", default_value_t = 64, env = "BENCH_CONNECTIONS", value_parser = clap::value_parser!(u16).range(8..=1024))]
    connections: u16,

    /// One short round, within about a minute; its figures are worth less
    #[arg(long)]
    quick: bool,

    /// What the figures are written as
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Draws the figures into this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// What this program becomes for itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Helper {
    /// A replica
    #[command(hide = true)]
    Replica {
        #[arg(env = "PORT")]
        port: u16,
    },
    /// Another program, bound to cores
    #[command(hide = true)]
    Bound {
        cores: Cores,
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

/// How much is measured.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sizes {
    pub(crate) rounds: u16,
    pub(crate) turn_seconds: u16,
    pub(crate) connections: u16,
    /// A second of load for each proxy before the first round.
    pub(crate) warms_up: bool,
}

// === impl Args ===

impl Args {
    pub(crate) fn sizes(&self) -> Sizes {
        let Self { rounds, turn_seconds, connections, quick, .. } = *self;
        if quick {
            return Sizes { rounds: 1, turn_seconds: 1, connections, warms_up: false };
        }
        Sizes { rounds, turn_seconds, connections, warms_up: true }
    }

    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }

    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if !self.scenarios.is_empty() {
            return self.scenarios.clone();
        }
        if self.quick {
            return vec![Scenario::Small, Scenario::Large, Scenario::Churn, Scenario::Latency];
        }
        Scenario::value_variants().to_vec()
    }

    /// The labels and files that were given.
    pub(crate) fn ringholds(&self) -> Vec<(Option<&str>, PathBuf)> {
        let labelled = |text: &str| text.split_once('=').is_some_and(|(label, _)| !label.contains('/'));
        let parts = self.ringhold.iter().map(|text| match text.split_once('=') {
            Some((label, file)) if labelled(text) => (Some(label), file.into()),
            _ => (None, text.into()),
        });
        parts.collect()
    }
}
