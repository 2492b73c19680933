//! Ringhold beside other proxies. `make bench-proxy` runs it; benches/README.md says what it measures and what came out.
//!
//! Nothing here is a test: a missed target is told, not failed. But one answer that is not as it should be makes a proxy's
//! figures void, and ends the run with an error.

mod admin;
mod args;
mod arrivals;
mod ask;
mod certificate;
mod cores;
mod counts;
mod idle;
mod latency;
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
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;

use args::{Args, Helper, Output, Sizes};
use certificate::Certificate;
use cores::Cores;
use peers::{Kind, Peer};
use report::{Figures, Machine, Report, Table};
use rounds::Subject;
use running::{Fleet, Ground, Running};
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
    if let Some(file) = &args.svg {
        std::fs::write(file, report.picture().to_svg()).with_context(|| format!("--svg {}", file.display()))?;
    }
    let is_void = report.tables.iter().any(Table::is_void);
    if is_void {
        progress("not everything was answered as it should: what is void says nothing");
    }
    Ok(if is_void { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run(args: &Args) -> anyhow::Result<Report> {
    let machine = Machine::this();
    let sizes = args.sizes();
    process::allow_descriptors()?;
    let peers = peers(args)?;
    // What this process starts has the load's core, too, if it is not told otherwise.
    Cores::Load.bind()?;
    let folder = tempfile::tempdir()?;
    let certificate = Certificate::write(folder.path())?;
    let fleet = Fleet::start(folder.path())?;
    let mut tables = Vec::new();
    for scenario in args.scenarios() {
        progress(scenario.title());
        let folder = folder.path().join(format!("{scenario:?}"));
        std::fs::create_dir(&folder)?;
        let ground = Ground { folder: &folder, fleet: &fleet, certificate: &certificate };
        tables.push(Table::new(scenario, measure(scenario, &peers, &ground, &sizes)?));
    }
    let versions = peers.into_iter().map(|peer| (peer.name, peer.version)).collect();
    Ok(Report { machine, versions, sizes, tables })
}

fn measure(scenario: Scenario, peers: &[Peer], ground: &Ground<'_>, sizes: &Sizes) -> anyhow::Result<Figures> {
    let load = scenario.load();
    let mut running = Vec::new();
    for (peer, workers) in scenario.subjects(peers) {
        let mut subject = Subject::of(&peer, workers);
        subject.left_out = peer.lacks(load.front).map(str::to_owned);
        let started = subject.counts().then(|| Running::start(&peer, workers, &load, ground));
        let started =
            started.and_then(|started| started.map_err(|error| subject.void = Some(format!("{error:#}"))).ok());
        running.push((subject, started));
    }
    Ok(match scenario {
        Scenario::Latency => Figures::Latency(latency::measure(ground.folder, &mut running, &load, sizes)?),
        _ => Figures::Loop(rounds::measure(ground.folder, &mut running, &load, sizes)),
    })
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

/// The Ringhold that was built with the same profile: one folder above this program's.
fn built() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let program = this.ancestors().nth(2).map(|folder| folder.join("ringhold")).filter(|program| program.is_file());
    program.context("Ringhold is not built: run `make build` before, or say --ringhold FILE")
}

/// What happens right now, for people who wait.
fn progress(what: &str) {
    // Nobody may read it; the figures come on the other stream.
    drop(writeln!(io::stderr(), "bench-proxy: {what}"));
}
