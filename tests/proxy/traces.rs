//! Traces: what a collector gets, what replicas are told, and that nobody is told anything where none are exported.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prometheus_client::registry::Registry;
use prost::Message;
use ringhold::telemetry::traces::{Traces, TracesConfig};

use crate::support::{Client, Fixture, Replica, Response as Answer, get, refusing};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
pub(crate) const OK: u16 = 200;

/// A collector.
pub(crate) struct Collector {
    server: Replica,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

/// A span as far as it does not differ from run to run.
#[derive(Debug, PartialEq)]
struct Seen {
    name: String,
    kind: SpanKind,
    is_error: bool,
    attributes: BTreeMap<String, String>,
}

/// What the replica was told, by the mirror's answer.
struct Told {
    parent: Option<String>,
    state: Option<String>,
}

// === impl Collector ===

impl Collector {
    pub(crate) async fn answering(status: u16) -> Self {
        let requests = Arc::default();
        let taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>> = Arc::clone(&requests);
        let server = Replica::http(move |request: Request<Incoming>| {
            let taken = Arc::clone(&taken);
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                taken.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
                Response::builder().status(status).body(Full::new(Bytes::new())).unwrap()
            }
        });
        Self { server: server.await, requests }
    }

    pub(crate) fn traces(&self) -> Traces {
        traces(self.server.address)
    }

    /// All spans, the request's first, then its tries in order.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let scopes = requests.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
        let mut spans: Vec<Span> = scopes.flat_map(|spans| spans.spans.clone()).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

fn traces(collector: SocketAddr) -> Traces {
    let endpoint = Some(format!("http://{collector}"));
    TracesConfig { endpoint, ..TracesConfig::default() }.start().unwrap().unwrap()
}

async fn traced(addresses: &[SocketAddr], traces: &Traces) -> Fixture {
    Fixture::configured(addresses, |_| {}, |config| config.tracer = Some(traces.tracer())).await
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Seen, Told ===

impl Seen {
    fn new(span: &Span) -> Self {
        let text = |value: &Value| match value {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        let attributes = span
            .attributes
            .iter()
            .map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref().unwrap().value.as_ref().unwrap())));
        Self {
            name: span.name.clone(),
            kind: span.kind(),
            is_error: span.status.as_ref().unwrap().code == 2,
            attributes: attributes.collect(),
        }
    }
}

impl Told {
    fn by(answer: &Answer) -> Self {
        let field = |name: &str| {
            let values = answer.body.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let values: Vec<&str> = values.collect();
            (!values.is_empty()).then(|| values.join(" and "))
        };
        Self { parent: field("traceparent"), state: field("tracestate") }
    }

    /// The parts of a valid parent: trace, span, flags.
    fn parts(&self) -> [String; 3] {
        let parts: Vec<&str> = self.parent.as_ref().unwrap().split('-').collect();
        assert_eq!((parts.len(), parts[0], parts[1].len(), parts[2].len()), (4, "00", 32, 16), "{parts:?}");
        [parts[1], parts[2], parts[3]].map(str::to_owned)
    }
}

