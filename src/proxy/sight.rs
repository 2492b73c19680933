//! What is noted of a request for those who look at it: the access log and traces. Where nobody looks, a sight is one word
//! that stays empty, and its hooks do nothing.

mod head;

pub(super) use head::Head;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use opentelemetry_sdk::trace::SdkTracer;

use crate::proxy::access_log::{Line, Log};
use crate::proxy::connection::Client;
use crate::proxy::errors::Reason;
use crate::proxy::key::{Concealed, Key};
use crate::proxy::message::{Fields, Request};
use crate::proxy::outcome::Ended;
use crate::proxy::routing::Routed;
use crate::proxy::trace::{Attempt, Parent, Told, Trace};
use crate::routes::{Upstream, Verdict};

/// Who looks at one worker's requests.
pub(super) struct Sights {
    log: Option<Log>,
    tracer: Option<SdkTracer>,
}

/// What is seen of one request. Ends with [`Sight::end`].
pub(super) struct Sight(Option<Box<Notes>>);

/// In a box, so that a request that nobody looks at carries a word of it.
struct Notes {
    began: Timestamp,
    /// Logged however it ends.
    sampled: bool,
    trace: Option<Trace>,
    /// The address of whoever asked, as text.
    source: HeaderValue,
    head: Head,
    routed: Option<Rc<Routed>>,
    key_source: Option<&'static str>,
    key: Option<Box<[u8]>>,
    tries: u32,
    /// The last try.
    last: Option<Try>,
    answered_after: Option<Duration>,
}

struct Try {
    began: Instant,
    upstream: Arc<Upstream>,
    /// What became of the key's first candidate.
    first: Verdict,
}

// === impl Sights ===

impl Sights {
    pub(super) fn new(log: Option<Log>, tracer: Option<SdkTracer>) -> Self {
        Self { log, tracer }
    }

    /// A request has come, from this address.
    pub(super) fn begin<B>(&self, request: &Request<B>, source: impl FnOnce() -> HeaderValue) -> Sight {
        if self.log.is_none() && self.tracer.is_none() {
            return Sight(None);
        }
        let sampled = self.log.as_ref().is_some_and(|log| log.config.sample.takes_one());
        let is_looked_at =
            sampled || self.tracer.is_some() || self.log.as_ref().is_some_and(|log| log.config.all_errors);
        Sight(is_looked_at.then(|| Box::new(Notes::new(request, source(), sampled, self.tracer.as_ref()))))
    }

    /// Whether somebody wants to see keys themselves.
    pub(super) fn want_keys(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.config.keys)
    }

    /// Lets go of what waits to be written.
    pub(super) fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
    }
}

// === impl Sight ===

impl Sight {
    /// The request belongs to this LoadBalancer.
    pub(super) fn on_route(&mut self, routed: &Rc<Routed>) {
        if let Some(notes) = &mut self.0 {
            notes.routed = Some(Rc::clone(routed));
        }
    }

    /// This is its key.
    pub(super) fn on_key(&mut self, key: &mut Key) {
        if let Some(notes) = &mut self.0 {
            notes.key_source = Some(key.source.as_str());
            notes.key = key.value.take();
        }
    }

    /// A try begins, at this replica.
    pub(super) fn on_try(&mut self, upstream: &Arc<Upstream>, first: Verdict) {
        if let Some(notes) = &mut self.0 {
            notes.begin_try(Arc::clone(upstream), first);
        }
    }

    /// Another begins, at the same one.
    pub(super) fn on_try_again(&mut self) {
        if let Some(notes) = &mut self.0
            && let Some(Try { upstream, first, .. }) = notes.last.take()
        {
            notes.begin_try(upstream, first);
        }
    }

    /// Its head is about to be sent.
    pub(super) fn on_send(&self, headers: &mut Fields) {
        if let Some(Notes { trace: Some(trace), .. }) = self.0.as_deref() {
            trace.sign(headers);
        }
    }

    /// It brought no answer.
    pub(super) fn on_failure(&mut self, reason: Reason) {
        if let Some(Notes { trace: Some(trace), .. }) = self.0.as_deref_mut() {
            trace.on_failure(reason.as_str());
        }
    }

    /// A response's head has come.
    pub(super) fn on_answer(&mut self, status: StatusCode) {
        if let Some(notes) = &mut self.0 {
            notes.answered_after = notes.last.as_ref().map(|last| last.began.elapsed());
            if let Some(trace) = &mut notes.trace {
                trace.on_answer(status.as_u16());
            }
        }
    }

