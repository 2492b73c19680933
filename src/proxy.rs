//! The data plane: from a client's request to the replica that its key belongs to, and back.
//!
//! One thread a core, each with a runtime, listeners, connection pool, counters and view of the route table of its
//! own (`worker`); what they share is written rarely (the table, ejections) or is what replicas are (in-flight
//! counts). A request's way: `connection` (`handshake`, `socket`, `http2`) → `service` → `host`, `key` → `forward` (`pool`, `retry`, `health`) →
//! `body`, `exchange`. Time is kept by `watch`.

mod accept;
mod access_log;
mod answer;
mod balance;
mod body;
mod complaints;
mod connection;
mod errors;
mod exchange;
mod forward;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod headers;
mod health;
mod host;
mod http1;
mod http2;
mod key;
mod listen;
mod message;
mod metrics;
mod origin;
mod outcome;
mod pace;
mod pool;
mod replica_stream;
mod retry;
mod routing;
mod service;
mod sight;
mod socket;
mod trace;
mod upgrade;
mod watch;
mod worker;

pub use access_log::{AccessLog, AccessLogFormat, LogTarget, Sample};
pub use errors::{ForwardError, REASON_HEADER, Reason};
pub use metrics::ProxyMetrics;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::join_all;
use ipnet::IpNet;
use opentelemetry_sdk::trace::SdkTracer;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::proxy::access_log::Writer;
use crate::proxy::balance::{Loads, Workers};
use crate::proxy::complaints::Complaints;
use crate::proxy::health::Health;
use crate::proxy::listen::Ports;
use crate::proxy::metrics::Shard;
use crate::proxy::sight::Sights;
use crate::proxy::worker::{Command, Shared};
use crate::ring::KeyHasher;
use crate::routes::{ListenRequest, Reader};

/// How the proxy runs: what belongs to the process and not to a LoadBalancer.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where every port is opened.
    pub addresses: Vec<IpAddr>,
    /// How many threads.
    pub workers: NonZeroUsize,
    /// Turns keys into what the ring takes.
    pub key_hasher: KeyHasher,
    /// Fields of a head; past it a request is a 431, a response a 502.
    pub max_headers: usize,
    /// Bytes of a head, and of a body's trailers; past it a request is a 431, a response a 502.
    pub max_header_bytes: usize,
    /// Bytes of a request's target; past it 414.
    pub max_target_bytes: usize,
    /// From a head's first byte to its last.
    pub header_read_timeout: Duration,
    /// For a client connection before its first request; afterwards its route's `timeouts.idle`.
    pub client_idle_timeout: Duration,
    /// Requests that a client may have open at one time on one connection of HTTP/2; more wait at the client.
    pub max_concurrent_streams: u32,
    /// How often a client is asked whether it is still there, where nothing else says so; HTTP/2 only.
    pub ping_interval: Duration,
    /// How long it may take to answer; then its connection is closed.
    pub ping_timeout: Duration,
    /// For a pooled connection to a replica. Below what servers use for theirs, so that we close first.
    pub upstream_idle_timeout: Duration,
    /// Proxies whose word about those behind them counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether replicas get `Forwarded` (RFC 7239), too.
    pub forwarded: bool,
    /// Connections that a worker serves at one time; more wait in the kernel's queue.
    pub max_connections_per_worker: usize,
    /// Of one client address on a worker, an IPv6 network of 64 bits being one; more are closed at once. 0: any number.
    /// Trusted proxies have as many as they like.
    pub max_connections_per_client: usize,
    /// Requests that a worker has at one time; more are a 503. 0: any number.
    pub max_requests_per_worker: usize,
    /// Requests on one HTTP/1 connection; the last is answered with `Connection: close`. 0: any number.
    pub max_requests_per_connection: u64,
    /// Bytes a second that a client has to move while it is waited for. 0: any number.
    pub min_client_rate: u32,
    /// So much of that is paid in advance.
    pub min_client_rate_grace: Duration,
    /// How long a tunnel may go on once we stop; it has no end of its own.
    pub tunnel_grace: Duration,
    /// How long a port that was asked for stays open though no table names it.
    pub port_grace: Duration,
    /// Length of a replica's first ejection; the second in a row is twice as long.
    pub ejection: Duration,
    /// `None`: requests are counted, and not logged.
    pub access_log: Option<AccessLog>,
    /// Makes spans of requests and their tries; `None`: a client's trace context passes through as it came.
    pub tracer: Option<SdkTracer>,
}

/// A running proxy. Dropping it cuts everything off; [`ProxyHandle::shutdown`] does it in order.
#[derive(Debug)]
pub struct ProxyHandle {
    workers: Vec<mpsc::UnboundedSender<Command>>,
    threads: Vec<JoinHandle<()>>,
    ports: tokio::task::JoinHandle<()>,
    metrics: ProxyMetrics,
    log: Option<Arc<Writer>>,
}

