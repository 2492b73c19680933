//! What takes too long ends alone.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;

use super::client::{head, whole};
use super::frames::{ACK, GOAWAY, HEADERS, PING, frame, get_block};
use super::{Frames, Http2, get};
use crate::support::{Fixture, Replica, eventually, read_head};

const SHORT: Duration = Duration::from_millis(300);

/// Answers nothing, or a part and then nothing.
async fn stalling(answer: &'static str) -> Replica {
    Replica::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

/// A request to the replica of this ordinal.
fn to(fixture: &Fixture, ordinal: u16) -> Request<()> {
    Request::get("http://a.example/").header("x-user-id", fixture.key_for(ordinal)).body(()).unwrap()
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_504_on_its_stream() {
    let (silent, other) = (stalling("").await, Replica::named("b").await);
    let fixture =
        Fixture::with(&[silent.address, other.address], |policy| policy.timeouts.response_header = SHORT).await;
    let mut client = Http2::connect(fixture.port).await;
    let (overdue, _) = client.open(to(&fixture, 0), true).await;
    assert_eq!(client.ask(to(&fixture, 1)).await.body, "b");
    let answer = whole(overdue).await.unwrap();
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (504, Some("ResponseTimeout")));
    assert_eq!(client.ask(to(&fixture, 1)).await.body, "b");
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn an_upload_that_stops_is_a_408_on_its_stream() {
    let replica = stalling("").await;
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = SHORT).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, mut stream) = client.open(Request::post("http://a.example/").body(()).unwrap(), false).await;
    let started = Instant::now();
    while started.elapsed() < 3 * SHORT {
        stream.send_data(Bytes::from("x"), false).unwrap();
        tokio::time::sleep(SHORT / 6).await;
    }
    assert_eq!(fixture.in_flight(), 1, "bytes extend it");
    let answer = whole(response).await.unwrap();
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (408, Some("RequestTimeout")));
}

#[tokio::test]
async fn a_response_that_stops_is_reset_alone() {
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
    let slow = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n").await.unwrap();
        for _ in 0..20 {
            tokio::time::sleep(SHORT / 6).await;
            stream.write_all(b"x").await.unwrap();
        }
        read_head(&mut stream).await;
    })
    .await;
    let fixture =
        Fixture::with(&[stalling(part).await.address, slow.address], |policy| policy.timeouts.idle = SHORT).await;
    let stalled = stalling(part).await;
    let replicas = [(0, stalled.address), (1, slow.address)];
    let replicas: Vec<_> =
        replicas.map(|(ordinal, address)| crate::support::mk_replica(ordinal, 1, address)).into_iter().collect();
    fixture.publish(&replicas);
    let mut client = Http2::connect(fixture.port).await;
    let (slow, _) = client.open(to(&fixture, 1), true).await;
    let (stopped, _) = client.open(to(&fixture, 0), true).await;
    assert_eq!(whole(stopped).await.unwrap_err(), Some(h2::Reason::CANCEL));
    assert_eq!(whole(slow).await.unwrap().body, "x".repeat(20));
    eventually("the leases are back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn a_response_that_is_not_taken_is_reset_alone() {
    let large = Replica::http(|_| async { http::Response::new(vec![b'x'; 4 * 1024 * 1024].into()) }).await;
    let other = Replica::named("b").await;
    let fixture = Fixture::with(&[large.address, other.address], |policy| policy.timeouts.idle = SHORT).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, _) = client.open(to(&fixture, 0), true).await;
    let mut body = head(response).await.unwrap().into_body();
    // What passes for its neighbours does not extend it.
    let started = Instant::now();
    let reset = async {
        let mut stream = std::pin::pin!(std::future::poll_fn(|cx| body.poll_data(cx)));
        // Takes what is in its window, and grants no more.
        while let Some(Ok(_)) = stream.as_mut().await {}
    };
    let mut reset = std::pin::pin!(reset);
    loop {
        tokio::select! {
            () = &mut reset => break,
            answer = client.ask(to(&fixture, 1)) => assert_eq!(answer.body, "b"),
        }
        assert!(started.elapsed() < 30 * SHORT, "it is never reset");
    }
    assert!(started.elapsed() >= SHORT);
    assert_eq!(client.ask(to(&fixture, 1)).await.body, "b");
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    assert!(fixture.metrics().contains("broken_responses_total{namespace=\"default\",loadbalancer=\"web\"} 0\n"));
}

