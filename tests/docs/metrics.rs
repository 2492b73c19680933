//! A whole scrape, as a strict reader of OpenMetrics finds it, and what the documents say of it: the README's table and
//! the dashboard know the metrics that there are, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroUsize;

use jiff::Timestamp;
use openmetrics_parser::openmetrics::parse_openmetrics;
use prometheus_client::registry::Registry;
use ringhold::admin::RouteMetrics;
use ringhold::controller::kubernetes::Stats;
use ringhold::model::{FleetId, FleetStatus, ListenerTls, Observed, Ordinal, TlsVersion};
use ringhold::proxy::{self, AccessLog, AccessLogFormat, LogTarget, ProxyConfig, Sample};
use ringhold::ring::KeyHasher;
use ringhold::routes::{Placement, Publisher, bridge};
use ringhold::telemetry::traces::TracesConfig;
use ringhold::tls::{Certificate, ServerTls};

use crate::build::{mk_desired, mk_replica};
use crate::{between, readme, root};

/// Every name that a label may have; values are closed sets, too, but for the names of LoadBalancers.
const LABELS: &[&str] = &[
    "action",
    "algorithm",
    "class",
    "code",
    "despite",
    "fingerprint",
    "first",
    "kind",
    "loadbalancer",
    "namespace",
    "ordinal",
    "reason",
    "result",
    "source",
    "state",
    "worker",
];

/// What is said of one metric.
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// By the name that queries use.
type Metrics = BTreeMap<String, Metric>;

/// Asks once, on a connection of its own; returns the status line.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

/// A replica that answers everything in the same way.
fn replica() -> std::net::SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    address
}

/// Another LoadBalancer, with a certificate.
fn publish_secured(publisher: &Publisher, port: u16) {
    let mut desired = mk_desired(port);
    desired.id = FleetId::local("secured");
    let tls = ListenerTls { secret: Some("cert".to_owned()), files: None, min_version: TlsVersion::Tls12 };
    std::sync::Arc::make_mut(&mut desired.route).listener.tls = Some(tls);
    let issued = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let (chain, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let tls = ServerTls::new(certificate.into(), TlsVersion::Tls12).unwrap();
    let placement = Placement::new(&desired, &Observed::default(), &[], Timestamp::now()).with_tls(Some(tls));
    publisher.publish(&desired.id, FleetStatus::default(), Some(&placement)).unwrap();
}

/// The page of a process in which everything is switched on and something has happened.
async fn scrape() -> String {
    let folder = tempfile::tempdir().unwrap();
    let bridge = bridge();
    let mut config = ProxyConfig::new(KeyHasher::new(&[7; 16]));
    (config.addresses, config.workers) = (vec![Ipv4Addr::LOCALHOST.into()], NonZeroUsize::MIN);
    config.access_log = Some(AccessLog {
        target: LogTarget::File(folder.path().join("access.log")),
        format: AccessLogFormat::Text,
        sample: Sample::ALL,
        all_errors: true,
        keys: false,
    });
    let proxy = proxy::start(config, bridge.reader.clone(), bridge.listen_requests).unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    bridge.listeners.listen(port).await.unwrap();
    let mut desired = mk_desired(port);
    std::sync::Arc::make_mut(&mut desired.route).listener.hostnames = vec!["a.example".to_owned()];
    let observed = Observed { replicas: vec![mk_replica(0, 0, replica())], ..Observed::default() };
    let placement = Placement::new(&desired, &observed, &[Ordinal(0)], Timestamp::now());
    bridge.publisher.publish(&desired.id, FleetStatus::default(), Some(&placement)).unwrap();
    publish_secured(&bridge.publisher, port + 1);
    let answers = tokio::task::spawn_blocking(move || {
        let of = |host| ask(port, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        [of("a.example"), of("nobody.example")]
    });
    assert_eq!(answers.await.unwrap(), ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]);

    let mut registry = Registry::default();
    registry.register_collector(Box::new(proxy.metrics()));
    registry.register_collector(Box::new(RouteMetrics::new(bridge.reader)));
    let _stats = Stats::new(&mut registry);
    let traces =
        TracesConfig { endpoint: Some("http://127.0.0.1:4318".to_owned()), traces_endpoint: None, certificate: None };
    traces.start().unwrap().unwrap().register(&mut registry);
    while proxy.metrics().client_connections() > 0 {
        tokio::task::yield_now().await;
    }
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    page
}

/// What a strict reader finds on the page.
async fn metrics() -> Metrics {
    let page = scrape().await;
    let read = parse_openmetrics(&page).unwrap_or_else(|error| panic!("{error}: {page:.4000}"));
    let families = read.families.into_values().map(|family| {
        let kind = format!("{:?}", family.family_type).to_lowercase();
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels = family.get_label_names().iter().cloned().collect();
        (format!("{}{suffix}", family.family_name), Metric { kind, help: family.help, labels })
    });
    families.collect()
}

#[tokio::test]
async fn a_strict_reader_takes_the_scrape() {
    let metrics = metrics().await;
    let seen = |name: &str| metrics[name].labels.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(seen("ringhold_requests_total"), ["code", "loadbalancer", "namespace", "reason"]);
    assert_eq!(seen("ringhold_upstream_latency_seconds"), ["loadbalancer", "namespace"]);
    assert!(metrics.contains_key("ringhold_access_log_dropped_total"));
    for (name, Metric { help, labels, .. }) in &metrics {
        assert!(name.starts_with("ringhold_"), "{name}");
        assert!(help.split(' ').count() > 2, "{name}: {help}");
        assert!(labels.iter().all(|label| LABELS.contains(&label.as_str())), "{name}: {labels:?}");
    }
}

#[tokio::test]
async fn the_readme_lists_every_metric() {
    const BEGIN: &str = "<!-- generated by `make docs` from a scrape -->\n";
    const END: &str = "<!-- end of metrics -->";
    let mut table = "| metric | type | meaning |\n| --- | --- | --- |\n".to_owned();
    for (name, Metric { kind, help, .. }) in metrics().await {
        table.push_str(&format!("| `{name}` | {kind} | {} |\n", help.trim_end_matches('.')));
    }
    let readme = readme();
    let shown = between(&readme, BEGIN, END);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let (old, new) = (format!("{BEGIN}{shown}{END}"), format!("{BEGIN}{table}{END}"));
        std::fs::write(root("README.md"), readme.replace(&old, &new)).unwrap();
    } else {
        assert_eq!(shown, table, "the README is behind the code: run `make docs`");
    }
}

#[tokio::test]
async fn the_dashboard_asks_for_metrics_that_there_are() {
    let metrics = metrics().await;
    let dashboard = std::fs::read_to_string(root("deploy/grafana-dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let mut asked = BTreeSet::new();
    queries(&dashboard, &mut |query| {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        asked.extend(
            query.split(|letter| !is_name(letter)).filter(|word| word.starts_with("ringhold_")).map(str::to_owned),
        );
    });
    assert!(asked.len() > 15, "{asked:?}");
    let known = |name: &str| {
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        metrics.contains_key(name) || metrics.get(family).is_some_and(|metric| metric.kind == "histogram")
    };
    let unknown: Vec<&String> = asked.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "no scrape has {unknown:?}");
}

/// Calls back with every query of a dashboard.
fn queries(value: &serde_json::Value, found: &mut impl FnMut(&str)) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        match inner.as_str() {
            Some(query) if name == "expr" || name == "query" || name == "definition" => found(query),
            _ => queries(inner, found),
        }
    }
    value.as_array().into_iter().flatten().for_each(|inner| queries(inner, found));
}
