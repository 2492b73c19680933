//! Parses the arguments and runs what they ask for.

use std::process::ExitCode;

use clap::Parser;
use ringhold::args::Args;
use ringhold::{commands, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
