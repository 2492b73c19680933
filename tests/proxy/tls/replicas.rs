//! TLS with replicas: nothing is sent to one that has not proved to be one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhold::model::{ReplicaTls, RoutePolicy, TargetProtocol};
use ringhold::tls::{Authorities, ClientTls};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::support::get;
use crate::traces::{Collector, OK};

const HOSTNAME: &str = "web.internal";

/// A replica that speaks TLS with a certificate for this name, and what it has seen.
struct Secured {
    replica: Replica,
    requests: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

/// Of a server that shows a certificate for this name.
pub(super) fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(server(authority, name)))
}

impl Secured {
    async fn start(authority: &Authority, name: &str) -> Self {
        let acceptor = acceptor(authority, name);
        let (requests, names) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, seen) = (Arc::clone(&requests), Arc::clone(&names));
        let replica = Replica::raw(move |stream| {
            let (acceptor, count, seen) = (acceptor.clone(), Arc::clone(&count), Arc::clone(&seen));
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                seen.lock().unwrap().push(stream.get_ref().1.server_name().map(str::to_owned));
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        count.fetch_add(1, Ordering::SeqCst);
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nproved").await.unwrap();
                        stream.flush().await.unwrap();
                    }
                }
            }
        })
        .await;
        Self { replica, requests, names }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn mk_replica_tls() -> ReplicaTls {
    ReplicaTls { hostname: HOSTNAME.to_owned(), authorities: "web-ca".to_owned() }
}

fn server(authority: &Authority, name: &str) -> ServerConfig {
    let (chain, key) = authority.pair(name);
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// A replica that offers these protocols, and speaks HTTP/2 in any case: it answers with what it was asked by.
async fn on_http2(authority: &Authority, offered: &[&str]) -> Replica {
    let mut config = server(authority, HOSTNAME);
    config.alpn_protocols = offered.iter().map(|&protocol| protocol.into()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Replica::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
                stream.send_data(format!("{:?} {}", request.version(), request.uri()).into(), true).unwrap();
            }
        }
    })
    .await
}

fn trust(authority: &Authority) -> ClientTls {
    ClientTls::new(&Authorities::from_pem(authority.pem().as_bytes()).unwrap(), HOSTNAME).unwrap()
}

/// A LoadBalancer that wants TLS with its replica and trusts these.
async fn fixture(replica: &Replica, trusted: Option<ClientTls>) -> Fixture {
    fixture_of(replica, trusted, TargetProtocol::Http1).await
}

async fn fixture_of(replica: &Replica, trusted: Option<ClientTls>, protocol: TargetProtocol) -> Fixture {
    let change = |policy: &mut RoutePolicy| {
        policy.target_protocol = protocol;
        policy.replica_tls = Some(mk_replica_tls());
    };
    let mut fixture = Fixture::with(&[replica.address], change).await;
    fixture.replica_tls = trusted;
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    fixture
}

#[tokio::test]
async fn a_replica_that_proves_who_it_is_is_asked_on_one_connection() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, HOSTNAME).await;
    let fixture = fixture(&secured.replica, Some(trust(&authority))).await;
    for _ in 0..3 {
        let answer = get(fixture.port, "/", &[]).await;
        assert_eq!((answer.status, &*answer.body), (200, "proved"));
    }
    assert_eq!((secured.requests(), secured.replica.connections()), (3, 1));
    assert_eq!(*secured.names.lock().unwrap(), [Some(HOSTNAME.to_owned())]);
}

#[tokio::test]
async fn spans_say_that_a_replica_was_spoken_with_over_tls() {
    let (authority, collector) = (Authority::new(), Collector::answering(OK).await);
    let secured = Secured::start(&authority, HOSTNAME).await;
    let traces = collector.traces();
    let wants_tls = |policy: &mut RoutePolicy| policy.replica_tls = Some(mk_replica_tls());
    let trace = |config: &mut ProxyConfig| config.tracer = Some(traces.tracer());
    let mut fixture = Fixture::configured(&[secured.replica.address], wants_tls, trace).await;
    fixture.replica_tls = Some(trust(&authority));
    fixture.publish(&[mk_replica(0, 0, secured.replica.address)]);
    assert_eq!(get(fixture.port, "/x", &[]).await.body, "proved");
    traces.finish().await;
    let told = format!("{:?}", collector.spans()[1].attributes);
    assert!(told.contains(&format!("\"https://{}/x\"", secured.replica.address)), "{told}");
}

#[tokio::test]
async fn all_of_an_upload_arrives_though_the_replica_is_slow() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let authority = Authority::new();
    let acceptor = acceptor(&authority, HOSTNAME);
    let replica = Replica::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let (mut piece, mut left) = (vec![0; 16 * 1024], LENGTH);
            while left > 0 {
                // So that the last of it, too, meets a full buffer.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let count = stream.read(&mut piece).await.unwrap();
                assert!(count > 0 && piece[..count].iter().all(|byte| *byte == b'a'));
                left -= count;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall").await.unwrap();
            stream.flush().await.unwrap();
            let _ = stream.read_u8().await;
        }
    })
    .await;
    let fixture = fixture(&replica, Some(trust(&authority))).await;
    let mut client = Client::connect(fixture.port).await;
    let answer = client.request("POST", "/", &[&format!("Content-Length: {LENGTH}")], &"a".repeat(LENGTH)).await;
    assert_eq!((answer.status, &*answer.body), (200, "all"));
}

