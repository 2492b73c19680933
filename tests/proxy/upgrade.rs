//! Tunnels.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::support::{Client, Fixture, Replica, eventually, read_head, until_eof};

async fn websocket_echo() -> Replica {
    Replica::raw(|stream| async move {
        let Ok(mut socket) = accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn raw_echo() -> Replica {
    Replica::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: echo\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

async fn open_tunnel(fixture: &Fixture) -> Client {
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: echo\r\n"), "{head}");
    client
}

#[tokio::test]
async fn a_websocket_passes_and_holds_its_lease_until_it_ends() {
    let replica = websocket_echo().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", fixture.port)).await.unwrap();
    let (mut socket, _) = client_async("ws://a.example/room", stream).await.unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    assert_eq!(fixture.in_flight(), 1);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn bytes_that_follow_the_101_at_once_are_not_lost() {
    let replica = raw_echo().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
    client.stream.shutdown().await.unwrap();
    let all = String::from_utf8(until_eof(&mut client.stream).await.unwrap()).unwrap();
    let tunnelled = all.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(tunnelled, "helloearly");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_response() {
    let replica = Replica::named("no").await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    let response = client.get("/", &["Connection: Upgrade", "Upgrade: websocket"]).await;
    assert_eq!((response.status, response.body.as_str()), (200, "no"));
    assert_eq!(client.get("/", &[]).await.body, "no", "and the connection goes on");
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_a_502() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            .await
            .unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.get("/", &[]).await.status, 502);
}

#[tokio::test]
async fn an_idle_tunnel_is_closed() {
    let replica = raw_echo().await;
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = Duration::from_millis(200)).await;
    let mut client = open_tunnel(&fixture).await;
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap();
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn tunnels_end_at_the_deadline_of_a_shutdown() {
    let replica = raw_echo().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = open_tunnel(&fixture).await;
    let cut = fixture.handle.shutdown(Duration::from_millis(200)).await;
    assert_eq!(cut, 1);
    until_eof(&mut client.stream).await.unwrap();
}

#[tokio::test]
async fn a_tunnel_does_not_hold_up_a_shutdown_for_longer_than_its_grace() {
    let replica = raw_echo().await;
    let grace = Duration::from_millis(200);
    let fixture = Fixture::configured(&[replica.address], |_| {}, |config| config.tunnel_grace = grace).await;
    let mut client = open_tunnel(&fixture).await;
    let started = std::time::Instant::now();
    assert_eq!(fixture.handle.shutdown(Duration::from_secs(60)).await, 1);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    until_eof(&mut client.stream).await.unwrap();
}

#[tokio::test]
async fn what_passes_through_a_tunnel_is_counted_and_logged_at_its_end() {
    let replica = raw_echo().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let log = ringhold::proxy::AccessLog {
        target: ringhold::proxy::LogTarget::File(file.clone()),
        format: ringhold::proxy::AccessLogFormat::Json,
        sample: ringhold::proxy::Sample::ALL,
        all_errors: true,
        keys: false,
    };
    let fixture = Fixture::configured(&[replica.address], |_| {}, |config| config.access_log = Some(log)).await;
    let mut client = open_tunnel(&fixture).await;
    client.send("abc").await;
    let echoed = |name: &str, count: u32| {
        let line = format!("ringhold_{name}_bytes_total{{namespace=\"default\",loadbalancer=\"web\"}} {count}\n");
        fixture.metrics().contains(&line)
    };
    eventually("bytes are counted while it is open", || echoed("received", 3) && echoed("sent", 8)).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
    drop(client);
    eventually("the line is there", || std::fs::read_to_string(&file).unwrap().ends_with('\n')).await;
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&line["status"], &line["bytesIn"], &line["bytesOut"]), (&101.into(), &3.into(), &8.into()), "{line}");
    assert!(echoed("received", 3) && echoed("sent", 8), "{}", fixture.metrics());
}
