//! `ringhold local`: fleets of this machine's processes, from files.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::serving::Front;
use crate::args::{BackendKind, LocalArgs};
use crate::backend::process::{ProcessBackend, ProcessConfig};
use crate::controller::standalone::{Say, Standalone, StandaloneConfig};
use crate::routes::{Bridge, bridge};
use crate::shutdown::{Shutdown, Signals};
use crate::telemetry::{self, Console};

/// Runs until a signal comes.
pub(super) async fn run(args: LocalArgs) -> anyhow::Result<()> {
    telemetry::init(&args.process.log_level, args.process.log_format)?;
    let BackendKind::Process = args.backend;
    let mut signals = Signals::new().context("can't listen to signals")?;
    // Whoever reads an access log there reads nothing else.
    let console = if args.proxy.access_log.is_on_stdout() { Console::stderr() } else { Console::stdout() };
    let Bridge { publisher, reader, listeners, listen_requests, requests, scale_requests } = bridge();
    let addresses = args.proxy.addresses_or(|| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let front = Front::open(&args.proxy, &args.process, addresses, reader, Some(listen_requests)).await?;

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
    let admin_address = args.process.admin_address;
    console.say("ringhold", format_args!("metrics and API on http://{admin_address}; Ctrl-C stops everything"));

    let (ready, is_ready) = watch::channel(false);
    let mut serving = front.serve(Registry::default(), requests, is_ready);
    let stop_driver = Shutdown::new();
    let mut driver = tokio::spawn(driver.run(stop_driver.clone(), ready));
    tokio::select! {
        () = signals.next() => {}
        ended = &mut driver => bail!("the controller ended by itself: {ended:?}"),
        error = serving.failed() => return Err(error),
    }

    // In order: from here we want nothing new; what runs finishes; the replicas go; then nobody can ask any more.
    serving.drain();
    console.say("ringhold", "stops: running requests finish first; Ctrl-C again stops at once");
    let stop = async {
        let cut = serving.finish(args.proxy.shutdown_seconds).await;
        if cut > 0 {
            console.say("ringhold", format_args!("cut {cut} connections that did not finish in time"));
        }
        stop_driver.cancel();
        driver.await.context("the controller failed")?;
        serving.close().await;
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