#[tokio::test]
async fn one_that_proves_to_be_somebody_else_gets_nothing() {
    let authority = Authority::new();
    let other_name = Secured::start(&authority, "other.internal").await;
    let other_authority = Secured::start(&Authority::new(), HOSTNAME).await;
    for secured in [other_name, other_authority] {
        let fixture = fixture(&secured.replica, Some(trust(&authority))).await;
        let answer = get(fixture.port, "/", &[]).await;
        assert_eq!((answer.status, answer.field("x-ringhold-reason")), (502, Some("replicatlsfailed")));
        assert_eq!((secured.requests(), secured.replica.connections()), (0, 1));
        assert_eq!(fixture.in_flight(), 0);
    }
}

#[tokio::test]
async fn handshakes_that_fail_do_not_walk_through_all_replicas() {
    let authority = Authority::new();
    let mut replicas = Vec::new();
    for _ in 0..6 {
        replicas.push(Secured::start(&authority, HOSTNAME).await);
    }
    let mut fixture = fixture(&replicas[0].replica, Some(trust(&Authority::new()))).await;
    Arc::make_mut(&mut fixture.desired.route).retries.attempts = 1;
    let all: Vec<_> = (0..).zip(&replicas).map(|(at, secured)| mk_replica(at, 0, secured.replica.address)).collect();
    fixture.publish(&all);
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
    assert_eq!(replicas.iter().map(|secured| secured.replica.connections()).sum::<usize>(), 2, "one and one retry");
}

#[tokio::test]
async fn one_that_speaks_in_the_clear_gets_no_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&seen);
    let replica = Replica::raw(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            let mut buffer = [0; 4096];
            while let Ok(count) = stream.read(&mut buffer).await {
                if count == 0 {
                    return;
                }
                bytes.lock().unwrap().extend_from_slice(&buffer[..count]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let fixture = fixture(&replica, Some(trust(&Authority::new()))).await;
    assert_eq!(get(fixture.port, "/secret-path", &[]).await.status, 502);
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && !seen.windows(11).any(|window| window == b"secret-path"));
}

#[tokio::test]
async fn while_nobody_knows_whom_to_trust_nobody_is_asked() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, HOSTNAME).await;
    let mut fixture = fixture(&secured.replica, None).await;
    let answer = get(fixture.port, "/", &[]).await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (502, Some("replicatlsfailed")));
    assert_eq!(secured.replica.connections(), 0);
    let metrics = fixture.metrics();
    let connections = metrics.lines().find(|line| line.starts_with("ringhold_upstream_connections_total")).unwrap();
    assert!(connections.ends_with(" 0") && !metrics.contains("ringhold_picks_total{"), "{metrics}");
    fixture.replica_tls = Some(trust(&authority));
    fixture.publish(&[mk_replica(0, 0, secured.replica.address)]);
    assert_eq!(get(fixture.port, "/", &[]).await.body, "proved");
}

#[tokio::test]
async fn http2_is_agreed_on_by_alpn() {
    let authority = Authority::new();
    let replica = on_http2(&authority, &["http/1.1", "h2"]).await;
    let fixture = fixture_of(&replica, Some(trust(&authority)), TargetProtocol::Http2).await;
    for _ in 0..3 {
        let answer = get(fixture.port, "/path", &["Host: a.example"]).await;
        assert_eq!((answer.status, &*answer.body), (200, "HTTP/2.0 https://a.example/path"));
    }
    assert_eq!(replica.connections(), 1);
}

#[tokio::test]
async fn who_does_not_agree_on_http2_gets_no_request() {
    let authority = Authority::new();
    for offered in [&["http/1.1"][..], &[]] {
        let replica = on_http2(&authority, offered).await;
        let fixture = fixture_of(&replica, Some(trust(&authority)), TargetProtocol::Http2).await;
        let answer = get(fixture.port, "/", &[]).await;
        let reason = answer.field("x-ringhold-reason");
        assert_eq!((answer.status, reason), (502, Some("replicatlsfailed")), "{offered:?}");
    }
}

#[tokio::test]
async fn connections_of_an_earlier_trust_are_not_used_any_more() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, HOSTNAME).await;
    let mut fixture = fixture(&secured.replica, Some(trust(&authority))).await;
    assert_eq!(get(fixture.port, "/", &[]).await.status, 200);
    fixture.replica_tls = Some(trust(&Authority::new()));
    fixture.publish(&[mk_replica(0, 0, secured.replica.address)]);
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
    Arc::make_mut(&mut fixture.desired.route).replica_tls = None;
    fixture.publish(&[mk_replica(0, 0, secured.replica.address)]);
    assert_ne!(get(fixture.port, "/", &[]).await.body, "proved", "what speaks TLS is not understood in the clear");
    assert_eq!(secured.requests(), 1);
}
