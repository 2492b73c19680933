//! What each command does: the wiring of the parts, and the order in which they start and stop.

mod crd;
mod local;
mod operator;
mod ring;
mod serving;

use std::ffi::OsString;
use std::io;

use anyhow::Context;

use crate::args::{Args, Command};
use crate::backend::process::guard;

/// Runs what the command line asks for, to its end.
///
/// # Errors
/// Whatever kept it from doing so, with its cause, for people.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Local(args) => block_on(local::run(*args)),
        Command::Operator(args) => block_on(operator::run(*args)),
        Command::Crd => crd::print(&mut io::stdout().lock()),
        Command::Ring(args) => ring::run(*args),
        Command::ExecReplica { parent, program, args } => exec_replica(parent, &program, &args),
        Command::GuardReplicas => guard::run(io::stdin().lock()).map_err(anyhow::Error::from),
    }
}

/// The control plane's runtime: one thread, so that it never takes a core from the data plane.
fn block_on(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can't start the runtime")?.block_on(task)
}

fn exec_replica(parent: u32, program: &OsString, args: &[OsString]) -> anyhow::Result<()> {
    let error = guard::exec(parent, program, args);
    Err(error).with_context(|| format!("can't start {}", program.display()))
}
