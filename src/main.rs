//! Parses the arguments, wires the parts, waits for the end.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use prometheus_client::registry::Registry;
use ringhold::admin::{self, AdminState, Readiness, RouteMetrics};
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

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Local(args) => run(local(args)),
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

    let show_output = args.show_output;
    let backend = ProcessBackend::new(ProcessConfig {
        ringhold: std::env::current_exe().context("can't find the path of this program")?,
        show: Arc::new(move |replica, line| {
            if show_output {
                console.relay(replica, line);
            }
        }),
    });
    let say: Say = Arc::new(move |fleet, line| console.say(fleet, line));
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
    let admin = tokio::spawn(admin::serve(admin_listener, state, stop_admin.clone()));
    let (first_round, mut is_first_round_done) = watch::channel(false);
    let driver = tokio::spawn(driver.run(stop_driver.clone(), first_round));

    // In order: from here we want nothing new; what runs finishes; the replicas go; then nobody can ask any more.
    is_first_round_done.wait_for(|done| *done).await.context("the controller ended by itself")?;
    readiness.send_replace(Readiness::Ready);
    signals.next().await;
    readiness.send_replace(Readiness::Draining);
    console.say("ringhold", "stops: running requests finish first; Ctrl-C again stops at once");
    let stop = async {
        let cut = proxy.shutdown(args.proxy.shutdown_seconds).await;
        if cut > 0 {
            console.say("ringhold", format_args!("cut {cut} connections that did not finish in time"));
        }
        stop_driver.cancel();
        let stopped = driver.await.context("the controller failed");
        stop_admin.cancel();
        stopped
    };
    tokio::select! {
        stopped = stop => stopped?,
        () = signals.next() => anyhow::bail!("stopped before everything had finished"),
    }
    admin.await.context("the admin server failed")??;
    console.say("ringhold", "stopped");
    Ok(())
}
