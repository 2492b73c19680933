//! Handshakes that come to nothing, and how little anybody else has of it.

use std::time::{Duration, Instant};

use ringhold::model::TlsVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::support::{eventually, until_eof};

/// The beginning of a ClientHello that is longer.
const HALF_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

async fn raw(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn plain_http_is_told_what_to_do() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let mut client = Client::connect(fixture.port).await;
    // More than one read takes: the answer has to come through all the same.
    let long = format!("X-Long: {}", "x".repeat(30_000));
    let answer = client.get("/", &[&long]).await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (400, Some("plainhttp")));
    assert!(answer.body.contains("https://"), "{}", answer.body);
    assert_eq!(until_eof(&mut client.stream).await.unwrap(), b"", "it ends in order, and no reset overtakes it");
    // It does not close its side; that is waited for, and not for long.
    eventually("its socket is counted as closed", || fixture.handle.metrics().client_connections() == 0).await;
    assert_eq!((handshakes(&fixture, "plain_http"), handshakes(&fixture, "timeout"), replica.requests()), (1, 0, 0));
}

#[tokio::test]
async fn a_handshake_has_its_time_and_no_byte_gives_it_more() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let limit = Duration::from_millis(600);
    let tls = Some(server_tls(&authority.issue(&["a.example"])));
    let fixture = configured(&replica, tls, |config| config.header_read_timeout = limit).await;
    let began = Instant::now();
    let mut silent = raw(fixture.port, b"").await;
    let (mut reading, mut writing) = raw(fixture.port, HALF_HELLO).await.into_split();
    let drip = tokio::spawn(async move {
        while writing.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(until_eof(&mut silent).await.unwrap(), b"");
    let mut rest = Vec::new();
    // A reset says so as well: a byte may have come after we had closed.
    let _ = reading.read_to_end(&mut rest).await;
    let took = began.elapsed();
    assert!((limit..limit * 5).contains(&took), "{took:?}");
    drip.await.unwrap();
    until_counted(&fixture, "timeout", 2).await;
    assert_eq!(ask(fixture.port, "a.example", &authority.client()).await, "a");
}

#[tokio::test]
async fn a_version_below_the_least_is_refused() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let certificate = authority.issue(&["a.example"]);
    let mut fixture = secured(&replica, server_tls(&certificate)).await;
    let [old, new] = [&TLS12, &TLS13].map(|version| Arc::new(authority.client_of(&[version])));
    for (config, version) in [(&old, ProtocolVersion::TLSv1_2), (&new, ProtocolVersion::TLSv1_3)] {
        assert_eq!(connect(fixture.port, "a.example", config).await.unwrap().version(), version);
    }
    fixture.tls = Some(ServerTls::new(certificate, TlsVersion::Tls13).unwrap());
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    let error = connect(fixture.port, "a.example", &old).await.err().unwrap();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    assert_eq!(ask(fixture.port, "a.example", &new).await, "a");
    until_counted(&fixture, "incompatible", 1).await;
}

#[tokio::test]
async fn a_client_that_speaks_nothing_that_we_do_is_refused() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let speaks = |protocols: &[&str]| {
        let mut config = authority.client_of(rustls::DEFAULT_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|&protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    };
    let client = connect(fixture.port, "a.example", &speaks(&["h3", "http/1.1"])).await.unwrap();
    assert_eq!(client.protocol(), Some(&b"http/1.1"[..]));
    assert!(connect(fixture.port, "a.example", &speaks(&["h3"])).await.is_err());
    until_counted(&fixture, "incompatible", 1).await;
}

#[tokio::test]
async fn a_client_that_refuses_our_certificate_or_speaks_nonsense_is_counted() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    assert!(connect(fixture.port, "a.example", &Authority::new().client()).await.is_err());
    until_counted(&fixture, "refused", 1).await;
    until_eof(&mut raw(fixture.port, &[22, 3, 1, 0, 4, 9, 9, 9, 9]).await).await.unwrap();
    until_counted(&fixture, "malformed", 1).await;
    drop(raw(fixture.port, HALF_HELLO).await);
    until_counted(&fixture, "closed", 1).await;
    eventually("no socket is left", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn half_open_handshakes_hold_up_neither_others_nor_the_end() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let mut half_open = Vec::new();
    for _ in 0..20 {
        half_open.push(raw(fixture.port, HALF_HELLO).await);
    }
    eventually("they are accepted", || fixture.handle.metrics().client_connections() == 20).await;
    assert_eq!(ask(fixture.port, "a.example", &authority.client()).await, "a");
    let began = Instant::now();
    assert_eq!(fixture.handle.shutdown(Duration::from_secs(20)).await, 0, "none had to be cut");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_shakes_hands_while_we_stop_is_answered_and_told_to_leave() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let stream = TcpStream::connect(("127.0.0.1", fixture.port)).await.unwrap();
    let metrics = fixture.handle.metrics();
    eventually("it is accepted", || metrics.client_connections() == 1).await;
    let stopping = tokio::spawn(fixture.handle.shutdown(Duration::from_secs(20)));
    let refuses = || std::net::TcpStream::connect(("127.0.0.1", fixture.port)).is_err();
    eventually("nobody is accepted any more", refuses).await;
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = Client::over(TlsConnector::from(authority.client()).connect(name, stream).await.unwrap());
    let answer = client.get("/", &[]).await;
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert_eq!(stopping.await.unwrap(), 0);
}
