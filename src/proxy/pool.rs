//! Connections to replicas, kept for the next request: per worker and replica, last in first out, so that the warmest
//! is used and the rest can grow old.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::proxy::errors::ForwardError;
use crate::proxy::http1::{Connection, HeadLimits};
use crate::proxy::metrics::Counter;
use crate::routes::Upstream;

/// Idle connections that a worker keeps to one replica.
const MAX_IDLE: usize = 256;

/// One replica as one worker sees it.
pub(super) struct Replica {
    pub(super) upstream: Arc<Upstream>,
    pub(super) picks: Arc<Counter>,
    idle: RefCell<Vec<Idle>>,
    /// The replica has left the table: nothing is kept any more.
    retired: Cell<bool>,
}

struct Idle {
    connection: Box<Connection<TcpStream>>,
    /// The worker's tick when it became idle.
    since: u64,
}

// === impl Replica ===

impl Replica {
    pub(super) fn new(upstream: Arc<Upstream>, picks: Arc<Counter>) -> Self {
        Self { upstream, picks, idle: RefCell::default(), retired: Cell::new(false) }
    }

    /// The connection used last, if one is left that can still be used.
    pub(super) fn check_out(&self) -> Option<Box<Connection<TcpStream>>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete.
    pub(super) fn give_back(&self, connection: Box<Connection<TcpStream>>, tick: u64) {
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

    /// A new connection.
    ///
    /// # Errors
    /// There is none, or none in time.
    pub(super) async fn connect(
        &self,
        heads: HeadLimits,
        limit: Duration,
    ) -> Result<Box<Connection<TcpStream>>, ForwardError> {
        let connecting = TcpStream::connect(self.upstream.address);
        let stream = match tokio::time::timeout(limit, connecting).await {
            Err(_elapsed) => return Err(ForwardError::ConnectTimeout),
            Ok(connected) => connected.map_err(ForwardError::Connect)?,
        };
        stream.set_nodelay(true).map_err(ForwardError::Connect)?;
        Ok(Connection::new(stream, heads))
    }
}
