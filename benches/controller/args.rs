//! The sizes. Small ones make a run of seconds, to see that everything works.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures the operator at scale, beside Kubernetes' own controllers
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// LoadBalancers, and as many Deployments
    #[arg(long, value_name = "N", default_value_t = 100, env = "BENCH_LOADBALANCERS", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) loadbalancers: u16,

    /// Replicas of each
    #[arg(long, value_name = "N", default_value_t = 10, env = "BENCH_REPLICAS", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) replicas: u16,

    /// Rounds, each with all LoadBalancers and all Deployments
    #[arg(long, value_name = "N", default_value_t = 3, env = "BENCH_ROUNDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,

    /// Rounds of Deployments with the controllers' default limits: they take minutes, and the limit makes them alike
    #[arg(long, value_name = "N", default_value_t = 1, env = "BENCH_DEFAULT_ROUNDS")]
    pub(crate) default_rounds: u16,

    /// Pods that become unready, ready again, are deleted and replaced: four events each
    #[arg(long, value_name = "N", default_value_t = 100, env = "BENCH_NEWS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) news: u16,

    /// How long the settled fleets are watched, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "BENCH_SETTLED_SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) settled_seconds: u16,

    /// Another operator than the one that was built with this
    #[arg(long, value_name = "PROGRAM", default_value = env!("CARGO_BIN_EXE_ringhold"), hide_default_value = true, env = "BENCH_OPERATOR")]
    pub(crate) operator: PathBuf,

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

// === impl Args ===

impl Args {
    /// All pods of one kind.
    pub(crate) fn pods(&self) -> usize {
        usize::from(self.loadbalancers) * usize::from(self.replicas)
    }
}
