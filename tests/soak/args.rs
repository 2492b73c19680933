//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Runs Ringhold under load while everything changes, and accounts for every request
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// How long clients ask, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, env = "SOAK_SECONDS", value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub(crate) seconds: u64,

    /// Where chance begins, to have the same again as far as times allow [default: anywhere]
    #[arg(long, value_name = "N", env = "SOAK_SEED")]
    pub(crate) seed: Option<u64>,

    /// What the figures are written as
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Draws rate, memory and descriptors over time into this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}
