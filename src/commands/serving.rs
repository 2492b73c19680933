//! What every long-running command has: the proxy's workers, the admin server, and readiness between them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{self, AdminState, Readiness, RouteMetrics};
use crate::args::{ProcessArgs, ProxyArgs};
use crate::proxy::{self, ProxyConfig, ProxyHandle};
use crate::ring::KeyHasher;
use crate::routes::{ListenRequest, Reader, Requests};
use crate::shutdown::{Rotations, Shutdown};
use crate::telemetry::traces::Traces;

/// The admin server's clients have so long to finish once everything else has stopped.
const LAST_QUESTIONS: Duration = Duration::from_secs(1);

/// Ports are open, nothing is answered yet.
pub(super) struct Front {
    admin: TcpListener,
    proxy: Option<ProxyHandle>,
    reader: Reader,
    hasher: KeyHasher,
    rotations: Rotations,
    traces: Option<Traces>,
}

/// Everything answers.
pub(super) struct Serving {
    proxy: Option<ProxyHandle>,
    traces: Option<Traces>,
    readiness: watch::Sender<Readiness>,
    stop_admin: Shutdown,
    admin: JoinHandle<std::io::Result<()>>,
}

// === impl Front ===

impl Front {
    /// Binds the admin server and, where this process routes, starts the proxy.
    pub(super) async fn open(
        proxy: &ProxyArgs,
        process: &ProcessArgs,
        addresses: Vec<std::net::IpAddr>,
        reader: Reader,
        listen_requests: Option<tokio::sync::mpsc::Receiver<ListenRequest>>,
    ) -> anyhow::Result<Self> {
        let address = process.admin_address;
        let admin = TcpListener::bind(address)
            .await
            .with_context(|| format!("--admin-address: {address}: choose another address or stop what has it"))?;
        let rotations = Rotations::new().context("can't listen to signals")?;
        let hasher = KeyHasher::new(&proxy.hash_secret.0);
        // Who routes nothing has nothing to trace.
        let traces = listen_requests.as_ref().map(|_| proxy.traces.config().start()).transpose()?.flatten();
        let start = |requests| {
            let mut config = ProxyConfig::new(hasher);
            config.addresses = addresses;
            config.workers = proxy.workers.unwrap_or(config.workers);
            config.trusted_proxies.clone_from(&proxy.trusted_proxies);
            config.forwarded = proxy.forwarded;
            config.max_connections_per_client = proxy.max_connections_per_client;
            config.max_requests_per_worker = proxy.max_requests_per_worker;
            config.max_requests_per_connection = proxy.max_requests_per_connection;
            config.min_client_rate = proxy.min_client_rate;
            config.access_log = proxy.access_log.config();
            config.tracer = traces.as_ref().map(Traces::tracer);
            config.max_concurrent_streams = proxy.max_concurrent_streams;
            proxy::start(config, reader.clone(), requests).context("can't start the proxy")
        };
        let proxy = listen_requests.map(start).transpose()?;
        Ok(Self { admin, proxy, traces, reader, hasher, rotations })
    }

    /// Answers from now on; ready once `is_ready` turns true.
    pub(super) fn serve(
        self,
        mut registry: Registry,
        requests: Requests,
        mut is_ready: watch::Receiver<bool>,
    ) -> Serving {
        let Self { admin, proxy, traces, reader, hasher, rotations } = self;
        let reopen = proxy.as_ref().map(ProxyHandle::reopen_log);
        tokio::spawn(rotations.each(move || reopen.iter().for_each(|reopen| reopen())));
        if let Some(proxy) = &proxy {
            registry.register_collector(Box::new(proxy.metrics()));
        }
        if let Some(traces) = &traces {
            traces.register(&mut registry);
        }
        registry.register_collector(Box::new(RouteMetrics::new(reader.clone())));
        let (readiness, seen) = watch::channel(Readiness::Starting);
        let state = AdminState { reader, requests, hasher, registry: Arc::new(registry), readiness: seen };
        let stop_admin = Shutdown::new();
        let admin = tokio::spawn(admin::serve(admin, state, stop_admin.clone()));
        let announce = readiness.clone();
        tokio::spawn(async move {
            if is_ready.wait_for(|ready| *ready).await.is_ok() {
                let starts = |readiness: &Readiness| *readiness == Readiness::Starting;
                announce.send_if_modified(|now| {
                    starts(now) && std::mem::replace(now, Readiness::Ready) == Readiness::Starting
                });
            }
        });
        Serving { proxy, traces, readiness, stop_admin, admin }
    }
}

// === impl Serving ===

impl Serving {
    /// Returns if the admin server ends by itself.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        anyhow::anyhow!("the admin server ended by itself: {:?}", (&mut self.admin).await)
    }

    /// From here on we want nothing new.
    pub(super) fn drain(&self) {
        self.readiness.send_replace(Readiness::Draining);
    }

    /// Lets running requests finish; returns how many connections had to be cut.
    pub(super) async fn finish(&mut self, within: Duration) -> usize {
        let cut = match self.proxy.take() {
            Some(proxy) => proxy.shutdown(within).await,
            None => 0,
        };
        if let Some(traces) = self.traces.take() {
            traces.finish().await;
        }
        cut
    }

    /// Nobody can ask any more. Who has not finished asking by now does not matter.
    pub(super) async fn close(self) {
        self.stop_admin.cancel();
        drop(tokio::time::timeout(LAST_QUESTIONS, self.admin).await);
    }
}
