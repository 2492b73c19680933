//! One worker: a thread with a runtime, listeners, connections, pool and counters of its own. Nothing on a request's
//! way is shared with another worker but the replicas' in-flight counts.

mod drain;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::proxy::ProxyConfig;
use crate::proxy::accept::OpenPort;
use crate::proxy::balance::{Accepted, Workers};
use crate::proxy::complaints::Complaints;
use crate::proxy::connection::{self, Client};
use crate::proxy::health::{Failure, Health};
use crate::proxy::http1::HeadLimits;
use crate::proxy::key::Keys;
use crate::proxy::metrics::Shard;
use crate::proxy::pace::Rate;
use crate::proxy::pool::Replica;
use crate::proxy::routing::{Routed, Routing};
use crate::proxy::sight::Sights;
use crate::routes::{Reader, Route, Upstream};

/// How often the sweeper looks at the clock while there is anything to look after.
const SWEEP: Duration = Duration::from_millis(100);
/// How long a connection between requests is waited for when we stop: its client may be sending the next one just now,
/// which is answered with `Connection: close`, and nobody could repeat it if it were not.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// What the outside asks of a worker.
pub(super) enum Command {
    /// Accept here, for this port.
    Open { port: u16, listeners: Vec<TcpListener> },
    /// Stop accepting for this port; answered when its sockets are closed.
    Close { port: u16, done: oneshot::Sender<()> },
    /// Serve a connection that another worker has accepted.
    Adopt(Accepted),
    /// Stop; answers how many connections had to be cut at the deadline.
    Drain { deadline: Duration, cut: oneshot::Sender<usize> },
}

/// What a worker is given.
pub(super) struct Shared {
    pub(super) config: Arc<ProxyConfig>,
    pub(super) shard: Arc<Shard>,
    pub(super) health: Arc<Health>,
    pub(super) sights: Sights,
    pub(super) complaints: Arc<Complaints>,
    pub(super) workers: Workers,
}

/// What a worker's tasks share.
pub(super) struct Worker {
    pub(super) config: Arc<ProxyConfig>,
    pub(super) shard: Arc<Shard>,
    /// What clients have to move.
    client_rate: Option<Rate>,
    /// Requests that it has now.
    requests: Cell<usize>,
    pub(super) sights: Sights,
    pub(super) complaints: Arc<Complaints>,
    pub(super) workers: Workers,
    health: Arc<Health>,
    routing: RefCell<Routing>,
    connections: RefCell<HashMap<u64, Entry>>,
    next_id: Cell<u64>,
    draining: Cell<bool>,
    /// Sweeps so far.
    tick: Cell<u64>,
    started: Instant,
    /// A connection has come.
    busy: Notify,
    /// A connection has gone.
    gone: Notify,
}

struct Entry {
    client: Rc<Client>,
    task: AbortHandle,
}

/// Takes a connection off the list when its task ends, however it ends.
struct Registration {
    worker: Rc<Worker>,
    id: u64,
}

/// Runs a worker on the current thread's local runtime until it is told to stop.
pub(super) async fn run(shared: Shared, reader: Reader, mut commands: mpsc::UnboundedReceiver<Command>) {
    let worker = Rc::new(Worker::new(shared, reader.clone()));
    tokio::task::spawn_local(Rc::clone(&worker).sweep());
    tokio::task::spawn_local(Rc::clone(&worker).follow(reader));
    let mut ports: HashMap<u16, OpenPort> = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Open { port, listeners } => {
                ports.insert(port, OpenPort::open(&worker, port, listeners));
            }
            Command::Close { port, done } => {
                if let Some(port) = ports.remove(&port) {
                    port.close(&worker).await;
                }
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            Command::Adopt(accepted) => {
                let open = ports.get(&accepted.port);
                worker.adopt(accepted, open);
            }
            Command::Drain { deadline, cut } => {
                for (_, port) in ports.drain() {
                    port.close(&worker).await;
                }
                let _ = cut.send(worker.drain_beside(deadline, &mut commands).await);
                return;
            }
        }
    }
}

// === impl Worker ===

impl Worker {
    fn new(Shared { config, shard, health, sights, complaints, workers }: Shared, reader: Reader) -> Self {
        let client_rate = Rate::new(config.min_client_rate, SWEEP, config.min_client_rate_grace);
        let routing = RefCell::new(Routing::new(reader, Arc::clone(&shard), Arc::clone(&complaints)));
        Self {
            config,
            shard,
            client_rate,
            requests: Cell::default(),
            sights,
            complaints,
            workers,
            health,
            routing,
            connections: RefCell::default(),
            next_id: Cell::default(),
            draining: Cell::default(),
            tick: Cell::default(),
            started: Instant::now(),
            busy: Notify::new(),
            gone: Notify::new(),
        }
    }

    /// What heads may be, both ways.
    pub(super) fn head_limits(&self) -> HeadLimits {
        HeadLimits { bytes: self.config.max_header_bytes, fields: self.config.max_headers }
    }