#[tokio::test]
async fn spans_lead_from_the_client_to_the_replica() {
    let (collector, replica) = (Collector::answering(OK).await, Replica::mirror().await);
    let traces = collector.traces();
    let fixture = traced(&[replica.address], &traces).await;
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let fields =
        [&parent, "tracestate: a=1", "tracestate: b=2", "User-Agent: curl/8", "Host: a.example:5000", "X-User-Id: x"];
    let answer = get(fixture.port, "/home?q=1", &fields).await;
    let told = Told::by(&answer);
    assert_eq!(told.state.as_deref(), Some("a=1 and b=2"));
    let [trace, span, flags] = told.parts();
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    traces.finish().await;

    let spans = collector.spans();
    let [request, attempt] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!([hex(&request.trace_id), hex(&attempt.trace_id)], [TRACE, TRACE]);
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(attempt.parent_span_id, request.span_id);
    assert_eq!(hex(&attempt.span_id), span, "the replica's parent is the try");
    assert_eq!(request.trace_state, "a=1,b=2");
    assert!(request.end_time_unix_nano >= attempt.end_time_unix_nano, "the request lasts at least as long as its try");

    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let length = answer.body.len().to_string();
    let expected = Seen {
        name: "GET".to_owned(),
        kind: SpanKind::Server,
        is_error: false,
        attributes: map(&[
            ("http.request.method", "GET"),
            ("http.request.body.size", "0"),
            ("http.response.body.size", &length),
            ("http.response.status_code", "200"),
            ("url.path", "/home"),
            ("url.query", "q=1"),
            ("url.scheme", "http"),
            ("server.address", "a.example"),
            ("server.port", "5000"),
            ("client.address", "127.0.0.1"),
            ("network.peer.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "curl/8"),
            ("ringhold.loadbalancer.namespace", "default"),
            ("ringhold.loadbalancer.name", "web"),
            ("ringhold.key.source", "header"),
        ]),
    };
    assert_eq!(Seen::new(request), expected);
    let (port, url) = (replica.address.port().to_string(), format!("http://{}/home?q=1", replica.address));
    let expected = Seen {
        name: "GET".to_owned(),
        kind: SpanKind::Client,
        is_error: false,
        attributes: map(&[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("url.full", &url),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("network.peer.address", "127.0.0.1"),
            ("network.peer.port", &port),
            ("ringhold.replica", "web-0-t-0"),
            ("ringhold.ordinal", "0"),
            ("ringhold.first_candidate", "Taken"),
        ]),
    };
    assert_eq!(Seen::new(attempt), expected);
    let requests = collector.requests.lock().unwrap();
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    assert!(format!("{resource:?}").contains("\"ringhold\""), "{resource:?}");
}

#[tokio::test]
async fn what_a_client_says_is_cut_before_it_fills_the_queue() {
    let (collector, replica) = (Collector::answering(OK).await, Replica::named("a").await);
    let traces = collector.traces();
    let fixture = traced(&[replica.address], &traces).await;
    let long = "é".repeat(7000);
    let (parent, state) =
        (format!("traceparent: 00-{TRACE}-{PARENT}-01"), format!("tracestate: a={}", "x".repeat(600)));
    let fields = [&*format!("User-Agent: {long}"), &parent, &state];
    let target = format!("/{}?q={}", "p".repeat(5000), "q".repeat(5000));
    assert_eq!(get(fixture.port, &target, &fields).await.status, 200);
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.request(&"M".repeat(2000), "/", &[&format!("Host: {}", "h".repeat(3000))], "").await.status, 400);
    traces.finish().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 3);
    for span in &spans {
        assert!(span.encoded_len() < 5000, "{}", span.encoded_len());
    }
    let agent = &Seen::new(&spans[0]).attributes["user_agent.original"];
    assert!(agent.len() == 1024 && long.starts_with(agent), "cut between characters");
}

#[tokio::test]
async fn every_try_has_a_span_of_its_own() {
    let (collector, replica, (dead, _guard)) = (Collector::answering(OK).await, Replica::mirror().await, refusing());
    let traces = collector.traces();
    let fixture = traced(&[replica.address, dead], &traces).await;
    let told = Told::by(&get(fixture.port, "/", &[&fixture.to(1)]).await);
    traces.finish().await;
    let spans = collector.spans();
    let [request, failed, taken] = &spans[..] else { panic!("{spans:?}") };
    assert!(request.parent_span_id.is_empty(), "a request without a parent begins a trace");
    assert_eq!([&failed.parent_span_id, &taken.parent_span_id], [&request.span_id; 2]);
    assert_eq!(told.parts(), [hex(&request.trace_id), hex(&taken.span_id), "01".to_owned()]);
    let (failed, taken) = (Seen::new(failed), Seen::new(taken));
    assert!(failed.is_error && !taken.is_error);
    assert_eq!(failed.attributes["error.type"], "ConnectFailed");
    assert_eq!(failed.attributes.get("http.request.resend_count"), None);
    assert_eq!(taken.attributes["http.request.resend_count"], "1");
    assert_eq!([&failed.attributes["ringhold.ordinal"], &taken.attributes["ringhold.ordinal"]], ["1", "0"]);
}

#[tokio::test]
async fn failures_are_told_with_their_reason() {
    let collector = Collector::answering(OK).await;
    let replica = Replica::http(|request| async move {
        let status = if request.uri().path() == "/missing" { 404 } else { 500 };
        Response::builder().status(status).body(Full::from("a")).unwrap()
    });
    let replica = replica.await;
    let traces = collector.traces();
    let fixture = traced(&[replica.address], &traces).await;
    for target in ["/missing", "/bad"] {
        get(fixture.port, target, &[]).await;
    }
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.request("TRACE", "/", &[], "").await.status, 405);
    fixture.publish(&[]);
    assert_eq!(get(fixture.port, "/", &[]).await.status, 503);
    traces.finish().await;
    let seen: Vec<_> = collector.spans().iter().map(Seen::new).collect();
    let told: Vec<_> = seen
        .iter()
        .map(|span| (span.kind, span.is_error, span.attributes.get("error.type").map_or("", String::as_str)))
        .collect();
    let expected = [
        (SpanKind::Server, false, ""),
        (SpanKind::Client, true, "404"),
        (SpanKind::Server, true, "500"),
        (SpanKind::Client, true, "500"),
        (SpanKind::Server, false, "MethodNotAllowed"),
        (SpanKind::Server, true, "NoReplica"),
    ];
    assert_eq!(told, expected, "404 is the replica's word to its client, and no failure of ours");
}

