//! The clients: each kind is a task that asks again and again until it is told to stop.

mod http2;
mod leaving;
mod socket;
mod stalling;
mod staying;
mod uploads;
mod wire;

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::RwLock;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::ledger::{End, Kind, Ledger};
use crate::world::{GUEST, Ports, SECURE, STRAY, WEB};

use wire::{Head, Wire};

/// No request takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Keys that are asked for.
const KEYS: u32 = 5_000;

/// What all clients share.
pub(crate) struct Shared {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) ports: Ports,
    /// For HTTP/1 and for HTTP/2.
    pub(crate) tls: [Arc<ClientConfig>; 2],
    pub(crate) stop: AtomicBool,
    /// Held while a request to the guest runs, so that the guest can be removed in peace.
    pub(crate) peace: RwLock<()>,
    /// What went wrong that is no request's end.
    pub(crate) trouble: std::sync::Mutex<Vec<String>>,
}

/// The running clients.
pub(crate) struct Clients {
    pub(crate) shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// Where a client asks.
#[derive(Debug, Clone, Copy)]
struct Door {
    port: u16,
    host: &'static str,
    kind: Kind,
    tls: bool,
    http2: bool,
}

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type AnyWire = Wire<Box<dyn Stream>>;

/// A request that runs. Has an end exactly once.
struct Request<'s> {
    shared: &'s Shared,
    number: usize,
}

// === impl Clients ===

impl Clients {
    /// Starts them all.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let mut tasks = JoinSet::new();
        let Ports { web, secure, stray, .. } = shared.ports;
        let open = Door { port: web, host: WEB, kind: Kind::Safe, tls: false, http2: false };
        let closed = Door { port: secure, host: SECURE, tls: true, ..open };
        let guest = Door { host: GUEST, kind: Kind::Guest, ..open };
        let stray = Door { port: stray, host: STRAY, kind: Kind::Guest, ..open };
        let shared = || Arc::clone(shared);
        for _ in 0..12 {
            tasks.spawn(staying::kept(shared(), open));
        }
        for _ in 0..3 {
            tasks.spawn(staying::short(shared(), open));
            tasks.spawn(leaving::leaves(shared(), open));
            tasks.spawn(uploads::sends(shared(), open));
            tasks.spawn(staying::slow(shared(), open));
            tasks.spawn(socket::talks(shared(), open));
        }
        for door in [open, closed] {
            tasks.spawn(staying::pipelined(shared(), door));
            tasks.spawn(uploads::sends(shared(), door));
            tasks.spawn(staying::kept(shared(), door));
            tasks.spawn(staying::short(shared(), door));
            for _ in 0..2 {
                tasks.spawn(http2::shares(shared(), Door { http2: true, ..door }));
            }
        }
        for _ in 0..2 {
            tasks.spawn(stalling::stalls(shared(), closed));
        }
        for door in [guest, stray] {
            tasks.spawn(staying::kept(shared(), door));
            tasks.spawn(staying::short(shared(), door));
        }
        Self { shared: shared(), tasks }
    }

    /// Has each end its last request; returns when all have gone.
    pub(crate) async fn finish(mut self) -> Result<(), JoinError> {
        self.shared.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        Ok(())
    }
}

// === impl Shared ===

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    fn complain(&self, what: String) {
        self.trouble.lock().expect("nobody panics with it").push(what);
    }

    fn begin(&self, kind: Kind, reused: bool) -> Request<'_> {
        Request { shared: self, number: self.ledger.begin(kind, reused) }
    }

    /// A connection; `None` where there is none, which only those may meet whose door comes and goes.
    async fn connect(&self, door: Door) -> Option<AnyWire> {
        match timeout(PATIENCE, self.open(door)).await {
            Ok(Ok(stream)) => Some(Wire::new(stream)),
            Ok(Err(_)) if door.kind == Kind::Guest => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                None
            }
            Ok(Err(error)) => {
                self.complain(format!("no connection to {}: {error}", door.host));
                tokio::time::sleep(Duration::from_millis(20)).await;
                None
            }
            Err(_) => {
                self.complain(format!("no connection to {} in time", door.host));
                None
            }
        }
    }

    async fn open(&self, door: Door) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(("127.0.0.1", door.port)).await?;
        stream.set_nodelay(true)?;
        if !door.tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(door.host).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls[usize::from(door.http2)]));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

// === impl Request ===

impl Request<'_> {
    /// The head, with this path and these fields besides Host, the key and the number.
    fn head(&self, method: &str, host: &str, path: &str, fields: &str) -> String {
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: {host}\r\n", self.target(path));
        let (agent, key) = (self.agent(), fastrand::u32(..KEYS));
        let _ = write!(head, "User-Agent: {agent}\r\nX-User-Id: user-{key}\r\n{fields}\r\n");
        head
    }

    /// Says the number in the access log, which shows no values of a query that may be a key.
    fn agent(&self) -> String {
        format!("soak id={}", self.number)
    }

    /// The path with the number, for replicas.
    fn target(&self, path: &str) -> String {
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("{path}{sign}id={}", self.number)
    }

    fn end(self, end: End) {
        self.shared.ledger.end(self.number, end);
    }

    /// A whole answer.
    fn whole(self, status: u16, reason: Option<&str>) {
        let end = reason.map_or(End::Whole(status), |reason| self.shared.ledger.own(status, reason));
        self.end(end);
    }

    /// Reads the answer to what was sent; whether the connection can be used again.
    async fn answer(self, wire: &mut AnyWire, is_head: bool, length: Option<u64>) -> bool {
        let read = async {
            let head = match wire.head(is_head).await {
                Ok(Some(head)) => head,
                Ok(None) | Err(_) => return (End::Unanswered, false),
            };
            let Head { status, ref reason, closes, .. } = head;
            match (wire.body(&head).await, reason) {
                (Err(_), _) => (End::Broken, false),
                (Ok(_), Some(reason)) => (self.shared.ledger.own(status, reason), !closes),
                (Ok(got), None) => {
                    if status == 200 && length.is_some_and(|length| length != got) {
                        self.shared.complain(format!("{}: {got} bytes, not {length:?}", self.number));
                    }
                    (End::Whole(status), !closes)
                }
            }
        };
        let (end, goes_on) = timeout(PATIENCE, read).await.unwrap_or_else(|_| {
            self.shared.complain(format!("{}: no answer in time", self.number));
            (End::Left, false)
        });
        self.end(end);
        goes_on
    }
}