    pub(super) fn is_tls(&self, port: u16) -> bool {
        self.routing.borrow_mut().is_tls(port)
    }

    pub(super) fn find(&self, port: u16, host: &str) -> Option<Rc<Routed>> {
        self.routing.borrow_mut().find(port, host)
    }

    pub(super) fn newer(&self, than: &Route) -> Option<Rc<Routed>> {
        self.routing.borrow_mut().newer(than)
    }

    pub(super) fn replica(&self, upstream: &Arc<Upstream>, routed: &Routed) -> Rc<Replica> {
        self.routing.borrow_mut().replica(upstream, routed)
    }

    /// How keys are hashed here, and whether anybody asks to see them.
    pub(super) fn keys(&self) -> Keys<'_> {
        Keys { hasher: &self.config.key_hasher, keep: self.sights.want_keys() }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// How long a connection may be idle that may otherwise be so for this long.
    pub(super) fn idle(&self, span: Duration) -> Duration {
        if self.is_draining() { span.min(IDLE_GRACE) } else { span }
    }

    pub(super) fn tick(&self) -> u64 {
        self.tick.get()
    }

    /// Seconds from this worker's start to a moment.
    pub(super) fn second_of(&self, moment: Instant) -> u64 {
        moment.duration_since(self.started).as_secs()
    }

    /// Seconds since this worker's start.
    pub(super) fn second(&self) -> u64 {
        self.second_of(Instant::now())
    }

    /// Whether one more connection may be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.connections.borrow().len() < self.config.max_connections_per_worker
    }

    /// Counts a request that has come. False if there are too many.
    pub(super) fn on_request(&self) -> bool {
        let requests = self.requests.get() + 1;
        self.requests.set(requests);
        self.config.max_requests_per_worker == 0 || requests <= self.config.max_requests_per_worker
    }

    /// A request is over.
    pub(super) fn on_request_end(&self) {
        self.requests.set(self.requests.get() - 1);
    }

    /// Returns after a connection has ended.
    pub(super) async fn room(&self) {
        self.gone.notified().await;
    }

    /// Counts a replica's failure, and sees to its return if that ejected it.
    pub(super) fn on_failure(&self, routed: &Routed, upstream: &Arc<Upstream>, failure: Failure) {
        let Some(span) = self.health.on_failure(&routed.route, upstream, failure) else { return };
        routed.metrics.ejections.add(1);
        tracing::warn!(fleet = %routed.route.id, replica = %upstream.name, seconds = span.as_secs(), "ejected");
        let (health, upstream) = (Arc::clone(&self.health), Arc::clone(upstream));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(span).await;
            health.on_timer(&upstream);
        });
    }

    /// Runs a connection's task, swept and drained with the others.
    pub(super) fn spawn(self: &Rc<Self>, client: &Rc<Client>, task: impl Future<Output = ()> + 'static) {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let registration = Registration { worker: Rc::clone(self), id };
        let task = tokio::task::spawn_local(async move {
            let _registration = registration;
            task.await;
        });
        let entry = Entry { client: Rc::clone(client), task: task.abort_handle() };
        if self.connections.borrow_mut().insert(id, entry).is_none() {
            self.busy.notify_one();
        }
    }

    /// Looks at the clock for everybody.
    async fn sweep(self: Rc<Self>) {
        let idle_sweeps = u64::try_from(self.config.upstream_idle_timeout.as_millis() / SWEEP.as_millis());
        let idle_sweeps = idle_sweeps.unwrap_or(u64::MAX);
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.tick.set(self.tick.get() + 1);
            for Entry { client, .. } in self.connections.borrow().values() {
                client.watch.sweep(now, self.client_rate);
                client.streams.sweep(now, self.client_rate);
            }
            self.sights.flush();
            let pooled = self.routing.borrow().expire(self.tick.get().saturating_sub(idle_sweeps));
            if !pooled && self.connections.borrow().is_empty() {
                self.busy.notified().await;
            }
        }
    }

    /// Lets go of what has left the table, even if no request comes that would notice.
    async fn follow(self: Rc<Self>, mut reader: Reader) {
        while reader.changed().await {
            self.routing.borrow_mut().prune();
        }
    }

    /// Serves a connection that another worker has accepted. If its port is no longer open, it gets one more answer.
    fn adopt(self: &Rc<Self>, Accepted { stream, peer, port, load }: Accepted, open: Option<&OpenPort>) {
        let withdrawn = open.map_or_else(|| Rc::new(Cell::new(true)), |open| Rc::clone(open.withdrawn()));
        // What can't be registered is broken; there is nobody to tell.
        if let Ok(stream) = TcpStream::from_std(stream) {
            connection::serve(self, stream, peer, port, &withdrawn, load);
        }
    }

    /// Has every connection look whether it is to close.
    pub(super) fn wake_all(&self) {
        for Entry { client, .. } in self.connections.borrow().values() {
            client.watch.wake();
        }
    }
}

// === impl Registration ===

impl Drop for Registration {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.id);
        self.worker.gone.notify_waiters();
        self.worker.gone.notify_one();
    }
}
