//! One request's spans, where traces are exported: one for the request, and below it one for each try, whose id is what
//! the replica gets for its parent. Named and described by OpenTelemetry's conventions for HTTP.
//!
//! Where nobody exports them, a client's trace context passes through as it came.

mod parent;

pub(super) use parent::Parent;

use std::borrow::Cow;
use std::time::SystemTime;

use http::{HeaderName, Method};

use crate::proxy::message::{Fields, Request};
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use crate::proxy::key::Concealed;
use crate::proxy::outcome::{Ended, Outcome};
use crate::proxy::sight::Head;
use crate::routes::{Route, Upstream, Verdict, Wire};

/// The W3C's name for where a request belongs.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems carry along beside it.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Methods that a span may be called by: all others would make for names without end.
const METHODS: [Method; 8] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
];

/// What a client says is cut to so many bytes, or a queue of spans could hold a megabyte of heads for each dozen.
const MOST: usize = 1024;

/// A request's spans.
pub(super) struct Trace {
    tracer: SdkTracer,
    began: SystemTime,
    request: Span,
    /// The parent of tries.
    context: Context,
    /// The one that has no answer yet.
    attempt: Option<Span>,
    /// The client had none, or one that nobody can read; then its state belongs to nothing.
    is_root: bool,
}

/// A try.
pub(super) struct Attempt<'a> {
    pub(super) head: &'a Head,
    pub(super) route: Option<&'a Route>,
    pub(super) upstream: &'a Upstream,
    pub(super) first: Verdict,
    /// Tries before it.
    pub(super) number: u32,
}

/// What a request's span says of it at the end.
pub(super) struct Told<'a> {
    pub(super) head: &'a Head,
    pub(super) scheme: &'static str,
    /// Who asked, and the other side of the connection.
    pub(super) source: &'a str,
    pub(super) peer: &'a str,
    pub(super) route: Option<&'a Route>,
    pub(super) key_source: Option<&'static str>,
}

// === impl Trace ===

impl Trace {
    pub(super) fn begin<B>(tracer: &SdkTracer, request: &Request<B>, began: SystemTime) -> Self {
        let parent = Parent::of(request.headers()).and_then(|parent| parent.context(request.headers()));
        let is_root = parent.is_none();
        let context = Context::new();
        let context = match parent {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        let span = tracer.span_builder(name(request.method())).with_kind(SpanKind::Server).with_start_time(began);
        let span = tracer.build_with_context(span, &context);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        Self { tracer: tracer.clone(), began, request: span, context, attempt: None, is_root }
    }

    pub(super) fn id(&self) -> String {
        self.request.span_context().trace_id().to_string()
    }

    /// A try begins.
    pub(super) fn on_try(&mut self, attempt: &Attempt<'_>) {
        if self.request.is_recording() {
            let Attempt { head, .. } = attempt;
            let span = self.tracer.span_builder(name(&head.method)).with_kind(SpanKind::Client);
            let span = span.with_attributes(attempt.attributes());
            self.attempt = Some(self.tracer.build_with_context(span, &self.context));
        }
    }

    /// Makes this try, or the request where tries are not told of, the parent of what the replica does.
    pub(super) fn sign(&self, headers: &mut Fields) {
        let span = self.attempt.as_ref().unwrap_or(&self.request);
        if let Some(value) = parent::value(span.span_context()) {
            headers.insert(TRACEPARENT, value);
        }
        if self.is_root {
            headers.remove(TRACESTATE);
        }
    }

    /// The try brought no answer.
    pub(super) fn on_failure(&mut self, reason: &'static str) {
        if let Some(mut span) = self.attempt.take() {
            fail(&mut span, reason);
        }
    }

    /// It did.
    pub(super) fn on_answer(&mut self, status: u16) {
        if let Some(mut span) = self.attempt.take() {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
            if status >= 400 {
                fail(&mut span, status.to_string());
            }
        }
    }

    /// The response is over.
    pub(super) fn end(mut self, told: &Told<'_>, ended: &Ended) {
        self.on_failure(Outcome::Left.reason().unwrap_or_default());
        let span = &mut self.request;
        if !span.is_recording() {
            return;
        }
        told.attributes().for_each(|attribute| span.set_attribute(attribute));
        span.set_attribute(KeyValue::new("http.request.body.size", count(ended.bytes_in)));
        span.set_attribute(KeyValue::new("http.response.body.size", count(ended.bytes_out)));
        if ended.status != Ended::NO_STATUS {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(ended.status)));
        }
        match ended.outcome.reason() {
            Some(reason) if ended.is_failure() => fail(span, reason),
            Some(reason) => span.set_attribute(KeyValue::new("error.type", reason)),
            None if ended.is_failure() => fail(span, ended.status.to_string()),
            None => {}
        }
        span.end_with_timestamp(self.began + ended.took);
    }
}