/// Starts the workers, and a task on the calling runtime that opens and closes ports.
///
/// # Errors
/// A thread or its runtime could not be made, or the access log could not be opened.
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(
    config: ProxyConfig,
    reader: Reader,
    listen_requests: mpsc::Receiver<ListenRequest>,
) -> io::Result<ProxyHandle> {
    let config = Arc::new(config);
    let (health, complaints) = (Arc::new(Health::new(config.ejection)), Arc::<Complaints>::default());
    let shards: Arc<[Arc<Shard>]> = (0..config.workers.get()).map(|_| Arc::default()).collect();
    let log = config.access_log.as_ref().map(|log| Writer::start(&log.target, config.workers.get()).map(Arc::new));
    let log = log.transpose()?;
    let mut threads = Vec::new();
    let (workers, inboxes): (Vec<_>, Vec<_>) = shards.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let loads = Loads::new(shards.len());
    for (index, (shard, inbox)) in shards.iter().zip(inboxes).enumerate() {
        let sights = Sights::new(access_log::of_worker(&config, shard, log.as_deref()), config.tracer.clone());
        let (config, shard, health) = (Arc::clone(&config), Arc::clone(shard), Arc::clone(&health));
        let all = Workers { loads: loads.clone(), own: index, inboxes: workers.clone() };
        let shared = Shared { config, shard, health, sights, complaints: Arc::clone(&complaints), workers: all };
        let reader = reader.clone();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("proxy-{index}")).spawn(move || {
            // A local runtime's tasks stay on its thread, so they need no locks between them.
            match runtime::Builder::new_current_thread().enable_all().build_local(runtime::LocalOptions::default()) {
                Ok(runtime) => {
                    let _ = ready.send(Ok(()));
                    runtime.block_on(worker::run(shared, reader, inbox));
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended at its start")))?;
        threads.push(thread);
    }
    let ports = Ports::new(config, workers.clone(), reader);
    let ports = tokio::spawn(ports.run(listen_requests));
    Ok(ProxyHandle { workers, threads, ports, metrics: ProxyMetrics::new(shards, loads, log.as_ref()), log })
}

// === impl ProxyConfig ===

impl ProxyConfig {
    /// Fields of a head, unless configured otherwise.
    pub const DEFAULT_MAX_HEADERS: usize = 100;
    /// Streams of a connection, unless configured otherwise.
    pub const DEFAULT_MAX_CONCURRENT_STREAMS: u32 = 100;

    /// The defaults: every IPv4 address, one worker for each core that the cgroup leaves us.
    #[must_use]
    pub fn new(key_hasher: KeyHasher) -> Self {
        Self {
            addresses: vec![Ipv4Addr::UNSPECIFIED.into()],
            workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            key_hasher,
            max_headers: Self::DEFAULT_MAX_HEADERS,
            max_header_bytes: 64 * 1024,
            max_target_bytes: 16 * 1024,
            header_read_timeout: Duration::from_secs(30),
            client_idle_timeout: Duration::from_secs(60),
            max_concurrent_streams: Self::DEFAULT_MAX_CONCURRENT_STREAMS,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            upstream_idle_timeout: Duration::from_secs(50),
            trusted_proxies: Vec::new(),
            forwarded: false,
            max_connections_per_worker: 65_536,
            max_connections_per_client: 0,
            max_requests_per_worker: 0,
            max_requests_per_connection: 0,
            min_client_rate: 16,
            min_client_rate_grace: Duration::from_secs(60),
            tunnel_grace: Duration::from_secs(5),
            port_grace: Duration::from_secs(10),
            ejection: Duration::from_secs(30),
            access_log: None,
            tracer: None,
        }
    }
}

// === impl ProxyHandle ===

impl ProxyHandle {
    /// What the proxy counts, for [`Registry::register_collector`](prometheus_client::registry::Registry).
    #[must_use]
    pub fn metrics(&self) -> ProxyMetrics {
        self.metrics.clone()
    }

    /// Has the access log's file opened anew when it is called; does nothing where there is none.
    pub fn reopen_log(&self) -> impl Fn() + Send + 'static {
        let log = self.log.clone();
        move || log.iter().for_each(|log| log.reopen())
    }

    /// Stops: accepts what is in the queue and nothing after it, closes idle connections, lets running requests finish,
    /// closes tunnels after a grace, and cuts what is left at the deadline. Returns how many connections had to be cut.
    pub async fn shutdown(mut self, deadline: Duration) -> usize {
        self.ports.abort();
        let workers = std::mem::take(&mut self.workers);
        let draining = workers.iter().filter_map(|worker| {
            let (cut, answer) = oneshot::channel();
            worker.send(Command::Drain { deadline, cut }).ok().map(|()| answer)
        });
        let cut = join_all(draining).await.into_iter().map(|cut| cut.unwrap_or(0)).sum();
        let threads = std::mem::take(&mut self.threads);
        let joined =
            tokio::task::spawn_blocking(|| threads.into_iter().filter_map(|thread| thread.join().err()).count());
        if joined.await.is_ok_and(|panicked| panicked > 0) {
            tracing::error!("a worker panicked");
        }
        if let Some(log) = &self.log {
            log.finish().await;
        }
        cut
    }
}

impl Drop for ProxyHandle {
    fn drop(&mut self) {
        // It holds senders to the workers, which end when the last is gone.
        self.ports.abort();
    }
}
