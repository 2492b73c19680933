//! `ringhold operator`: fleets of a cluster's pods, from LoadBalancers at its API server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::StreamExt;
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::serving::Front;
use crate::args::{OperatorArgs, Role};
use crate::backend::kubernetes::{self as pods, KubernetesBackend};
use crate::controller::kubernetes::{self, KubernetesConfig, Proxies, ProxiesConfig, Stats};
use crate::controller::leader::{Leader, LeaderConfig};
use crate::routes::{Bridge, bridge};
use crate::shutdown::{Shutdown, Signals};
use crate::telemetry;

/// The API server says something on every watch each minute, though it be a bookmark.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs until a signal comes.
pub(super) async fn run(args: OperatorArgs) -> anyhow::Result<()> {
    telemetry::init(&args.process.log_level, args.process.log_format)?;
    let mut signals = Signals::new().context("can't listen to signals")?;
    let client = client(PATIENCE).await?;
    let Bridge { publisher, reader, listeners, listen_requests, requests, scale_requests } = bridge();
    let routes = args.role != Role::Controller;
    let addresses = args.proxy.addresses_or(every_address);
    let front = Front::open(&args.proxy, &args.process, addresses, reader, routes.then_some(listen_requests)).await?;

    let leader = Arc::new(match args.role {
        Role::Proxy => Leader::never(),
        Role::All | Role::Controller => Leader::elect(LeaderConfig {
            // Whoever hears nothing for so long has lost the Lease by then, and is told so.
            client: self::client(args.lease_seconds).await?,
            namespace: args.pod_namespace.clone(),
            lease: args.lease_name.clone(),
            identity: args.identity(),
            duration: args.lease_seconds,
        }),
    });
    let mut registry = Registry::default();
    let stats = Arc::new(Stats::new(&mut registry));
    let (ready, is_ready) = watch::channel(false);
    let mut serving = front.serve(registry, requests, is_ready);

    let stop_driver = Shutdown::new();
    let (stop, acting, identity) = (stop_driver.clone(), Arc::clone(&leader), args.identity());
    let (pod_namespace, selector) = (args.pod_namespace, args.proxy_selector.filter(|_| args.role != Role::Proxy));
    let (namespace, admin_port) = (args.namespace, args.process.admin_address.port());
    let mut driver = tokio::spawn(async move {
        let watched = namespace.as_deref().map(Arc::from);
        let (backend, watch) = KubernetesBackend::new(client.clone(), pods::KubernetesConfig { namespace: watched });
        let watch = tokio::spawn(watch.run(stop.clone().cancelled_owned()));
        let synced = backend.clone();
        let proxies = match selector {
            None => Proxies::none(),
            Some(selector) => {
                let me = identity.clone();
                let config = ProxiesConfig { client: client.clone(), namespace: pod_namespace, selector, me };
                let Some(proxies) = stop.run_until_cancelled(Proxies::watch(config, stop.clone())).await else {
                    return;
                };
                proxies
            }
        };
        let config = KubernetesConfig {
            client,
            namespace,
            synced: Box::pin(async move { synced.synced().await }),
            touched: backend.touched().boxed(),
            backend: Arc::new(backend),
            manifest: pods::effective_manifest,
            publisher: Arc::new(publisher),
            listeners: routes.then_some(listeners),
            admin_port,
            leader: acting,
            proxies,
            scale_requests,
            identity,
            stats,
        };
        kubernetes::run(config, stop, ready).await;
        drop(watch.await);
    });
    tracing::info!(role = ?args.role, "started");
    tokio::select! {
        () = signals.next() => {}
        ended = &mut driver => bail!("the controller ended by itself: {ended:?}"),
        error = serving.failed() => return Err(error),
    }

    // In order: from here we want nothing new; another process acts; what runs finishes, with routes that stay true until
    // then; nothing is watched any more; nobody can ask.
    serving.drain();
    tracing::info!("stops: running requests finish first");
    let stop = async {
        leader.release().await;
        let cut = serving.finish(args.proxy.shutdown_seconds).await;
        if cut > 0 {
            tracing::warn!(cut, "connections did not finish in time");
        }
        stop_driver.cancel();
        driver.await.context("the controller failed")?;
        serving.close().await;
        tracing::info!("stopped");
        Ok(())
    };
    tokio::select! {
        outcome = stop => outcome,
        () = signals.next() => Err(anyhow!("stopped before everything had finished")),
    }
}

/// `patience`: how long an answer, or the next piece of one, may take.
async fn client(patience: Duration) -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context(
        "no cluster is configured: set KUBECONFIG, or run in a pod with a service account (`ringhold local` needs no cluster)",
    )?;
    // Otherwise a connection that has died silently is waited for as long as TCP does.
    config.read_timeout = Some(patience);
    config.reset_reader_on_write = true;
    Client::try_from(config).context("can't set up the connection to the API server")
}

/// All of this machine's, of both families where it has both.
fn every_address() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    addresses
}
