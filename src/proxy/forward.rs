//! From a key's hash to a replica's response head: pick, connect, send, and try elsewhere where that is safe.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::HeaderValue;
use http::header::HOST;

use crate::model::{Ordinal, Timeouts};
use crate::proxy::answer::AnswerBody;
use crate::proxy::body::{BodyError, Fate, RequestBody, UploadFate};
use crate::proxy::connection::Lane;
use crate::proxy::errors::ForwardError;
use crate::proxy::headers;
use crate::proxy::health::Failure;
use crate::proxy::http1::{CallError, Connection};
use crate::proxy::message::{Request, Response};
use crate::proxy::metrics::Kind;
use crate::proxy::pool::{Replica, Sender, Stream};
use crate::proxy::replica_stream::ReplicaStream;
use crate::proxy::retry::is_idempotent;
use crate::proxy::routing::Routed;
use crate::proxy::sight::Sight;
use crate::proxy::watch::Phase;
use crate::routes::{Lease, Pick, Upstream, Wire};

/// A replica's answer, with everything that has to live as long as its body.
pub(super) struct Answer {
    pub(super) response: Response<AnswerBody>,
    pub(super) lease: Lease,
    pub(super) replica: Rc<Replica>,
}

/// A try that brought no response.
struct Failed {
    error: ForwardError,
    /// Whether the replica may have had the request. If not, its body is whole.
    sent: bool,
}

/// One request's tries. What is large stays where it is, for every step of a future would copy it.
struct Tries<'r, B> {
    lane: &'r Lane,
    routed: &'r mut Rc<Routed>,
    hash: u64,
    /// Its head.
    request: &'r mut Request<B>,
    /// Empty while it is on its way, and then it can't be sent again.
    body: RequestBody,
    fate: Option<UploadFate>,
    /// May be sent again though a replica had it.
    repeatable: bool,
    /// So often it was.
    repeats: u32,
    /// Tries that sent nothing and took long or much to find that out.
    costly_failures: u32,
    /// Why it is sent once more, until it is.
    again: Option<Kind>,
    /// It could have been repeated but for the budget.
    is_over_budget: bool,
    /// Without Host, as HTTP/1.0 allows: gets the replica's address, for it is sent as HTTP/1.1.
    lacks_host: bool,
    failed: Vec<Arc<Upstream>>,
    tried: Vec<Ordinal>,
    sight: &'r mut Sight,
}

/// Sends the request to the key's replica, or to the next candidate that can take it.
///
/// # Errors
/// No replica answered; the error of the last one that was tried.
pub(super) async fn forward<B>(
    lane: &Lane,
    routed: &mut Rc<Routed>,
    hash: u64,
    request: &mut Request<B>,
    body: RequestBody,
    sight: &mut Sight,
) -> Result<Answer, ForwardError> {
    let attempts = routed.route.policy.retries.attempts;
    let mut tries = Tries {
        lane,
        routed,
        hash,
        fate: body.fate(),
        lacks_host: !request.headers().contains_key(HOST),
        repeatable: attempts > 0 && matches!(body, RequestBody::Empty) && is_idempotent(request.method()),
        request,
        body,
        repeats: 0,
        costly_failures: 0,
        again: None,
        is_over_budget: false,
        failed: Vec::new(),
        tried: Vec::new(),
        sight,
    };
    tries.run().await
}

// === impl Tries ===

