//! A soak: an hour's misfortunes in ten minutes, and every request accounted for. `make soak` runs it.
//!
//! The real `ringhold local` serves real replicas to clients of every kind (see [`clients`]), while replicas are killed,
//! fleets scaled and rolled out, and manifests and certificates changed (see [`churn`]). Each request has a number in its
//! target and its User-Agent. So it can be found in three places that know nothing of each other: what its client made of
//! it, the line that Ringhold wrote of it, and the notes of the replicas, which a kill does not undo. What must be the same
//! ([`accounts`]):
//!
//! 1. **Clients = access log.** A head that a client has begun is either cut (no request; no line), or ends for its client
//!    in one of: a replica's whole answer, Ringhold's own, an answer that broke off, left by the client. Each of these has
//!    one line, with the status and the reason that the client got. (Where a replica breaks off right after the head of its
//!    answer, the client may get nothing of it: hyper has not written the head yet.) Only of what was withdrawn (the client left while it
//!    waited behind another request of its connection, or reset its stream at once) and of what found its
//!    connection closed, the client can't know whether it was read; the line says so: then it is a request, else none.
//!    *begun − cut − never read = lines.*
//! 2. **Access log = metrics.** For each LoadBalancer, code and reason, those included that no LoadBalancer has:
//!    *lines = `ringhold_requests_total`*. The counters of a LoadBalancer that is removed go with it, so those of the
//!    `guest` are read before, while nobody asks it, and added up; the `stray` is removed while it has requests, and
//!    only its lines are counted.
//! 3. **Access log = replicas.** A line says how often its request was tried. *Tries after the first =
//!    `ringhold_retries_total`*; *`ringhold_picks_total` ≤ tries ≤ that and the retries of kind `repeated`*, because a break on
//!    a pooled connection repeats without another pick. *Tries = notes + tries that ended before a replica had noted the request*,
//!    request by request: never more notes than tries, at least one by the replica that answered, none without a line, and at
//!    most one where the request must not be sent twice.
//! 4. **What must not fail does not.** A GET or HEAD without a body gets a replica's whole answer, unless the replica broke off in the
//!    middle (`BrokenResponse`), or all tries broke or the retry budget was spent (`UpstreamReset`, no more of them than
//!    `ringhold_retries_over_budget_total` where tries were left), or the request crossed the close of an idle connection.
//!
//! No replica on its way out waits for requests that have gone. And afterwards everything is as it was before: no request in flight, no client's connection, no more descriptors or
//! threads; no error and no panic in the log; and memory was flat, see [`samples`].
//!
//! Clients and readers keep to the last core; Ringhold's two workers and the replicas have all. Run it with `nice` where others
//! measure.
#![allow(clippy::print_stdout, reason = "it is a program of its own, and this is its result")]

mod accounts;
mod args;
mod churn;
mod clients;
mod ledger;
mod readers;
mod report;
mod ringhold;
mod samples;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::sync::RwLock;
use tokio::time::sleep;

use accounts::{Accounts, Claim};
use args::{Args, Output};
use churn::Stage;
use clients::{Clients, Shared};
use ledger::Ledger;
use readers::{AccessLog, Notes};
use report::Report;
use ringhold::{Has, Ringhold};
use world::{Declared, Ports, World};

