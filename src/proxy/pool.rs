//! Connections to replicas, kept for the next request: per worker and replica, last in first out, so that the warmest
//! is used and the rest can grow old.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::proxy::body::RequestBody;
use crate::proxy::errors::ForwardError;
use crate::proxy::metrics::Counter;
use crate::proxy::replica_io::{Allowance, ReplicaIo};
use crate::routes::Upstream;

/// Idle connections that a worker keeps to one replica.
const MAX_IDLE: usize = 256;

/// Sends requests on one connection.
pub(super) struct Sender {
    requests: http1::SendRequest<RequestBody>,
    allowance: Arc<Allowance>,
}

/// One replica as one worker sees it.
pub(super) struct Replica {
    pub(super) upstream: Arc<Upstream>,
    pub(super) picks: Arc<Counter>,
    idle: RefCell<Vec<Idle>>,
    /// The replica has left the table: nothing is kept any more.
    retired: Cell<bool>,
}

struct Idle {
    sender: Sender,
    /// The worker's tick when it became idle.
    since: u64,
}

// === impl Sender ===

impl Sender {
    /// Sends a request and awaits the head of its answer. An error has the request in it if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.allowance.limit();
        let response = self.requests.try_send_request(request).await?;
        self.allowance.lift();
        Ok(response)
    }

    /// Whether the replica has sent more than any answer's beginning.
    pub(super) fn is_flooded(&self) -> bool {
        self.allowance.is_spent()
    }

    fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

// === impl Replica ===

impl Replica {
    pub(super) fn new(upstream: Arc<Upstream>, picks: Arc<Counter>) -> Self {
        Self { upstream, picks, idle: RefCell::default(), retired: Cell::new(false) }
    }

    /// The connection used last, if one is left that can still be used.
    pub(super) fn check_out(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, .. }) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete. One that still has something to send or read is dropped, and
    /// thereby closed.
    pub(super) fn give_back(&self, sender: Sender, tick: u64) {
        if self.retired.get() || !sender.is_ready() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, since: tick });
        }
    }

    /// Drops what has been idle since before this tick, and what has closed meanwhile.
    pub(super) fn expire(&self, before: u64) {
        self.idle.borrow_mut().retain(|idle| idle.since >= before && !idle.sender.is_closed());
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
    }

    /// A new connection.
    ///
    /// # Errors
    /// There is none, or none in time.
    pub(super) async fn connect(&self, http1: &http1::Builder, limit: Duration) -> Result<Sender, ForwardError> {
        let connecting = TcpStream::connect(self.upstream.address);
        let stream = match tokio::time::timeout(limit, connecting).await {
            Err(_elapsed) => return Err(ForwardError::ConnectTimeout),
            Ok(connected) => connected.map_err(ForwardError::Connect)?,
        };
        stream.set_nodelay(true).map_err(ForwardError::Connect)?;
        let allowance = Arc::default();
        let handshake = http1.handshake(TokioIo::new(ReplicaIo::new(stream, &allowance)));
        let (requests, connection) =
            handshake.await.map_err(|error| ForwardError::Connect(std::io::Error::other(error)))?;
        // How it ends is told to whoever awaits the response.
        tokio::task::spawn_local(connection.with_upgrades());
        Ok(Sender { requests, allowance })
    }
}