// === impl Attempt, Told ===

impl Attempt<'_> {
    fn attributes(&self) -> Vec<KeyValue> {
        let Self { head, route, upstream, first, number } = self;
        let target = head.target(Concealed::of(*route));
        let is_plain = route.is_none_or(|route| route.wire == Wire::Plain);
        let scheme = if is_plain { "http" } else { "https" };
        let (address, host) = (upstream.address, upstream.address.ip().to_string());
        let mut attributes = vec![
            method(&head.method),
            KeyValue::new("url.full", cut(&format!("{scheme}://{address}{target}"))),
            KeyValue::new("server.address", host.clone()),
            KeyValue::new("server.port", i64::from(address.port())),
            KeyValue::new("network.peer.address", host),
            KeyValue::new("network.peer.port", i64::from(address.port())),
            KeyValue::new("ringhold.replica", upstream.name.as_str().to_owned()),
            KeyValue::new("ringhold.ordinal", i64::from(upstream.ordinal.0)),
            KeyValue::new("ringhold.first_candidate", first.as_str()),
        ];
        if *number > 0 {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(*number)));
        }
        attributes
    }
}

impl Told<'_> {
    fn attributes(&self) -> impl Iterator<Item = KeyValue> {
        let Self { head, scheme, source, peer, route, key_source } = self;
        let target = head.target(Concealed::of(*route));
        let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        let (host, user_agent) = (head.host(), head.user_agent());
        let (name, port) = split_port(&host);
        let version = head.protocol().trim_start_matches("HTTP/").trim_end_matches(".0");
        let named = |name: &'static str, value: &str| (!value.is_empty()).then(|| KeyValue::new(name, cut(value)));
        [
            Some(method(&head.method)),
            (!METHODS.contains(&head.method))
                .then(|| KeyValue::new("http.request.method_original", cut(head.method.as_str()))),
            named("url.path", path),
            query.and_then(|query| named("url.query", query)),
            Some(KeyValue::new("url.scheme", *scheme)),
            named("server.address", name),
            port.map(|port| KeyValue::new("server.port", i64::from(port))),
            named("client.address", source),
            named("network.peer.address", peer),
            named("network.protocol.version", if version == "1" { "1.0" } else { version }),
            named("user_agent.original", &user_agent),
            route.and_then(|route| named("ringhold.loadbalancer.namespace", &route.id.namespace)),
            route.and_then(|route| named("ringhold.loadbalancer.name", &route.id.name)),
            key_source.map(|source| KeyValue::new("ringhold.key.source", source)),
        ]
        .into_iter()
        .flatten()
    }
}

fn name(method: &Method) -> Cow<'static, str> {
    if METHODS.contains(method) { method.as_str().to_owned().into() } else { "HTTP".into() }
}

fn method(method: &Method) -> KeyValue {
    let known = METHODS.contains(method).then(|| method.as_str().to_owned());
    KeyValue::new("http.request.method", known.unwrap_or_else(|| "_OTHER".to_owned()))
}

fn split_port(host: &str) -> (&str, Option<u16>) {
    let split = host.rsplit_once(':').and_then(|(name, port)| Some((name, Some(port.parse().ok()?))));
    split.unwrap_or((host, None))
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MOST)].to_owned()
}

fn count(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn fail(span: &mut Span, kind: impl Into<Cow<'static, str>>) {
    span.set_attribute(KeyValue::new("error.type", kind.into()));
    span.set_status(Status::error(""));
}