    /// Moves on with what goes on after the response: a tunnel.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// The response is over.
    pub(super) fn end(&mut self, client: &Client, ended: &Ended) {
        let Some(mut notes) = self.0.take() else { return };
        if let (Some(routed), Some(latency)) = (&notes.routed, notes.answered_after) {
            routed.metrics.upstream_latency.get_or_init(Box::default).add(latency);
        }
        let trace = notes.trace.take();
        if let Some(log) = &client.worker.sights.log
            && (notes.sampled || (log.config.all_errors && ended.is_failure()))
        {
            let trace_id = trace.as_ref().map(Trace::id);
            log.write(&notes.line(ended, trace_id.as_deref(), log.config.keys));
        }
        if let Some(trace) = trace {
            trace.end(&notes.told(client), ended);
        }
    }
}

// === impl Notes ===

impl Notes {
    fn new<B>(request: &Request<B>, source: HeaderValue, sampled: bool, tracer: Option<&SdkTracer>) -> Self {
        let began = Timestamp::now();
        Self {
            began,
            sampled,
            trace: tracer.map(|tracer| Trace::begin(tracer, request, began.into())),
            source,
            head: Head::of(request),
            routed: None,
            key_source: None,
            key: None,
            tries: 0,
            last: None,
            answered_after: None,
        }
    }

    fn begin_try(&mut self, upstream: Arc<Upstream>, first: Verdict) {
        if let Some(trace) = &mut self.trace {
            let route = self.routed.as_ref().map(|routed| &*routed.route);
            trace.on_try(&Attempt { head: &self.head, route, upstream: &upstream, first, number: self.tries });
        }
        self.tries += 1;
        self.last = Some(Try { began: Instant::now(), upstream, first });
    }

    fn told<'a>(&'a self, client: &'a Client) -> Told<'a> {
        let route = self.routed.as_ref().map(|routed| &*routed.route);
        let text = |address: &'a HeaderValue| address.to_str().unwrap_or("");
        Told {
            head: &self.head,
            scheme: client.scheme(),
            source: text(&self.source),
            peer: text(client.origin.peer()),
            route,
            key_source: self.key_source,
        }
    }

    /// `trace`: ours, if there is one.
    fn line<'a>(&'a self, ended: &Ended, trace: Option<&'a str>, shows_keys: bool) -> Line<'a> {
        let Ended { status, outcome, bytes_in, bytes_out, took } = *ended;
        let route = self.routed.as_ref().map(|routed| &*routed.route);
        let conceals = if shows_keys { Concealed::Nothing } else { Concealed::of(route) };
        let last = self.last.as_ref();
        Line {
            time: self.began,
            client: self.source.to_str().unwrap_or(""),
            method: self.head.method.as_str(),
            host: self.head.host(),
            target: self.head.target(conceals),
            protocol: self.head.protocol(),
            status,
            reason: outcome.reason(),
            bytes_in,
            bytes_out,
            duration: took,
            upstream: self.answered_after,
            namespace: route.map(|route| &*route.id.namespace),
            load_balancer: route.map(|route| &*route.id.name),
            ordinal: last.map(|last| last.upstream.ordinal.0),
            replica: last.map(|last| last.upstream.name.as_str()),
            tries: self.tries,
            key_source: self.key_source,
            key: self.key.as_deref().filter(|_| shows_keys).map(String::from_utf8_lossy),
            first_candidate: last.map(|last| last.first.as_str()),
            user_agent: self.head.user_agent(),
            referer: self.head.referer(conceals),
            trace_id: trace.or_else(|| Some(Parent::parse(self.head.trace_parent())?.trace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_looked_at_costs_no_memory() {
        let sights = Sights::new(None, None);
        let request = Request::from(http::Request::get("/x?y=1").header("user-agent", "curl").body(()).unwrap());
        let source = HeaderValue::from_static("10.0.0.1");
        let mut headers = Fields::default();
        let counted = allocation_counter::measure(|| {
            let mut sight = std::hint::black_box(sights.begin(&request, || source.clone()));
            sight.on_try_again();
            sight.on_send(&mut headers);
            sight.on_failure(Reason::UpstreamReset);
            sight.on_answer(StatusCode::OK);
        });
        assert_eq!((counted.count_total, headers.len()), (0, 0));
    }
}
