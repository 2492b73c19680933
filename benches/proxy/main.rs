//! Ringhold beside other proxies. `make bench-proxy` runs it; benches/README.md says what it measures and what came out.
//!
//! Nothing here is a test: a missed target is told, not failed. But one answer that is not as it should be makes a proxy's
//! figures void, and ends the run with an error.

mod args;
mod ask;
mod cores;
mod load;
mod peers;
mod ports;
mod process;
mod replica;
mod report;
mod rounds;
mod running;
mod scenarios;
mod spread;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;

use args::{Args, Helper, Output};
use cores::Cores;
use peers::{Kind, Peer};
use report::{Machine, Report, Table};
use rounds::Series;
use running::{Fleet, Running};
use scenarios::Scenario;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    match args.helper {
        Some(Helper::Replica { port }) => replica::run(port)?,
        Some(Helper::Bound { cores, parent, command }) => cores::become_bound(cores, parent, &command)?,
        None => return measured(&args),
    }
    Ok(ExitCode::SUCCESS)
}

fn measured(args: &Args) -> anyhow::Result<ExitCode> {
    let report = run(args)?;
    let text = match args.output {
        Output::Table => report.to_string(),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    io::stdout().write_all(text.as_bytes())?;
    let is_void = report.is_void();
    if is_void {
        progress("not everything was answered as it should: what is void says nothing");
    }
    Ok(if is_void { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run(args: &Args) -> anyhow::Result<Report> {
    let machine = Machine::this();
    // What this process starts has the load's core, if it is not told otherwise.
    Cores::Load.bind()?;
    let sizes = args.sizes();
    let peers = peers(args)?;
    let folder = tempfile::tempdir()?;
    let fleet = Fleet::start(folder.path())?;
    let mut tables = Vec::new();
    for scenario in args.scenarios() {
        progress(scenario.title());
        tables.push(Table { scenario, series: closed_loop(folder.path(), scenario, &peers, &fleet, &sizes)? });
    }
    let versions = peers.iter().map(|peer| (peer.name.clone(), peer.version.clone())).collect();
    Ok(Report { machine, versions, sizes, tables })
}

/// Those that take part. Who is missing is told.
fn peers(args: &Args) -> anyhow::Result<Vec<Peer>> {
    let (mut peers, missing) = Peer::others(|kind| args.wants(kind));
    for name in missing {
        progress(&format!("{name} IS MISSING and will not be measured: benches/proxy/prepare.sh says why"));
    }
    if args.wants(Kind::Ringhold) {
        let mut given = args.ringholds();
        if given.is_empty() {
            given.push((None, built()?));
        }
        for (label, program) in given {
            let program = program.canonicalize().with_context(|| format!("--ringhold {}", program.display()))?;
            peers.push(Peer::ringhold(label, program));
        }
    }
    ensure!(!peers.is_empty(), "there is nothing to measure");
    Ok(peers)
}

/// The Ringhold that was built with the same profile: two folders above this program.
fn built() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let program = this.ancestors().nth(2).map(|folder| folder.join("ringhold")).filter(|program| program.is_file());
    program.context("Ringhold is not built: run `make build` before, or say --ringhold FILE")
}

fn closed_loop(
    folder: &Path,
    scenario: Scenario,
    peers: &[Peer],
    fleet: &Fleet,
    sizes: &args::Sizes,
) -> anyhow::Result<Vec<Series>> {
    let load = scenario.load();
    let folder = folder.join(format!("{scenario:?}"));
    std::fs::create_dir_all(&folder)?;
    let start = |peer: &Peer| {
        let running = Running::start(peer, fleet, &folder, load.front, load.key, load.workers);
        running.map_err(|error| Series::void(peer, &error))
    };
    let subjects = scenario.subjects(peers);
    let running: Vec<_> = subjects.iter().map(start).collect();
    Ok(rounds::measure(&folder, &running, &load, sizes))
}

/// What happens right now, for people who wait.
fn progress(what: &str) {
    // Nobody may read it; the figures come on the other stream.
    drop(writeln!(io::stderr(), "bench-proxy: {what}"));
}
