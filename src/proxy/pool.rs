//! Connections to replicas, kept for the next request: per worker and replica, last in first out, so that the warmest
//! is used and the rest can grow old.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::proxy::errors::ForwardError;
use crate::proxy::http1::{Connection, HeadLimits};
use crate::proxy::metrics::Counter;
use crate::proxy::replica_stream::ReplicaStream;
use crate::routes::{Upstream, Wire};
use crate::tls::ClientTls;

/// Idle connections that a worker keeps to one replica.
const MAX_IDLE: usize = 256;

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
    connection: Box<Connection<ReplicaStream>>,
    /// The worker's tick when it became idle.
    since: u64,
}

// === impl Replica ===

impl Replica {
    pub(super) fn new(upstream: Arc<Upstream>, wire: Wire, picks: Arc<Counter>) -> Self {
        Self { upstream, wire, picks, idle: RefCell::default(), retired: Cell::new(false) }
    }

    /// The connection used last, if one is left that can still be used.
    pub(super) fn check_out(&self) -> Option<Box<Connection<ReplicaStream>>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete.
    pub(super) fn give_back(&self, connection: Box<Connection<ReplicaStream>>, tick: u64) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: tick });
        }
    }

    /// Drops what has been idle since before this tick, and what has closed meanwhile.
    pub(super) fn expire(&self, before: u64) {
        self.idle.borrow_mut().retain_mut(|idle| idle.since >= before && idle.connection.is_usable());
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
    pub(super) async fn connect(
        &self,
        heads: HeadLimits,
        limit: Duration,
    ) -> Result<Box<Connection<ReplicaStream>>, ForwardError> {
        let connecting = async {
            match &self.wire {
                Wire::Plain => self.open().await.map(ReplicaStream::Plain),
                // Rare, and large: whoever holds the request should not have to have room for it.
                Wire::Tls(tls) => Box::pin(self.open_secured(tls)).await,
                Wire::Unknown => Err(ForwardError::NoAuthorities),
            }
        };
        let stream = tokio::time::timeout(limit, connecting).await.unwrap_or(Err(ForwardError::ConnectTimeout))?;
        let is_buffered = matches!(stream, ReplicaStream::Secured(_));
        Ok(Connection::new(stream, is_buffered, heads))
    }

    async fn open(&self) -> Result<TcpStream, ForwardError> {
        let stream = TcpStream::connect(self.upstream.address).await.map_err(ForwardError::Connect)?;
        stream.set_nodelay(true).map_err(ForwardError::Connect)?;
        Ok(stream)
    }

    async fn open_secured(&self, tls: &ClientTls) -> Result<ReplicaStream, ForwardError> {
        let stream = self.open().await?;
        let handshake = TlsConnector::from(tls.config()).connect(tls.name(), stream);
        Ok(ReplicaStream::Secured(Box::new(handshake.await.map_err(ForwardError::ReplicaTls)?)))
    }
}
