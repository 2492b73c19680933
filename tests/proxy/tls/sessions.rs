//! What goes through an agreed session: requests, tunnels, its end, and the next one that it makes cheaper.

use http::Response;
use http_body_util::{BodyExt, Full};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::support::{read_head, until_eof};

#[tokio::test]
async fn replicas_learn_that_the_client_came_by_https() {
    let (authority, replica) = (Authority::new(), Replica::mirror().await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let seen = ask(fixture.port, "a.example", &authority.client()).await;
    assert!(seen.contains("x-forwarded-proto: https\n"), "{seen}");
}

#[tokio::test]
async fn large_bodies_go_through_both_ways() {
    let replica = Replica::http(|request| async move {
        Response::new(Full::new(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let authority = Authority::new();
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let mut client = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    let body: String = ('a'..='z').cycle().take(3_000_000).collect();
    let length = format!("Content-Length: {}", body.len());
    let request = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{length}\r\n\r\n{body}");
    let (mut reading, mut writing) = tokio::io::split(client.stream);
    let sent = tokio::spawn(async move { writing.write_all(request.as_bytes()).await.map(|()| writing) });
    let mut answer = vec![0; body.len()];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(reading.read_u8().await.unwrap());
    }
    reading.read_exact(&mut answer).await.unwrap();
    assert!(answer == body.as_bytes(), "the body comes back as it was");
    client = Client::over(reading.unsplit(sent.await.unwrap().unwrap()));
    assert_eq!(client.request("POST", "/", &["Content-Length: 2"], "ok").await.body, "ok");
}

#[tokio::test]
async fn a_session_ends_in_order() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let mut client = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    assert_eq!(client.get("/", &["Connection: close"]).await.status, 200);
    // Without a `close_notify` this is an error.
    assert_eq!(until_eof(&mut client.stream).await.unwrap(), b"");
}

#[tokio::test]
async fn an_idle_tunnel_is_closed_though_its_client_takes_nothing() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let authority = Authority::new();
    let mut fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    Arc::make_mut(&mut fixture.desired.route).timeouts.idle = std::time::Duration::from_millis(300);
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    let mut client = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    assert_eq!(client.get("/", &["Connection: upgrade", "Upgrade: echo"]).await.status, 101);
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    eventually("the connection is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_tunnel_goes_through_tls() {
    let replica = Replica::raw(|mut stream| async move {
        if read_head(&mut stream).await.is_empty() {
            return;
        }
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    })
    .await;
    let authority = Authority::new();
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let mut client = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    assert_eq!(client.get("/", &["Connection: upgrade", "Upgrade: echo"]).await.status, 101);
    for words in ["to and fro", "once more"] {
        client.send(words).await;
        let mut back = vec![0; words.len()];
        client.stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, words.as_bytes());
    }
    client.stream.shutdown().await.unwrap();
    assert_eq!(until_eof(&mut client.stream).await.unwrap(), b"");
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_by_ticket_and_sends_nothing_early() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    for version in [&TLS12, &TLS13] {
        let mut config = authority.client_of(&[version]);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let mut first = connect(fixture.port, "a.example", &config).await.unwrap();
        assert_eq!((first.get("/", &[]).await.status, first.kind()), (200, HandshakeKind::Full));
        let mut second = connect(fixture.port, "a.example", &config).await.unwrap();
        assert!(!second.stream.get_ref().1.is_early_data_accepted());
        assert_eq!((second.get("/", &[]).await.status, second.kind()), (200, HandshakeKind::Resumed), "{version:?}");
    }
    assert_eq!((handshakes(&fixture, "full"), handshakes(&fixture, "resumed")), (2, 2));
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_at_another_load_balancer() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let certificate = authority.issue(&["a.example", "b.example"]);
    let fixture = secured(&replica, server_tls(&certificate)).await;
    let config = Arc::new(authority.client_of(&[&TLS13]));
    let mut first = connect(fixture.port, "a.example", &config).await.unwrap();
    assert_eq!(first.get("/", &[]).await.status, 200);
    // Its name is another one's from now on.
    add(&fixture, "a", &["a.example"], Some(server_tls(&certificate)), &replica);
    assert_eq!(connect(fixture.port, "a.example", &config).await.unwrap().kind(), HandshakeKind::Full);
}
