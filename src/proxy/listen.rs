//! Ports: opened when the controller asks, closed when the table has stopped naming them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::proxy::ProxyConfig;
use crate::proxy::worker::Command;
use crate::routes::{ListenError, ListenRequest, Reader, RouteTable};

/// Connections that the kernel holds for a worker that is busy.
const BACKLOG: i32 = 4096;

/// Opens and closes ports on all workers.
pub(super) struct Ports {
    pub(super) config: Arc<ProxyConfig>,
    pub(super) workers: Vec<mpsc::UnboundedSender<Command>>,
    pub(super) reader: Reader,
    open: BTreeMap<u16, OpenPort>,
}

/// What decides when an open port closes.
struct OpenPort {
    /// A table has named it.
    named: bool,
    /// It was asked for once only.
    sole: bool,
    /// Somebody may be about to name it, so until then it stays open whatever the tables say.
    held_until: Instant,
}

// === impl Ports ===

impl Ports {
    pub(super) fn new(config: Arc<ProxyConfig>, workers: Vec<mpsc::UnboundedSender<Command>>, reader: Reader) -> Self {
        Self { config, workers, reader, open: BTreeMap::new() }
    }

    /// Serves requests and follows the table until both ends are gone.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<ListenRequest>) {
        let mut changes = self.reader.clone();
        let (mut asked, mut published) = (true, true);
        while asked || published {
            let due = self.next_close();
            tokio::select! {
                request = requests.recv(), if asked => match request {
                    Some(ListenRequest { port, reply }) => {
                        // First what has been published already, or an old withdrawal would close the new port.
                        self.follow().await;
                        // Whoever asked may have left.
                        let _ = reply.send(self.listen(port));
                    }
                    None => asked = false,
                },
                changed = changes.changed(), if published => {
                    published = changed;
                    self.follow().await;
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.follow().await;
                }
            }
        }
    }

    fn listen(&mut self, port: u16) -> Result<(), ListenError> {
        let held_until = Instant::now() + self.config.port_grace;
        if let Some(open) = self.open.get_mut(&port) {
            // Perhaps for another LoadBalancer, which is published after the one that names it now has gone.
            (open.sole, open.held_until) = (false, held_until);
            return Ok(());
        }
        let mut sockets = Vec::with_capacity(self.workers.len());
        for address in &self.config.addresses {
            let error = |error: io::Error| match error.kind() {
                io::ErrorKind::AddrInUse => ListenError::InUse { port },
                _ => ListenError::Refused { port, message: error.to_string() },
            };
            // Sockets that share a port let in anybody's who shares too: so first see that nobody has it.
            drop(bind(*address, port, Sharing::Exclusive).map_err(error)?);
            let shared = (0..self.workers.len()).map(|_| bind(*address, port, Sharing::BetweenWorkers));
            sockets.push(shared.collect::<io::Result<Vec<TcpListener>>>().map_err(error)?);
        }
        for worker in &self.workers {
            let listeners = sockets.iter_mut().filter_map(Vec::pop).collect();
            worker.send(Command::Open { port, listeners }).map_err(|_| ListenError::ShuttingDown)?;
        }
        tracing::info!(port, "listening");
        self.open.insert(port, OpenPort { named: false, sole: true, held_until });
        Ok(())
    }

    /// When the next port closes unless a table names it.
    fn next_close(&mut self) -> Option<Instant> {
        let table = Arc::clone(self.reader.table());
        let unnamed = self.open.iter().filter(|(port, _)| !is_named(&table, **port));
        unnamed.map(|(_, open)| open.held_until).min()
    }

    /// Closes the ports that the newest table does not name and nobody has asked for lately.
    async fn follow(&mut self) {
        let table = Arc::clone(self.reader.table());
        let mut withdrawn = Vec::new();
        let now = Instant::now();
        self.open.retain(|port, open| {
            let is_named = is_named(&table, *port);
            if is_named && !open.named {
                open.named = true;
                if open.sole {
                    // By whoever asked: nobody else is expected.
                    open.held_until = now;
                }
            }
            let keep = is_named || now < open.held_until;
            if !keep {
                withdrawn.push(*port);
            }
            keep
        });
        for port in withdrawn {
            let closing: Vec<_> = self
                .workers
                .iter()
                .filter_map(|worker| {
                    let (done, closed) = oneshot::channel();
                    worker.send(Command::Close { port, done }).ok().map(|()| closed)
                })
                .collect();
            // All of them, because opening the port again needs it free.
            for closed in closing {
                let _ = closed.await;
            }
            tracing::info!(port, "closed");
        }
    }
}

fn is_named(table: &RouteTable, port: u16) -> bool {
    table.ports().any(|named| named == port)
}

/// Who else may bind the same port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    BetweenWorkers,
}

fn bind(address: IpAddr, port: u16, sharing: Sharing) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Old connections in TIME_WAIT do not keep a port; a listening socket does.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if sharing == Sharing::BetweenWorkers {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if sharing == Sharing::BetweenWorkers {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}