#[tokio::test]
async fn a_parent_that_is_none_is_replaced_and_its_state_goes_with_it() {
    let (collector, replica) = (Collector::answering(OK).await, Replica::mirror().await);
    let traces = collector.traces();
    let fixture = traced(&[replica.address], &traces).await;
    let valid = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let nobodys = format!("traceparent: 00-{TRACE}-0000000000000000-01");
    for fields in [&["traceparent: nonsense"][..], &[&nobodys], &[&valid, &valid], &["tracestate: b=1"], &[]] {
        let told = Told::by(&get(fixture.port, "/", &[fields, &["tracestate: a=1"]].concat()).await);
        let [trace, _, flags] = told.parts();
        assert!(trace != TRACE && flags == "01", "{fields:?}");
        assert_eq!(told.state, None, "{fields:?}");
    }
}

#[tokio::test]
async fn who_is_not_sampled_is_led_on_and_not_exported() {
    let (collector, replica) = (Collector::answering(OK).await, Replica::mirror().await);
    let traces = collector.traces();
    let fixture = traced(&[replica.address], &traces).await;
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-00");
    let told = Told::by(&get(fixture.port, "/", &[&parent, "tracestate: a=1"]).await);
    let [trace, _, flags] = told.parts();
    assert_eq!((trace.as_str(), flags.as_str(), told.state.as_deref()), (TRACE, "00", Some("a=1")));
    traces.finish().await;
    assert_eq!(collector.spans(), []);
}

#[tokio::test]
async fn where_nobody_exports_trace_context_passes_as_it_came() {
    let replica = Replica::mirror().await;
    let fixture = Fixture::start(&[replica.address]).await;
    for parent in [&format!("00-{TRACE}-{PARENT}-01"), "nonsense"] {
        let field = format!("traceparent: {parent}");
        let told = Told::by(&get(fixture.port, "/", &[&field, "tracestate: a=1"]).await);
        assert_eq!((told.parent.as_deref(), told.state.as_deref()), (Some(parent), Some("a=1")));
    }
    let told = Told::by(&get(fixture.port, "/", &[]).await);
    assert_eq!((told.parent, told.state), (None, None));
}

#[tokio::test]
async fn spans_that_nobody_takes_are_counted_and_hold_no_request_up() {
    let replica = Replica::named("a").await;
    let silent = Replica::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    let (silent, refusing) = (silent.await, Collector::answering(400).await);
    for (address, requests, line) in [
        (silent.address, 1500, "ringhold_spans_dropped_total{reason=\"QueueFull\"} "),
        (refusing.server.address, 1, "ringhold_spans_dropped_total{reason=\"ExportFailed\"} "),
    ] {
        let mut registry = Registry::default();
        let traces = traces(address);
        traces.register(&mut registry);
        let fixture = traced(&[replica.address], &traces).await;
        let mut client = Client::connect(fixture.port).await;
        for _ in 0..requests {
            assert_eq!(client.get("/", &[]).await.status, 200);
        }
        drop(client);
        traces.finish().await;
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let dropped = page.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        assert!((1..=1000).contains(&dropped.parse::<u32>().unwrap()), "{page}");
        assert!(page.contains("ringhold_spans_exported_total 0"), "{page}");
    }
}

#[tokio::test]
async fn a_log_and_a_trace_name_the_same_trace() {
    let (collector, replica) = (Collector::answering(OK).await, Replica::mirror().await);
    let traces = collector.traces();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let log = ringhold::proxy::AccessLog {
        target: ringhold::proxy::LogTarget::File(file.clone()),
        format: ringhold::proxy::AccessLogFormat::Json,
        sample: ringhold::proxy::Sample::ALL,
        all_errors: true,
        keys: false,
    };
    let configure = |config: &mut ringhold::proxy::ProxyConfig| {
        (config.access_log, config.tracer) = (Some(log), Some(traces.tracer()));
    };
    let fixture = Fixture::configured(&[replica.address], |_| {}, configure).await;
    let told = Told::by(&get(fixture.port, "/", &[]).await);
    fixture.handle.shutdown(std::time::Duration::from_secs(5)).await;
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(line["traceId"], told.parts()[0]);
}

#[test]
fn no_endpoint_means_no_export() {
    let none = |config: &TracesConfig| matches!(config.start(), Ok(None));
    assert!(none(&TracesConfig::default()));
    assert!(none(&TracesConfig { endpoint: Some(String::new()), ..TracesConfig::default() }));
}