/// So long may it take until requests and connections are gone after their clients.
const AFTERGLOW: Duration = Duration::from_secs(10);
/// And until connections to replicas and idle threads are: the proxy keeps them for 50 seconds.
const EXPIRY: Duration = Duration::from_secs(80);
/// No client keeps a request for so many seconds, and a replica that is kept is ended after thirty.
const DRAIN: f64 = 20.0;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        fastrand::seed(seed);
    }
    let report = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(soak(&args))?;
    match args.output {
        Output::Table => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if let Some(file) = &args.svg {
        std::fs::write(file, report.picture().to_svg()).with_context(|| format!("--svg {}", file.display()))?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn soak(args: &Args) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests)?;
    let (ports, ledger) = (Ports::free(), Arc::<Ledger>::default());
    let mut notes = Notes::open(folder.path().join("notes"), &ledger)?;
    let world = World::new(manifests, notes.path.clone())?;
    let fleets = [Declared::web(ports), Declared::secure(ports)];
    for fleet in &fleets {
        world.declare(fleet)?;
    }
    let access_log = folder.path().join("access.log");
    let ringhold = Ringhold::start(world.folder(), &access_log, ports.admin, folder.path().join("ringhold.log"))?;
    keep_to_the_last_core()?;
    let shared = Arc::new(Shared {
        ledger: Arc::clone(&ledger),
        ports,
        tls: [world.client(&[])?, world.client(&["h2"])?],
        stop: AtomicBool::new(false),
        peace: RwLock::default(),
        trouble: Mutex::default(),
    });
    let mut stage = Stage { ringhold, world, shared };
    for fleet in &fleets {
        stage.settled(fleet.name).await?;
    }
    let before = at_rest(&stage).await?;
    let mut lines = AccessLog::follow(&access_log, stage.ringhold.pid(), &ledger);

    let clients = Clients::start(&stage.shared);
    let length = Duration::from_secs(args.seconds);
    let watched = async {
        let samples = samples::take(&stage, length).await;
        stage.shared.stop.store(true, Relaxed);
        samples
    };
    let ((samples, drains), fleet, secure, visitors) =
        tokio::try_join!(watched, churn::fleet(&stage), churn::secure(&stage), churn::visitors(&stage))?;
    let (visited, mut metrics) = visitors;
    clients.finish().await?;
    let mut claims = afterwards(&stage, before).await?;
    for fleet in &fleets {
        stage.settled(fleet.name).await?;
    }

    metrics.add(&stage.ringhold.metrics().await?);
    let ended = stage.ringhold.stop().await?;
    lines.finish()?;
    notes.finish()?;
    let Accounts { counts, claims: of_requests } = Accounts::close(&ledger.lock(), &metrics);
    claims.splice(0..0, of_requests);
    let (second, last, is_flat) = samples::memory(&samples);
    let says = format!(
        "memory was flat: {:.1} MiB in the second quarter, {:.1} MiB in the last (medians){}",
        second / 1024.0,
        last / 1024.0,
        if is_flat.is_none() { ", but that was too short to tell" } else { "" }
    );
    claims.push(Claim::new(says, is_flat != Some(false), vec![]));
    let says = format!("no replica took long to finish its last requests: {:.0} s at most", drains.longest);
    claims.push(Claim::new(says, drains.longest < DRAIN, vec![]));
    let trouble = std::mem::take(&mut *stage.shared.trouble.lock().expect("nobody panics with it"));
    claims.push(Claim::new("no client met what it must not".to_owned(), trouble.is_empty(), report::some(trouble)));
    let errors = stage.ringhold.errors()?;
    claims.push(Claim::new("no error and no panic in the log".to_owned(), errors.is_empty(), report::some(errors)));
    claims.push(Claim::new("Ringhold ended in order".to_owned(), ended.success(), vec![]));
    let happened = [fleet, secure, visited].into_iter().flatten().collect();
    Ok(Report { seconds: args.seconds, happened, counts, claims, before, samples })
}

/// What the process has once it has settled down.
async fn at_rest(stage: &Stage) -> anyhow::Result<Has> {
    let mut last = stage.ringhold.has()?;
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = stage.ringhold.has()?;
        if (now.descriptors, now.threads) == (last.descriptors, last.threads) {
            return Ok(now);
        }
        last = now;
    }
}

/// What has to be as it was before, and how long that took.
async fn afterwards(stage: &Stage, before: Has) -> anyhow::Result<Vec<Claim>> {
    let began = Instant::now();
    let (mut claims, mut last) = (Vec::new(), (0, 0));
    while began.elapsed() < AFTERGLOW {
        let metrics = stage.ringhold.metrics().await?;
        let of = |name| metrics.sum(name, |_| true);
        last = (of("ringhold_requests_in_flight"), of("ringhold_client_connections"));
        if last == (0, 0) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let says = format!(
        "no request and no client's connection is left: {} and {} after {:.1} s",
        last.0,
        last.1,
        began.elapsed().as_secs_f64()
    );
    claims.push(Claim::new(says, last == (0, 0), vec![]));
    let mut now = stage.ringhold.has()?;
    let is_back = |now: Has| now.descriptors <= before.descriptors && now.threads <= before.threads;
    while !is_back(now) && began.elapsed() < EXPIRY {
        sleep(Duration::from_millis(500)).await;
        now = stage.ringhold.has()?;
    }
    let says = format!(
        "no descriptor and no thread is left: {} and {} before, {} and {} after {:.0} s",
        before.descriptors,
        before.threads,
        now.descriptors,
        now.threads,
        began.elapsed().as_secs_f64()
    );
    claims.push(Claim::new(says, is_back(now), vec![]));
    Ok(claims)
}

/// So that Ringhold has at least one core that it shares with replicas alone.
fn keep_to_the_last_core() -> anyhow::Result<()> {
    let all = sched_getaffinity(None)?;
    let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)) else { return Ok(()) };
    let mut one = CpuSet::new();
    one.set(last);
    Ok(sched_setaffinity(None, &one)?)
}
