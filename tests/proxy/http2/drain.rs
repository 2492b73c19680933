//! Stopping in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::client::whole;
use super::frames::{ACK, GOAWAY, HEADERS, PING};
use super::{Frames, Http2, get};
use crate::support::{Fixture, Replica, eventually};

const LONG: Duration = Duration::from_secs(10);

/// Answers when it is told to.
async fn gated() -> (Replica, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let replica = Replica::http(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            http::Response::new("done".into())
        }
    })
    .await;
    (replica, gate)
}

#[tokio::test]
async fn open_streams_finish_and_idle_connections_close_at_once() {
    let (replica, gate) = gated().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut idle = Http2::connect(fixture.port).await;
    gate.notify_one();
    assert_eq!(idle.ask(get("http://a.example/")).await.body, "done");
    let mut running = Http2::connect(fixture.port).await;
    let (response, _) = running.open(get("http://a.example/"), true).await;
    eventually("the request is there", || replica.requests() == 2).await;

    let started = Instant::now();
    let shutdown = tokio::spawn(fixture.handle.shutdown(LONG));
    idle.end().await.unwrap();
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    assert!(!shutdown.is_finished());
    gate.notify_one();
    assert_eq!(whole(response).await.unwrap().body, "done");
    running.end().await.unwrap();
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn a_request_that_crosses_the_goaway_is_answered() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.get(1, &[]).await;
    frames.next_of(HEADERS).await.unwrap();
    let shutdown = tokio::spawn(fixture.handle.shutdown(LONG));
    // The first names no stream that was not served (RFC 9113 §6.8).
    let first = frames.next_of(GOAWAY).await.unwrap();
    assert_eq!((first.code(), &first.payload[..4]), (0, &[0x7f, 0xff, 0xff, 0xff][..]));
    frames.get(3, &[]).await;
    let answer = frames.next_of(HEADERS).await.unwrap();
    assert_eq!(answer.stream, 3);
    // Once the client has answered the PING it knows, and the second says what was the last.
    drop(shutdown);
}

#[tokio::test]
async fn after_the_ping_the_last_stream_is_named() {
    let (replica, gate) = gated().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.get(1, &[]).await;
    eventually("the request is there", || replica.requests() == 1).await;
    let shutdown = tokio::spawn(fixture.handle.shutdown(LONG));
    frames.next_of(GOAWAY).await.unwrap();
    let ping = frames.next_of(PING).await.unwrap();
    frames.send(PING, ACK, 0, &ping.payload).await;
    let last = frames.next_of(GOAWAY).await.unwrap();
    assert_eq!((last.code(), &last.payload[..4]), (0, &[0, 0, 0, 1][..]));
    gate.notify_one();
    assert_eq!(frames.next_of(HEADERS).await.unwrap().stream, 1);
    while frames.next().await.is_some() {}
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn what_runs_past_the_deadline_is_cut_and_counted() {
    let (replica, _gate) = gated().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, _) = client.open(get("http://a.example/"), true).await;
    eventually("the request is there", || replica.requests() == 1).await;
    assert_eq!(fixture.handle.shutdown(Duration::from_millis(100)).await, 1);
    whole(response).await.unwrap_err();
}

#[tokio::test]
async fn a_client_that_answers_no_ping_does_not_hold_up_the_shutdown() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.get(1, &[]).await;
    frames.next_of(HEADERS).await.unwrap();
    let started = Instant::now();
    assert_eq!(fixture.handle.shutdown(2 * LONG).await, 0);
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
}

#[tokio::test]
async fn connections_of_a_port_that_is_withdrawn_go_away() {
    let (replica, gate) = gated().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, _) = client.open(get("http://a.example/"), true).await;
    eventually("the request is there", || replica.requests() == 1).await;
    fixture.publisher.withdraw(&fixture.desired.id);
    let port = fixture.port;
    eventually("nobody listens any more", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    gate.notify_one();
    assert_eq!(whole(response).await.unwrap().body, "done");
    client.end().await.unwrap();
}
