//! Connections to replicas, kept for the next request: per worker and replica, last in first out, so that the warmest
//! is used and the rest can grow old. One of HTTP/1 has one exchange at a time; those of HTTP/2 are `shared`.

mod shared;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::shared::Shared;
pub(super) use self::shared::Stream;
use crate::model::TargetProtocol;
use crate::proxy::errors::ForwardError;
use crate::proxy::http1::{Connection, HeadLimits};
use crate::proxy::metrics::{Counter, Shard};
use crate::proxy::replica_stream::ReplicaStream;
use crate::routes::{Upstream, Wire};
use crate::tls::ClientTls;

/// Idle connections that a worker keeps to one replica.
const MAX_IDLE: usize = 256;

/// What a request is sent on.
pub(super) enum Sender {
    /// A connection of its own.
    Http1(Box<Connection<ReplicaStream>>),
    Http2(Stream),
}

/// One replica as one worker sees it.
pub(super) struct Replica {
    pub(super) upstream: Arc<Upstream>,
    /// How it is spoken with, on every connection here.
    pub(super) wire: Wire,
    pub(super) picks: Arc<Counter>,
    idle: RefCell<Vec<Idle>>,
    shared: Shared,
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
        let (idle, shared) = (RefCell::default(), Shared::default());
        Self { upstream, wire, picks, idle, shared, retired: Cell::new(false) }
    }

    /// The connection used last, if one is left that can still be used, or a stream of one.
    pub(super) fn check_out(&self, protocol: TargetProtocol) -> Option<Sender> {
        if protocol == TargetProtocol::Http2 {
            return self.shared.check_out().map(Sender::Http2);
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if connection.is_usable() {
                return Some(Sender::Http1(connection));
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
        self.shared.expire(before);
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty() || !self.shared.is_empty()
    }

    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.shared.clear();
    }

    /// A new connection, with TLS where that is wanted, or a stream of one.
    ///
    /// # Errors
    /// There is none, or none in time, or the replica has not proved to be one.
    pub(super) async fn connect(
        &self,
        protocol: TargetProtocol,
        heads: HeadLimits,
        limit: Duration,
        shard: &Shard,
    ) -> Result<Sender, ForwardError> {
        if protocol == TargetProtocol::Http2 {
            let opening = self.shared.connect(|| self.dial(protocol, limit), heads);
            // Rare, and large: whoever holds the request should not have to have room for it.
            let (stream, is_new) = Box::pin(opening).await?;
            if is_new { &shard.upstream_new } else { &shard.upstream_reused }.add(1);
            return Ok(Sender::Http2(stream));
        }
        shard.upstream_new.add(1);
        let stream = self.dial(protocol, limit).await?;
        let is_buffered = matches!(stream, ReplicaStream::Secured(_));
        Ok(Sender::Http1(Connection::new(stream, is_buffered, heads)))
    }

    async fn dial(&self, protocol: TargetProtocol, limit: Duration) -> Result<ReplicaStream, ForwardError> {
        let connecting = async {
            match &self.wire {
                Wire::Plain => self.open().await.map(ReplicaStream::Plain),
                // As rare, and as large.
                Wire::Tls(tls) => Box::pin(self.open_secured(tls, protocol)).await,
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

    async fn open_secured(&self, tls: &ClientTls, protocol: TargetProtocol) -> Result<ReplicaStream, ForwardError> {
        let stream = self.open().await?;
        let handshake = TlsConnector::from(tls.config(protocol)).connect(tls.name(), stream);
        let stream = handshake.await.map_err(ForwardError::ReplicaTls)?;
        // Who knows nothing of ALPN speaks HTTP/1.
        if protocol == TargetProtocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ForwardError::ReplicaTls(io::Error::other("the replica does not agree on h2")));
        }
        Ok(ReplicaStream::Secured(Box::new(stream)))
    }

    /// What requests are asked for by, where the protocol tells it.
    pub(super) fn scheme(&self) -> Scheme {
        match &self.wire {
            Wire::Plain | Wire::Unknown => Scheme::HTTP,
            Wire::Tls(_) => Scheme::HTTPS,
        }
    }
}
