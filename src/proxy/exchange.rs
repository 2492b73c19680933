//! What must happen when a response ends, however it ends: the lease is released, the connection pooled or cut, the
//! request counted, and the client's connection idle again. Tied to the body, because hyper drops that exactly then.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body::Frame;

use crate::proxy::body::{Fate, UploadFate};
use crate::proxy::connection::Client;
use crate::proxy::errors::Reason;
use crate::proxy::health::Failure;
use crate::proxy::metrics::RouteMetrics;
use crate::proxy::pool::{Replica, Sender};
use crate::proxy::routing::Routed;
use crate::proxy::sight::Sight;
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
    /// `None`: the client left before there was one.
    pub(super) status: Option<StatusCode>,
    pub(super) outcome: Outcome,
    /// How the request's body goes on, if it had one.
    pub(super) upload: Option<UploadFate>,
    /// Of the response's body.
    pub(super) bytes_out: u64,
    pub(super) started: Instant,
    pub(super) version: Version,
    /// Whether the connection goes on to another request; an upgraded one does not.
    pub(super) goes_on: bool,
    pub(super) sight: Sight,
}

/// How a response came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The client left, or was too slow, before it had all of it.
    Left,
    /// It was a replica's, and whole.
    Whole,
    /// It was ours.
    Own(Reason),
    /// The replica broke off in the middle.
    Broken,
}

/// All that is to be said of a request that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    /// Of bodies.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) took: Duration,
}

// === impl Exchange ===

impl Exchange {
    /// A piece came from the replica.
    pub(super) fn on_frame(&mut self, frame: &Frame<Bytes>) {
        self.finish.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.finish.client.watch.on_move();
    }

    /// The whole response has come.
    pub(super) fn complete(&mut self) {
        self.finish.outcome = Outcome::Whole;
        if let Some(sender) = self.sender.take() {
            self.replica.upstream.record_success();
            self.replica.give_back(sender, self.finish.client.worker.tick());
        }
        self.lease = None;
    }

    /// It broke off in the middle: by the replica, unless we cut the connection because of the request's body.
    pub(super) fn on_break(&mut self) {
        self.sender = None;
        self.lease = None;
        let ours = self.finish.upload.as_ref().is_some_and(|fate| matches!(fate.get(), Fate::TooLarge | Fate::Broken));
        if !ours {
            self.finish.outcome = Outcome::Broken;
            self.routed.metrics.broken_responses.add(1);
            self.finish.client.worker.on_failure(&self.routed, &self.replica.upstream, Failure::Failed);
        }
        if self.finish.version < Version::HTTP_11 {
            // Such a client takes the connection's end for the response's.
            self.finish.client.watch.mark_broken();
        }
    }
}

// === impl Outcome, Ended ===

impl Outcome {
    /// Why it is not simply a replica's whole answer.
    pub(super) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Left => Some("ClientGone"),
            Self::Whole => None,
            Self::Own(reason) => Some(reason.as_str()),
            Self::Broken => Some("BrokenResponse"),
        }
    }
}

impl Ended {
    /// What nginx writes where the client left before there was a status.
    const NO_STATUS: u16 = 499;

    /// Whether it is the service's failure.
    pub(super) fn is_failure(&self) -> bool {
        self.status >= 500 || self.outcome == Outcome::Broken
    }
}

// === impl Finish ===

impl Drop for Finish {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if let Some(metrics) = &self.metrics {
            metrics.on_end(self.status, took);
        }
        let status = self.status.map_or(Ended::NO_STATUS, |status| status.as_u16());
        let bytes_in = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        let ended = Ended { status, outcome: self.outcome, bytes_in, bytes_out: self.bytes_out, took };
        self.sight.end(&self.client, ended);
        if self.goes_on {
            self.client.watch.enter(Phase::Idle, self.client.worker.idle(self.client.idle.get()));
        }
    }
}
