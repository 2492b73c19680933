//! Parses the arguments, wires the parts, waits for the end.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use prometheus_client::registry::Registry;
use ringhold::admin::{self, AdminState, Readiness, RouteMetrics};
use ringhold::api;
use ringhold::args::{Args, BackendKind, Command, LocalArgs};
use ringhold::backend::process::{ProcessBackend, ProcessConfig, guard};
use ringhold::controller::standalone::{Say, Standalone, StandaloneConfig};
use ringhold::proxy::{self, ProxyConfig};
use ringhold::ring::KeyHasher;
use ringhold::routes::{Bridge, bridge};
use ringhold::shutdown::{Shutdown, Signals};
use ringhold::telemetry::{self, Console};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The admin server's clients have so long to finish once everything else has stopped.
const LAST_QUESTIONS: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Local(args) => run(local(args)),
        Command::Crd => crd(),
        Command::ExecReplica { parent, program, args } => exec_replica(parent, &program, &args),
        Command::GuardReplicas => guard::run(io::stdin().lock()).map_err(anyhow::Error::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The control plane's runtime: one thread, so that it never takes a core from the data plane.
fn run(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can't start the runtime")?.block_on(task)
}

fn exec_replica(parent: u32, program: &OsString, args: &[OsString]) -> anyhow::Result<()> {
    let error = guard::exec(parent, program, args);
    Err(error).with_context(|| format!("can't start {}", program.display()))
}

fn crd() -> anyhow::Result<()> {
    let definition = api::definition()?;
    io::stdout().lock().write_all(definition.as_bytes()).context("can't write to standard output")
}

async fn local(args: LocalArgs) -> anyhow::Result<()> {
    telemetry::init(&args.process.log_level, args.process.log_format)?;
    let BackendKind::Process = args.backend;
    let mut signals = Signals::new().context("can't listen to signals")?;
    let console = Console::stdout();
    let key_hasher = KeyHasher::new(&args.proxy.hash_secret.0);
    let Bridge { publisher, reader, listeners, listen_requests, requests, scale_requests } = bridge();

    let admin_address = args.process.admin_address;
    let admin_listener = TcpListener::bind(admin_address)
        .await
        .with_context(|| format!("--admin-address: {admin_address}: choose another address or stop what has it"))?;

    let mut proxy_config = ProxyConfig::new(key_hasher);
    proxy_config.addresses.clone_from(&args.proxy.addresses);
    proxy_config.workers = args.proxy.workers.unwrap_or(proxy_config.workers);
    let proxy = proxy::start(proxy_config, reader.clone(), listen_requests).context("can't start the proxy")?;

    let (show_output, relay, story) = (args.show_output, console.clone(), console.clone());
    let backend = ProcessBackend::new(ProcessConfig {
        ringhold: std::env::current_exe().context("can't find the path of this program")?,
        show: Arc::new(move |replica, line| {
            if show_output {
                relay.relay(replica, line);
            }
        }),
    });
    let say: Say = Arc::new(move |about, line| story.say(about, line));
    let driver = Standalone::start(StandaloneConfig {
        files: args.files,
        backend: Arc::new(backend),
        publisher: Arc::new(publisher),
        listeners,
        scale_requests,
        say,
    })
    .await?;
    if driver.is_empty() {
        console.say("ringhold", "no LoadBalancer is declared yet; waiting for a manifest");
    }
    console.say("ringhold", format_args!("metrics and API on http://{admin_address}; Ctrl-C stops everything"));

    let mut registry = Registry::default();
    registry.register_collector(Box::new(proxy.metrics()));
    registry.register_collector(Box::new(RouteMetrics::new(reader.clone())));
    let (readiness, readiness_seen) = watch::channel(Readiness::Starting);
    let state =
        AdminState { reader, requests, hasher: key_hasher, registry: Arc::new(registry), readiness: readiness_seen };
    let (stop_driver, stop_admin) = (Shutdown::new(), Shutdown::new());
    let draining = Shutdown::new();
    let is_draining = draining.clone();
    let mut admin = tokio::spawn(admin::serve(admin_listener, state, stop_admin.clone()));
    let (first_round, mut is_first_round_done) = watch::channel(false);
    let mut driver = tokio::spawn(driver.run(stop_driver.clone(), first_round));
    tokio::spawn(async move {
        if is_first_round_done.wait_for(|done| *done).await.is_ok() {
            readiness.send_replace(Readiness::Ready);
        }
        is_draining.cancelled().await;
        readiness.send_replace(Readiness::Draining);
    });
    tokio::select! {
        () = signals.next() => {}
        ended = &mut driver => bail!("the controller ended by itself: {ended:?}"),
        ended = &mut admin => bail!("the admin server ended by itself: {ended:?}"),
    }

    // In order: from here we want nothing new; what runs finishes; the replicas go; then nobody can ask any more.
    draining.cancel();
    console.say("ringhold", "stops: running requests finish first; Ctrl-C again stops at once");
    let stop = async {
        let cut = proxy.shutdown(args.proxy.shutdown_seconds).await;
        if cut > 0 {
            console.say("ringhold", format_args!("cut {cut} connections that did not finish in time"));
        }
        stop_driver.cancel();
        driver.await.context("the controller failed")?;
        stop_admin.cancel();
        // Who has not finished asking by now does not matter.
        drop(tokio::time::timeout(LAST_QUESTIONS, admin).await);
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = stop => outcome,
        () = signals.next() => Err(anyhow!("stopped before everything had finished")),
    };
    if outcome.is_ok() {
        console.say("ringhold", "stopped");
    }
    console.finish();
    outcome
}
