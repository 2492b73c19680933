//! The sizes. Small ones make a run of seconds, to see that everything works.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Measures our ring beside the rings of other crates
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Rounds; in each, everything that is compared has its turn
    #[arg(long, value_name = "N", default_value_t = 21, env = "BENCH_ROUNDS", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// How long one turn of lookups takes at least, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 20, env = "BENCH_TURN_MILLISECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    turn_milliseconds: u16,

    /// Keys that are counted, for evenness and moves
    #[arg(long, value_name = "N", default_value_t = 1_000_000, env = "BENCH_KEYS", value_parser = clap::value_parser!(u32).range(100_000..=20_000_000))]
    keys: u32,

    /// Requests of a round under bounded load
    #[arg(long, value_name = "N", default_value_t = 200_000, env = "BENCH_REQUESTS", value_parser = clap::value_parser!(u32).range(1_000..))]
    requests: u32,

    /// A run of seconds, whose times are worth little, to see that everything works
    #[arg(long)]
    quick: bool,

    /// What the figures are written as
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sizes {
    pub(crate) rounds: u16,
    /// The least that one turn of lookups takes.
    pub(crate) turn_milliseconds: u16,
    pub(crate) keys: u32,
    /// Hundreds of ids whose evenness is computed.
    pub(crate) ranges: u16,
    pub(crate) requests: u32,
}

// === impl Args ===

impl Args {
    pub(crate) fn sizes(&self) -> Sizes {
        if self.quick {
            return Sizes { rounds: 3, turn_milliseconds: 2, keys: 100_000, ranges: 5, requests: 20_000 };
        }
        let Self { rounds, turn_milliseconds, keys, requests, .. } = *self;
        Sizes { rounds, turn_milliseconds, keys, ranges: 100, requests }
    }
}

// === impl Sizes ===

impl Sizes {
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(self.turn_milliseconds.into())
    }
}
