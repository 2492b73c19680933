//! From a key's hash to a replica's response head: pick, connect, send, and try elsewhere where that is safe.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::header::HOST;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::model::{Ordinal, Timeouts};
use crate::proxy::body::{Fate, RequestBody, UploadFate};
use crate::proxy::connection::Lane;
use crate::proxy::errors::ForwardError;
use crate::proxy::health::Failure;
use crate::proxy::metrics::Kind;
use crate::proxy::pool::{Replica, Sender};
use crate::proxy::retry::is_idempotent;
use crate::proxy::routing::Routed;
use crate::proxy::watch::Phase;
use crate::routes::{Lease, Pick, Upstream};

/// A replica's answer, with everything that has to live as long as its body.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) replica: Rc<Replica>,
    pub(super) sender: Sender,
    /// How the request's body goes on, if it had one.
    pub(super) upload: Option<UploadFate>,
}

/// A try that brought no response.
struct Failed {
    error: ForwardError,
    /// Whether the replica may have had the request. If not, [`Tries::request`] has it back.
    sent: bool,
}

/// One request's tries.
struct Tries<'r> {
    lane: &'r Lane,
    routed: &'r mut Rc<Routed>,
    hash: u64,
    /// `None` while it is on its way. In one place from beginning to end: a head is a few hundred bytes to move.
    request: Option<Request<RequestBody>>,
    fate: Option<UploadFate>,
    /// May be sent again though a replica had it.
    repeatable: bool,
    /// So often it was.
    repeats: u32,
    connect_timeouts: u32,
    /// Why it is sent once more, until it is.
    again: Option<Kind>,
    /// It could have been repeated but for the budget.
    is_over_budget: bool,
    /// Without Host, as HTTP/1.0 allows: gets the replica's address, for it is sent as HTTP/1.1.
    lacks_host: bool,
    failed: Vec<Arc<Upstream>>,
    tried: Vec<Ordinal>,
}

/// Sends the request to the key's replica, or to the next candidate that can take it.
///
/// # Errors
/// No replica answered; the error of the last one that was tried.
pub(super) async fn forward(
    lane: &Lane,
    routed: &mut Rc<Routed>,
    hash: u64,
    request: Request<RequestBody>,
) -> Result<Answer, ForwardError> {
    let attempts = routed.route.policy.retries.attempts;
    let repeatable = attempts > 0 && matches!(request.body(), RequestBody::Empty) && is_idempotent(request.method());
    if repeatable {
        lane.replay.borrow_mut().record(&request);
    }
    let mut tries = Tries {
        lane,
        routed,
        hash,
        fate: request.body().fate(),
        lacks_host: !request.headers().contains_key(HOST),
        request: Some(request),
        repeatable,
        repeats: 0,
        connect_timeouts: 0,
        again: None,
        is_over_budget: false,
        failed: Vec::new(),
        tried: Vec::new(),
    };
    let answer = tries.run().await;
    if repeatable {
        lane.replay.borrow_mut().clear();
    }
    answer
}

// === impl Tries ===