#[tokio::test]
async fn a_client_is_not_slow_while_a_replica_is_silent_though_its_upload_goes_on() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.unwrap();
        tokio::time::sleep(4 * SHORT).await;
        stream.write_all(b"whole").await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::configured(
        &[replica.address],
        |_| {},
        |config| (config.min_client_rate, config.min_client_rate_grace) = (10_000, SHORT),
    )
    .await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, _upload) = client.open(Request::post("http://a.example/").body(()).unwrap(), false).await;
    assert_eq!(whole(response).await.unwrap().body, "whole");
}

#[tokio::test]
async fn a_client_that_takes_a_response_slowly_gets_all_of_it() {
    let large = Replica::http(|_| async { http::Response::new(vec![b'x'; 1200 * 1024].into()) }).await;
    let fixture = Fixture::with(&[large.address], |policy| policy.timeouts.idle = 6 * SHORT).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, _) = client.open(get("http://a.example/"), true).await;
    let mut body = head(response).await.unwrap().into_body();
    let mut total = 0;
    while let Some(data) = body.data().await {
        let count = data.unwrap().len();
        total += count;
        tokio::time::sleep(SHORT / 10).await;
        body.flow_control().release_capacity(count).unwrap();
    }
    assert_eq!(total, 1200 * 1024);
}

#[tokio::test]
async fn a_connection_without_streams_is_closed_after_its_time_whatever_it_pings() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.timeouts.idle = SHORT).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.get(1, &[]).await;
    frames.next_of(HEADERS).await.unwrap();
    let started = Instant::now();
    let last = loop {
        frames.send(PING, 0, 0, &[7; 8]).await;
        tokio::time::sleep(SHORT / 10).await;
        match frames.next().await {
            Some(frame) if frame.kind == GOAWAY => break frame,
            Some(_) => assert!(started.elapsed() < 20 * SHORT, "it is never closed"),
            None => panic!("no GOAWAY"),
        }
    };
    assert_eq!(last.code(), 0);
    assert!(started.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_connection_that_never_answers_its_last_ping_ends_all_the_same() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.timeouts.idle = SHORT).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.get(1, &[]).await;
    frames.next_of(GOAWAY).await.unwrap();
    while frames.next().await.is_some() {}
    eventually("it is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_connection_with_a_stream_is_not_idle() {
    let replica = stalling("").await;
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = SHORT).await;
    let mut client = Http2::connect(fixture.port).await;
    let (_response, _) = client.open(get("http://a.example/"), true).await;
    tokio::time::sleep(4 * SHORT).await;
    assert_eq!((fixture.in_flight(), client.connection.is_finished()), (1, false));
}

#[tokio::test]
async fn a_client_that_is_gone_is_found_out_by_pings() {
    let replica = stalling("").await;
    let fixture = Fixture::configured(
        &[replica.address],
        |_| {},
        |config| (config.ping_interval, config.ping_timeout) = (SHORT, SHORT),
    )
    .await;
    let mut alive = Http2::connect(fixture.port).await;
    let (_response, _) = alive.open(get("http://a.example/"), true).await;
    let mut gone = Frames::connect(fixture.port).await;
    gone.get(1, &[]).await;
    eventually("both requests are there", || fixture.in_flight() == 2).await;
    while let Some(frame) = gone.next().await {
        assert!(frame.kind != PING || frame.flags & ACK == 0);
    }
    eventually("the lease of the one that is gone is back", || fixture.in_flight() == 1).await;
    assert!(!alive.connection.is_finished());
}

#[tokio::test]
async fn a_head_that_trickles_ends_with_the_idle_time() {
    let a = Replica::named("a").await;
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.client_idle_timeout = SHORT).await;
    let mut frames = Frames::connect(fixture.port).await;
    let request = frame(HEADERS, 5, 1, &get_block(&[("x-long", &"y".repeat(200))]));
    let started = Instant::now();
    for byte in request {
        if frames.stream.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(SHORT / 20).await;
    }
    assert_eq!(a.requests(), 0);
    assert!(started.elapsed() < 20 * SHORT);
}
