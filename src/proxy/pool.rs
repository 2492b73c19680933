//! Connections to replicas, kept for the next request: per worker and replica, last in first out, so that the warmest
//! is used and the rest can grow old.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::proxy::body::RequestBody;
use crate::proxy::errors::ForwardError;
use crate::proxy::metrics::Counter;
use crate::routes::{Upstream, Wire};
use crate::tls::ClientTls;

/// Idle connections that a worker keeps to one replica.
const MAX_IDLE: usize = 256;

/// Sends requests on one connection.
pub(super) type Sender = http1::SendRequest<RequestBody>;

/// One replica as one worker sees it.
pub(super) struct Replica {
    pub(super) upstream: Arc<Upstream>,
    /// How it is spoken with, on every connection here.
    pub(super) wire: Wire,
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

// === impl Replica ===

impl Replica {
    pub(super) fn new(upstream: Arc<Upstream>, wire: Wire, picks: Arc<Counter>) -> Self {
        Self { upstream, wire, picks, idle: RefCell::default(), retired: Cell::new(false) }
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

    /// A new connection, with TLS where that is wanted.
    ///
    /// # Errors
    /// There is none, or none in time, or the replica has not proved to be one.
    pub(super) async fn connect(&self, limit: Duration) -> Result<Sender, ForwardError> {
        let connecting = async {
            match &self.wire {
                Wire::Plain => speak(self.open().await?).await,
                // Rare, and large: whoever holds the request should not have to have room for it.
                Wire::Tls(tls) => Box::pin(self.open_secured(tls)).await,
                Wire::Unknown => Err(ForwardError::NoAuthorities),
            }
        };
        tokio::time::timeout(limit, connecting).await.unwrap_or(Err(ForwardError::ConnectTimeout))
    }

    async fn open(&self) -> Result<TcpStream, ForwardError> {
        let stream = TcpStream::connect(self.upstream.address).await.map_err(ForwardError::Connect)?;
        stream.set_nodelay(true).map_err(ForwardError::Connect)?;
        Ok(stream)
    }

    async fn open_secured(&self, tls: &ClientTls) -> Result<Sender, ForwardError> {
        let stream = self.open().await?;
        let handshake = TlsConnector::from(tls.config()).connect(tls.name(), stream);
        speak(handshake.await.map_err(ForwardError::ReplicaTls)?).await
    }
}

/// Speaks HTTP on this stream from now on.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, ForwardError> {
    let handshake = http1::Builder::new().handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|error| ForwardError::Connect(std::io::Error::other(error)))?;
    // How it ends is told to whoever awaits the response.
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(sender)
}
