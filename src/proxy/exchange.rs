//! What must happen when a response ends, however it ends: the lease is released, the connection pooled or cut, the
//! request counted, and the lane idle again. Tied to the body, because hyper drops that exactly then.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{StatusCode, Version};

use crate::proxy::body::{Fate, UploadFate};
use crate::proxy::connection::Lane;
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
    /// How the request's body goes on, if it had one.
    pub(super) upload: Option<UploadFate>,
    pub(super) finish: Finish,
}

/// The end of a response from the client's point of view. Counts on drop.
pub(super) struct Finish {
    pub(super) lane: Rc<Lane>,
    pub(super) metrics: Option<Arc<RouteMetrics>>,
    /// `None`: the client left before there was one.
    pub(super) status: Option<StatusCode>,
    pub(super) started: Instant,
    pub(super) version: Version,
    /// Whether the connection goes on to another request; an upgraded one does not.
    pub(super) goes_on: bool,
}

// === impl Exchange ===

impl Exchange {
    /// Bytes came from the replica.
    pub(super) fn on_frame(&self) {
        self.finish.lane.watch.on_move();
    }

    /// The whole response has come.
    pub(super) fn complete(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.replica.upstream.record_success();
            self.replica.give_back(sender, self.finish.lane.client.worker.tick());
        }
        self.lease = None;
    }

    /// It broke off in the middle: by the replica, unless we cut the connection because of the request's body.
    pub(super) fn on_break(&mut self) {
        self.sender = None;
        self.lease = None;
        let ours = self.upload.as_ref().is_some_and(|fate| matches!(fate.get(), Fate::TooLarge | Fate::Broken));
        if !ours {
            self.routed.metrics.broken_responses.add(1);
            self.finish.lane.client.worker.on_failure(&self.routed, &self.replica.upstream, Failure::Failed);
        }
        if self.finish.version < Version::HTTP_11 {
            // Such a client takes the connection's end for the response's.
            self.finish.lane.watch.mark_broken();
        }
    }
}

// === impl Finish ===

impl Drop for Finish {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.on_end(self.status, self.started.elapsed());
        }
        if self.goes_on {
            let client = &self.lane.client;
            self.lane.watch.enter(Phase::Idle, client.worker.idle(client.idle.get()));
        }
    }
}