impl Tries<'_> {
    async fn run(&mut self) -> Result<Answer, ForwardError> {
        let mut last = None;
        loop {
            let Pick { lease, first, despite } = match self.routed.route.pick(self.hash, &self.tried) {
                Ok(pick) => pick,
                Err(_) if self.refresh() => continue,
                Err(error) => return Err(last.unwrap_or_else(|| error.into())),
            };
            let replica = self.lane.client.worker.replica(lease.upstream(), &self.routed.metrics);
            replica.picks.add(1);
            self.routed.metrics.on_pick(first, despite);
            self.count_again();
            let Failed { error, sent } = match self.on_replica(&replica).await {
                Ok((response, sender)) => {
                    let upload = self.fate.take();
                    return Ok(Answer { response, lease, replica, sender, upload });
                }
                Err(failed) => failed,
            };
            self.lane.client.worker.on_failure(self.routed, &replica.upstream, blame(&error));
            let goes_on = if sent { self.repeat(&error) } else { self.go_elsewhere(&error) };
            if !goes_on {
                return Err(error);
            }
            self.tried.push(replica.upstream.ordinal);
            self.failed.push(Arc::clone(&replica.upstream));
            // The replica may have failed because its time was over.
            self.refresh();
            last = Some(error);
        }
    }

    /// Tries one replica: on a pooled connection where there is one, else on a new one.
    async fn on_replica(&mut self, replica: &Replica) -> Result<(Response<Incoming>, Sender), Failed> {
        let timeouts = self.routed.route.policy.timeouts;
        while let Some(sender) = replica.check_out() {
            self.lane.client.worker.shard.upstream_reused.add(1);
            match self.send(sender, replica, &timeouts).await {
                Err(Failed { sent: false, .. }) => {}
                // A replica may close what is idle at any time, so a break there says nothing about it; and its keys
                // should not wander for that. So this once the same replica is asked again, on a new connection.
                Err(Failed { error, .. }) if self.repeat(&error) => {
                    self.count_again();
                    replica.expire(u64::MAX);
                }
                done => return done,
            }
        }
        self.lane.client.worker.shard.upstream_new.add(1);
        match replica.connect(timeouts.connect).await {
            Ok(sender) => self.send(sender, replica, &timeouts).await,
            Err(error) => Err(Failed { error, sent: false }),
        }
    }

    async fn send(
        &mut self,
        mut sender: Sender,
        replica: &Replica,
        timeouts: &Timeouts,
    ) -> Result<(Response<Incoming>, Sender), Failed> {
        let watch = &self.lane.watch;
        match &self.fate {
            Some(fate) if fate.get() != Fate::Done => watch.enter(Phase::Upload, timeouts.idle),
            _ => watch.enter(Phase::Await, timeouts.response_header),
        }
        let sent = {
            let mut request = self.request.take().expect("a request that was sent is rebuilt before it is sent again");
            if self.lacks_host {
                let host = HeaderValue::from_maybe_shared(replica.upstream.address.to_string());
                request.headers_mut().insert(HOST, host.expect("addresses are written in visible ASCII"));
            }
            let mut sending = pin!(sender.try_send_request(request));
            poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Pending if watch.is_expired() => Poll::Ready(None),
                polled => polled.map(Some),
            })
            .await
        };
        match sent {
            Some(Ok(response)) => Ok((response, sender)),
            Some(Err(mut error)) => {
                self.request = error.take_message();
                Err(Failed { error: self.classify(error.into_error()), sent: self.request.is_none() })
            }
            None => Err(Failed { error: self.overdue(), sent: true }),
        }
    }

    fn classify(&self, error: hyper::Error) -> ForwardError {
        match self.fate.as_ref().map(|fate| fate.get()) {
            Some(Fate::TooLarge) => ForwardError::BodyTooLarge,
            Some(Fate::Broken) => ForwardError::BrokenBody,
            _ if error.is_parse() => ForwardError::BadResponse,
            _ => ForwardError::Reset(error),
        }
    }

    fn overdue(&self) -> ForwardError {
        match self.fate.as_ref().map(|fate| fate.get()) {
            Some(Fate::AwaitsClient) => ForwardError::RequestTimeout,
            _ => ForwardError::ResponseTimeout,
        }
    }

    /// Whether a request that nobody had goes to another replica. Refused connections cost nothing, so they may walk
    /// all candidates; timeouts add up.
    fn go_elsewhere(&mut self, error: &ForwardError) -> bool {
        self.connect_timeouts += u32::from(matches!(error, ForwardError::ConnectTimeout));
        let goes_on = self.connect_timeouts <= self.routed.route.policy.retries.attempts;
        if goes_on {
            self.again = Some(Kind::Unsent);
        }
        goes_on
    }

    /// Has the request ready once more, if a replica that had it may have it again, or another one.
    fn repeat(&mut self, error: &ForwardError) -> bool {
        let retries = self.routed.route.policy.retries;
        let may = self.repeatable && matches!(error, ForwardError::Reset(_)) && self.repeats < retries.attempts;
        if !may || self.is_over_budget {
            return false;
        }
        if !self.routed.budget.withdraw(self.lane.client.worker.second(), retries.budget_percent) {
            self.is_over_budget = true;
            self.routed.metrics.retries_over_budget.add(1);
            return false;
        }
        self.repeats += 1;
        self.again = Some(Kind::Repeated);
        self.request = self.lane.replay.borrow().rebuild();
        self.request.is_some()
    }

    /// Counts that the request goes out once more, if it does.
    fn count_again(&mut self) {
        if let Some(kind) = self.again.take() {
            self.routed.metrics.on_retry(kind);
        }
    }

    /// Goes on with a newer table, where there is one: a pick that failed, or a replica that did, may just have met a swap.
    fn refresh(&mut self) -> bool {
        let Some(newer) = self.lane.client.worker.newer(&self.routed.route) else { return false };
        *self.routed = newer;
        // An ordinal with another replica by now is a candidate again.
        let seats = self.routed.route.seats();
        let still_there = |failed: &&Arc<Upstream>| {
            seats.iter().any(|seat| seat.upstream.as_ref().is_some_and(|upstream| Arc::ptr_eq(upstream, failed)))
        };
        self.tried = self.failed.iter().filter(still_there).map(|upstream| upstream.ordinal).collect();
        true
    }
}

fn blame(error: &ForwardError) -> Failure {
    match error {
        ForwardError::Connect(error) => Failure::of_connect(error),
        ForwardError::ConnectTimeout
        | ForwardError::Reset(_)
        | ForwardError::BadResponse
        | ForwardError::ResponseTimeout => Failure::Failed,
        ForwardError::NoReplica
        | ForwardError::Full
        | ForwardError::RequestTimeout
        | ForwardError::BodyTooLarge
        | ForwardError::BrokenBody => Failure::NotTheirs,
    }
}
