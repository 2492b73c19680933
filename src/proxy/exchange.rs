//! What must happen when a response ends, however it ends: the lease is released, the connection pooled or cut, the
//! request counted, and the client's connection idle again. Tied to the body, because hyper drops that exactly then.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{StatusCode, Version};

use crate::proxy::connection::Client;
use crate::proxy::health::Failure;
use crate::proxy::metrics::RouteMetrics;
use crate::proxy::pool::{Replica, Sender};
use crate::proxy::routing::Routed;
use crate::proxy::watch::Phase;
use crate::routes::Lease;

/// A running exchange with a replica.
pub(super) struct Exchange {
    pub(super) routed: Rc<Routed>,
    pub(super) replica: Rc<Replica>,
    /// `None` once the response is complete and the connection is back in the pool.
    pub(super) sender: Option<Sender>,
    pub(super) lease: Option<Lease>,
    pub(super) finish: Finish,
}

/// The end of a response from the client's point of view. Counts on drop.
pub(super) struct Finish {
    pub(super) client: Rc<Client>,
    pub(super) metrics: Option<Arc<RouteMetrics>>,
    pub(super) status: StatusCode,
    pub(super) started: Instant,
    pub(super) version: Version,
    /// Whether the connection goes on to another request; an upgraded one does not.
    pub(super) goes_on: bool,
}

// === impl Exchange ===

impl Exchange {
    /// Bytes came from the replica.
    pub(super) fn on_frame(&self) {
        self.finish.client.watch.on_move();
    }

    /// The whole response has come.
    pub(super) fn complete(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.replica.give_back(sender, self.finish.client.worker.tick());
        }
        self.lease = None;
    }

    /// The replica broke off in the middle.
    pub(super) fn on_break(&mut self) {
        self.sender = None;
        self.lease = None;
        self.routed.metrics.broken_responses.add(1);
        self.finish.client.worker.on_failure(&self.routed, &self.replica.upstream, Failure::Failed);
        if self.finish.version < Version::HTTP_11 {
            // Such a client takes the connection's end for the response's.
            self.finish.client.watch.mark_broken();
        }
    }
}

// === impl Finish ===

impl Drop for Finish {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.on_response(self.status, self.started.elapsed());
        }
        if self.goes_on {
            self.client.watch.enter(Phase::Idle, self.client.idle.get());
        }
    }
}
