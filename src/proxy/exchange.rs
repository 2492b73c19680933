//! What must happen when a response ends, however it ends: the lease is released, the connection pooled or cut, the
//! request counted, and the lane idle again. Tied to the body, because hyper drops that exactly then.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body::Frame;
use tokio::time::timeout;

use crate::proxy::body::{Fate, UploadFate};
use crate::proxy::connection::Lane;
use crate::proxy::health::Failure;
use crate::proxy::http1::Connection;
use crate::proxy::metrics::RouteMetrics;
use crate::proxy::outcome::{Ended, Outcome};
use crate::proxy::pool::Replica;
use crate::proxy::replica_stream::ReplicaStream;
use crate::proxy::routing::Routed;
use crate::proxy::sight::Sight;
use crate::proxy::watch::Phase;
use crate::routes::Lease;

/// A running exchange with a replica.
pub(super) struct Exchange {
    pub(super) routed: Rc<Routed>,
    pub(super) replica: Rc<Replica>,
    pub(super) lease: Option<Lease>,
    pub(super) finish: Finish,
}

/// The end of a response from the client's point of view. Counts on drop.
pub(super) struct Finish {
    pub(super) lane: Rc<Lane>,
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

// === impl Exchange ===

impl Exchange {
    /// A piece came from the replica.
    pub(super) fn on_frame(&mut self, frame: &Frame<Bytes>) {
        self.finish.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.finish.lane.watch.on_move();
    }

    /// The worker's time.
    pub(super) fn tick(&self) -> u64 {
        self.finish.lane.client.worker.tick()
    }

    /// The whole response has come, and perhaps its connection is of further use.
    pub(super) fn complete(&mut self, connection: Option<Box<Connection<ReplicaStream>>>) {
        self.finish.outcome = Outcome::Whole;
        if self.lease.take().is_some() {
            self.replica.upstream.record_success();
        }
        if let Some(connection) = connection {
            self.replica.give_back(connection, self.tick());
        }
    }

    /// Hands on the rest of a request whose response is complete, for as long as it moves: nobody waits for it, and a
    /// replica that takes nothing would hold it for ever.
    pub(super) fn hand_on(&self, rest: impl Future<Output = ()> + 'static) {
        let limit = self.routed.route.policy.timeouts.idle;
        let upload = self.finish.upload.clone();
        // A stream's client has nobody who looks at its pace any more.
        let has_pace = !self.finish.lane.is_stream();
        tokio::task::spawn_local(async move {
            let mut rest = pin!(rest);
            let bytes = || upload.as_ref().map_or(0, |upload| upload.bytes());
            let mut before = bytes();
            while timeout(limit, &mut rest).await.is_err() && has_pace && bytes() != before {
                before = bytes();
            }
        });
    }

    /// It broke off in the middle: by the replica, unless we cut the connection because of the request's body.
    pub(super) fn on_break(&mut self) {
        self.lease = None;
        let ours = self.finish.upload.as_ref().is_some_and(|fate| matches!(fate.get(), Fate::TooLarge | Fate::Broken));
        if !ours {
            self.finish.outcome = Outcome::Broken;
            self.routed.complaints.on_break(&self.replica.upstream);
            self.routed.metrics.broken_responses.add(1);
            self.finish.lane.client.worker.on_failure(&self.routed, &self.replica.upstream, Failure::Failed);
        }
        if self.finish.version < Version::HTTP_11 {
            // Such a client takes the connection's end for the response's.
            self.finish.lane.watch.mark_broken();
        }
    }
}

impl Drop for Exchange {
    /// Whoever sees that it is overdue drops it. Where it was not the client who was waited for, the replica has fallen
    /// silent in the middle.
    fn drop(&mut self) {
        let watch = &self.finish.lane.watch;
        let is_overdue = watch.phase() == Phase::Stream && watch.is_expired();
        if self.lease.is_some() && is_overdue && !watch.awaits_client() {
            self.on_break();
        }
    }
}

// === impl Finish ===

impl Drop for Finish {
    fn drop(&mut self) {
        let client = &self.lane.client;
        client.worker.on_request_end();
        let status = self.status.map_or(Ended::NO_STATUS, |status| status.as_u16());
        let bytes_in = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        let (outcome, bytes_out, took) = (self.outcome, self.bytes_out, self.started.elapsed());
        let ended = Ended { status, outcome, bytes_in, bytes_out, took };
        match &self.metrics {
            Some(metrics) => metrics.on_end(&ended),
            None => client.worker.shard.unrouted.add(&ended),
        }
        self.sight.end(client, &ended);
        if self.goes_on {
            self.lane.watch.enter(Phase::Idle, client.worker.idle(client.idle.get()));
        }
    }
}