impl<B> Tries<'_, B> {
    async fn run(&mut self) -> Result<Answer, ForwardError> {
        let mut last = None;
        loop {
            // Nobody can be asked, so nobody is picked.
            if self.routed.route.wire == Wire::Unknown {
                if self.refresh() {
                    continue;
                }
                return Err(ForwardError::NoAuthorities);
            }
            let Pick { lease, first, despite } = match self.routed.route.pick(self.hash, &self.tried) {
                Ok(pick) => pick,
                Err(_) if self.refresh() => continue,
                Err(error) => return Err(last.unwrap_or_else(|| error.into())),
            };
            let replica = self.lane.client.worker.replica(lease.upstream(), self.routed);
            replica.picks.add(1);
            self.routed.metrics.on_pick(first, despite);
            self.sight.on_try(&replica.upstream, first);
            self.count_again();
            let Failed { error, sent } = match self.on_replica(&replica).await {
                Ok(response) => {
                    self.sight.on_answer(response.status());
                    return Ok(Answer { response, lease, replica });
                }
                Err(failed) => failed,
            };
            self.sight.on_failure(error.reason());
            let blame = blame(&error);
            if blame != Failure::NotTheirs {
                self.routed.complaints.on_try(&replica.upstream, &error);
            }
            self.lane.client.worker.on_failure(self.routed, &replica.upstream, blame);
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
    async fn on_replica(&mut self, replica: &Replica) -> Result<Response<AnswerBody>, Failed> {
        let (timeouts, protocol) = (self.routed.route.policy.timeouts, self.routed.route.policy.target_protocol);
        let mut is_refused = false;
        while let Some(sender) = replica.check_out(protocol) {
            self.lane.client.worker.shard.upstream_reused.add(1);
            match self.send(sender, replica, &timeouts).await {
                // Who goes away says so once; who refuses every stream has enough of them.
                Err(failed @ Failed { error: ForwardError::Refused(_), sent: false })
                    if std::mem::replace(&mut is_refused, true) =>
                {
                    return Err(failed);
                }
                Err(Failed { sent: false, .. }) => {}
                // A replica may close what is idle at any time, so a break there says nothing about it; and its keys
                // should not wander for that. So this once the same replica is asked again, on a new connection.
                Err(Failed { error, .. }) if self.repeat(&error) => {
                    self.count_again();
                    self.sight.on_failure(error.reason());
                    self.sight.on_try_again();
                    replica.expire(u64::MAX);
                }
                done => return done,
            }
        }
        let worker = &self.lane.client.worker;
        match replica.connect(protocol, self.lane.client.worker.head_limits(), timeouts.connect, &worker.shard).await {
            Ok(sender) => self.send(sender, replica, &timeouts).await,
            Err(error) => Err(Failed { error, sent: false }),
        }
    }

    async fn send(
        &mut self,
        sender: Sender,
        replica: &Replica,
        timeouts: &Timeouts,
    ) -> Result<Response<AnswerBody>, Failed> {
        let watch = &self.lane.watch;
        match &self.fate {
            Some(fate) if fate.get() != Fate::Done => watch.enter(Phase::Upload, timeouts.idle),
            _ => watch.enter(Phase::Await, timeouts.response_header),
        }
        if self.lacks_host {
            let host = HeaderValue::from_maybe_shared(replica.upstream.address.to_string());
            self.request.headers_mut().insert(HOST, host.expect("addresses are written in visible ASCII"));
        }
        self.sight.on_send(self.request.headers_mut());
        let body = std::mem::replace(&mut self.body, RequestBody::Empty);
        match sender {
            Sender::Http1(connection) => self.send_alone(connection, body).await,
            // Large, and no burden to who has none.
            Sender::Http2(stream) => Box::pin(self.send_on_stream(stream, replica, body)).await,
        }
    }

    async fn send_alone(
        &mut self,
        connection: Box<Connection<ReplicaStream>>,
        body: RequestBody,
    ) -> Result<Response<AnswerBody>, Failed> {
        let watch = &self.lane.watch;
        let mut call = connection.call(self.request, body);
        let answered = poll_fn(|cx| match call.poll_head(cx, |interim| self.lane.on_interim(interim)) {
            Poll::Pending if watch.is_expired() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        match answered.await {
            Some(Ok(head)) => {
                let mut spare = std::mem::take(self.request.headers_mut());
                spare.clear();
                Ok(call.into_response(head, spare).map(AnswerBody::Http1))
            }
            Some(Err(CallError::Unsent(error))) => {
                self.body = call.into_unsent();
                Err(Failed { error: ForwardError::Reset(error), sent: false })
            }
            Some(Err(error)) => Err(Failed { error: ForwardError::from(error), sent: true }),
            None => Err(Failed { error: self.overdue(), sent: true }),
        }
    }

    async fn send_on_stream(
        &mut self,
        mut stream: Stream,
        replica: &Replica,
        body: RequestBody,
    ) -> Result<Response<AnswerBody>, Failed> {
        let watch = &self.lane.watch;
        let mut sending = pin!(stream.send(headers::to_http2(self.request, replica.scheme(), body)));
        let answered = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Pending if watch.is_expired() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        match answered.await {
            Some(Ok(response)) if response.headers().len() > self.lane.client.worker.head_limits().fields => {
                Err(Failed { error: ForwardError::BadResponse, sent: true })
            }
            Some(Ok(response)) => {
                let mut response = Response::from(response);
                headers::from_http2(response.headers_mut());
                Ok(response.map(|incoming| AnswerBody::http2(incoming, stream)))
            }
            Some(Err(mut error)) => {
                let unsent = error.take_message().map(http::Request::into_body);
                let error = self.on_stream_error(error.into_error());
                // A refused request without a body is as good as never sent.
                let is_whole = unsent.is_some() || (self.fate.is_none() && matches!(error, ForwardError::Refused(_)));
                self.body = unsent.unwrap_or(RequestBody::Empty);
                Err(Failed { error, sent: !is_whole })
            }
            None => Err(Failed { error: self.overdue(), sent: true }),
        }
    }

    fn on_stream_error(&self, error: hyper::Error) -> ForwardError {
        match self.fate.as_ref().map(|fate| fate.get()) {
            Some(Fate::TooLarge) => ForwardError::BodyTooLarge,
            Some(Fate::Broken) => ForwardError::BrokenBody,
            _ if error.is_parse() => ForwardError::BadResponse,
            _ if is_refusal(&error) => ForwardError::Refused(io::Error::other(error)),
            _ => ForwardError::Reset(io::Error::other(error)),
        }
    }

    fn overdue(&self) -> ForwardError {
        match self.fate.as_ref().map(|fate| fate.get()) {
            Some(Fate::AwaitsClient) => ForwardError::RequestTimeout,
            _ => ForwardError::ResponseTimeout,
        }
    }

    /// Whether a request that nobody had goes to another replica. Refused connections cost nothing, so they may walk
    /// all candidates; timeouts and handshakes add up.
    fn go_elsewhere(&mut self, error: &ForwardError) -> bool {
        let is_costly = matches!(error, ForwardError::ConnectTimeout | ForwardError::ReplicaTls(_));
        self.costly_failures += u32::from(is_costly);
        let goes_on = self.costly_failures <= self.routed.route.policy.retries.attempts;
        if goes_on {
            self.again = Some(Kind::Unsent);
        }
        goes_on
    }

    /// Whether a replica that had the request may have it again, or another one.
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
        true
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

/// Whether the replica has not begun with the request: it refused the stream, or went away before it (RFC 9113 §8.7).
fn is_refusal(error: &hyper::Error) -> bool {
    let error = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

fn blame(error: &ForwardError) -> Failure {
    match error {
        ForwardError::Connect(error) => Failure::of_connect(error),
        ForwardError::ConnectTimeout
        | ForwardError::ReplicaTls(_)
        | ForwardError::Reset(_)
        | ForwardError::BadResponse
        | ForwardError::ResponseTimeout => Failure::Failed,
        ForwardError::NoAuthorities
        | ForwardError::NoReplica
        | ForwardError::Full
        | ForwardError::Refused(_)
        | ForwardError::RequestTimeout
        | ForwardError::BodyTooLarge
        | ForwardError::BrokenBody => Failure::NotTheirs,
    }
}

impl From<CallError> for ForwardError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unsent(error) | CallError::Broken(error) => Self::Reset(error),
            CallError::BadResponse => Self::BadResponse,
            CallError::Body(BodyError::TooLarge) => Self::BodyTooLarge,
            CallError::Body(BodyError::Broken(_)) => Self::BrokenBody,
        }
    }
}
