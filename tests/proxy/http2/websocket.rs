//! WebSocket through a stream (RFC 8441).

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::accept_async;

use super::client::{head, whole};
use super::{Http2, get};
use crate::support::{Fixture, Replica, eventually, read_head};

/// Echoes, once it has checked that it was asked as RFC 6455 wants it: tungstenite does.
async fn echo() -> Replica {
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

fn ask(protocol: &'static str) -> Request<()> {
    let request =
        Request::builder().method("CONNECT").uri("http://a.example/room").header("sec-websocket-version", "13");
    request.extension(Protocol::from_static(protocol)).body(()).unwrap()
}

/// A text frame as clients send it, masked with zeros (RFC 6455 §5.2).
fn text(text: &str) -> Bytes {
    let length = 0x80 | u8::try_from(text.len()).unwrap();
    [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat().into()
}

async fn open(fixture: &Fixture, client: &mut Http2) -> (RecvStream, SendStream<Bytes>) {
    // Extended CONNECT may be used only once the proxy has said so.
    eventually("it is offered", || client.sender.is_extended_connect_protocol_enabled()).await;
    let (response, stream) = client.open(ask("websocket"), false).await;
    let response = head(response).await.unwrap();
    assert_eq!(response.status(), 200);
    for field in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(field), "{field}");
    }
    assert_eq!(fixture.in_flight(), 1);
    (response.into_body(), stream)
}

async fn expect(body: &mut RecvStream, expected: &str) {
    let mut received = Vec::new();
    while received.len() < expected.len() + 2 {
        let data = tokio::time::timeout(Duration::from_secs(15), body.data()).await.unwrap().unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        received.extend_from_slice(&data);
    }
    assert_eq!(&received[2..], expected.as_bytes());
}

#[tokio::test]
async fn a_websocket_passes_through_a_stream_beside_others() {
    let replica = echo().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let (mut body, mut stream) = open(&fixture, &mut client).await;
    for word in ["one", "two"] {
        stream.send_data(text(word), false).unwrap();
        expect(&mut body, word).await;
    }
    let (mut other_body, mut other) = {
        let (response, stream) = client.open(ask("websocket"), false).await;
        (head(response).await.unwrap().into_body(), stream)
    };
    other.send_data(text("other"), false).unwrap();
    expect(&mut other_body, "other").await;
    stream.send_data(text("three"), false).unwrap();
    expect(&mut body, "three").await;
    assert_eq!(fixture.in_flight(), 2);
    stream.send_data(Bytes::new(), true).unwrap();
    eventually("one lease is back", || fixture.in_flight() == 1).await;
    other.send_reset(h2::Reason::CANCEL);
    eventually("both leases are back", || fixture.in_flight() == 0).await;
    let requests = "ringhold_requests_total{namespace=\"default\",loadbalancer=\"web\",code=\"200\",reason=\"\"} 2";
    assert!(fixture.metrics().contains(requests), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_refusal_is_an_ordinary_answer_but_never_a_success() {
    for (answer, expected, reason) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", 502, Some("BadResponse")),
    ] {
        let replica = Replica::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            read_head(&mut stream).await;
        })
        .await;
        let fixture = Fixture::start(&[replica.address]).await;
        let mut client = Http2::connect(fixture.port).await;
        eventually("it is offered", || client.sender.is_extended_connect_protocol_enabled()).await;
        let (response, _stream) = client.open(ask("websocket"), false).await;
        let answer = whole(response).await.unwrap();
        assert_eq!((answer.status, answer.field("x-ringhold-reason")), (expected, reason));
        eventually("the lease is back", || fixture.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn no_other_protocol_is_tunnelled() {
    let replica = Replica::named("a").await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    eventually("it is offered", || client.sender.is_extended_connect_protocol_enabled()).await;
    let (response, _stream) = client.open(ask("connect-udp"), false).await;
    let answer = whole(response).await.unwrap();
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (405, Some("MethodNotAllowed")));
    assert_eq!(replica.requests(), 0);
    assert_eq!(client.ask(get("http://a.example/")).await.body, "a");
}

#[tokio::test]
async fn an_idle_tunnel_is_closed_alone() {
    let replica = echo().await;
    let short = Duration::from_millis(1500);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Http2::connect(fixture.port).await;
    let (mut idle, _stream) = open(&fixture, &mut client).await;
    let (response, mut busy) = client.open(ask("websocket"), false).await;
    let mut busy_body = head(response).await.unwrap().into_body();
    let mut ended = std::pin::pin!(idle.data());
    loop {
        busy.send_data(text("x"), false).unwrap();
        expect(&mut busy_body, "x").await;
        if tokio::time::timeout(short / 15, ended.as_mut()).await.is_ok() {
            break;
        }
    }
    busy.send_data(text("y"), false).unwrap();
    expect(&mut busy_body, "y").await;
    assert_eq!(fixture.in_flight(), 1);
}

#[tokio::test]
async fn an_idle_tunnel_is_closed_though_its_client_takes_nothing() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let short = Duration::from_millis(300);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Http2::connect(fixture.port).await;
    let (_body, _stream) = open(&fixture, &mut client).await;
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    eventually("the connection is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn tunnels_are_closed_after_their_grace_when_we_stop() {
    let replica = echo().await;
    let grace = Duration::from_millis(200);
    let fixture = Fixture::configured(&[replica.address], |_| {}, |config| config.tunnel_grace = grace).await;
    let mut client = Http2::connect(fixture.port).await;
    let (mut body, _stream) = open(&fixture, &mut client).await;
    let started = std::time::Instant::now();
    assert_eq!(fixture.handle.shutdown(Duration::from_secs(60)).await, 1);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    while let Some(Ok(_)) = body.data().await {}
    client.end().await.unwrap();
}

#[tokio::test]
async fn a_tunnel_holds_back_who_sends_faster_than_is_read() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.read_u8().await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let (_body, mut stream) = open(&fixture, &mut client).await;
    let limit = 64 * 1024 * 1024;
    let mut sent = 0;
    stream.reserve_capacity(limit);
    while let Ok(Some(capacity)) =
        tokio::time::timeout(Duration::from_millis(500), std::future::poll_fn(|cx| stream.poll_capacity(cx))).await
    {
        let count = capacity.unwrap();
        stream.send_data(vec![b'x'; count].into(), false).unwrap();
        sent += count;
        assert!(sent < limit / 2, "{sent} bytes were taken");
        stream.reserve_capacity(limit);
    }
    assert!(sent > 0);
}
