//! Many requests at one time on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::client::{head, whole};
use super::{Http2, get};
use crate::support::{Client, Fixture, Replica, eventually, read_head};

const LARGE: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_slow_answer_does_not_hold_up_the_others() {
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let replica = Replica::http(move |request| {
        let wait = Arc::clone(&wait);
        async move {
            if request.uri() == "/slow" {
                wait.notified().await;
            }
            http::Response::new("done".into())
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let (slow, _) = client.open(get("http://a.example/slow"), true).await;
    let mut quick = Vec::new();
    for _ in 0..50 {
        quick.push(client.open(get("http://a.example/"), true).await.0);
    }
    for answer in quick {
        assert_eq!(whole(answer).await.unwrap().body, "done");
    }
    assert_eq!(fixture.in_flight(), 1);
    gate.notify_one();
    assert_eq!(whole(slow).await.unwrap().body, "done");
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    let requests = "ringhold_requests_total{namespace=\"default\",loadbalancer=\"web\",code=\"200\",reason=\"\"} 51";
    assert!(fixture.metrics().contains(requests), "{}", fixture.metrics());
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions_side_by_side() {
    let echo = Replica::http(|request| async move {
        use http_body_util::BodyExt;
        http::Response::new(http_body_util::Full::new(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let fixture = Fixture::start(&[echo.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let mut tasks = Vec::new();
    for number in 0..8_u8 {
        let (response, mut stream) = client.open(Request::post("http://a.example/").body(()).unwrap(), false).await;
        let body: String = (0..300_000_u32).map(|at| char::from(b'a' + (number + (at % 26) as u8) % 26)).collect();
        tasks.push(tokio::spawn(async move {
            stream.send_data(Bytes::from(body.clone()), true).unwrap();
            let answer = whole(response).await.unwrap();
            assert!(answer.body == body, "{} bytes of {number}", answer.body.len());
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_resets_a_stream_takes_its_request_along() {
    let (arrived, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&arrived), Arc::clone(&left));
    let replica = Replica::raw(move |mut stream| {
        let (arrived, left) = counters.clone();
        async move {
            read_head(&mut stream).await;
            arrived.fetch_add(1, SeqCst);
            read_head(&mut stream).await;
            left.fetch_add(1, SeqCst);
        }
    })
    .await;
    let other = Replica::named("b").await;
    let fixture = Fixture::start(&[replica.address, other.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let to =
        |ordinal| Request::get("http://a.example/").header("x-user-id", fixture.key_for(ordinal)).body(()).unwrap();
    let (response, mut stream) = client.open(to(0), true).await;
    eventually("the request is there", || arrived.load(SeqCst) == 1).await;
    assert_eq!(fixture.in_flight(), 1);
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    eventually("the replica knows", || left.load(SeqCst) == 1).await;
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    assert_eq!(client.ask(to(1)).await.body, "b");
    assert!(!fixture.is_ejected(0));
    let cancelled =
        "ringhold_requests_total{namespace=\"default\",loadbalancer=\"web\",code=\"499\",reason=\"ClientGone\"} 1";
    assert!(fixture.metrics().contains(cancelled), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_client_that_leaves_takes_all_its_requests_along() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(client.open(get("http://a.example/"), true).await);
    }
    eventually("all are there", || fixture.in_flight() == 10).await;
    client.connection.abort();
    eventually("the leases are back", || fixture.in_flight() == 0).await;
    eventually("it is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_replica_that_breaks_off_resets_the_stream_alone() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await.unwrap();
    })
    .await;
    let other = Replica::named("b").await;
    let fixture = Fixture::start(&[replica.address, other.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let to =
        |ordinal| Request::get("http://a.example/").header("x-user-id", fixture.key_for(ordinal)).body(()).unwrap();
    let (response, _) = client.open(to(0), true).await;
    assert_eq!(whole(response).await.unwrap_err(), Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(client.ask(to(1)).await.body, "b");
    assert!(
        fixture.metrics().contains("ringhold_broken_responses_total{namespace=\"default\",loadbalancer=\"web\"} 1")
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_replica_back_but_not_its_neighbours() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            while let Ok(count) = stream.write(&[b'x'; 64 * 1024]).await {
                counter.fetch_add(count, SeqCst);
            }
        }
    })
    .await;
    let other = Replica::named("b").await;
    let fixture = Fixture::start(&[replica.address, other.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let to =
        |ordinal| Request::get("http://a.example/").header("x-user-id", fixture.key_for(ordinal)).body(()).unwrap();
    let (response, _) = client.open(to(0), true).await;
    let _unread = head(response).await.unwrap();
    let mut before = usize::MAX;
    while before != taken.load(SeqCst) {
        before = taken.load(SeqCst);
        assert!(before < LARGE / 4, "{before} bytes were taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before > 0);
    assert_eq!(client.ask(to(1)).await.body, "b");
}

#[tokio::test]
async fn a_replica_that_does_not_read_holds_the_client_back_but_not_its_neighbours() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let echo = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            stream.read_buf(&mut body).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let fixture = Fixture::start(&[replica.address, echo.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let to =
        |ordinal| Request::post("http://a.example/").header("x-user-id", fixture.key_for(ordinal)).body(()).unwrap();
    let (_response, mut stream) = client.open(to(0), false).await;
    let mut sent = 0;
    stream.reserve_capacity(LARGE);
    while let Ok(Some(capacity)) =
        tokio::time::timeout(Duration::from_millis(500), std::future::poll_fn(|cx| stream.poll_capacity(cx))).await
    {
        let count = capacity.unwrap();
        stream.send_data(vec![b'x'; count].into(), false).unwrap();
        sent += count;
        assert!(sent < LARGE / 2, "{sent} bytes were taken");
        stream.reserve_capacity(LARGE);
    }
    let answer = client.send(to(1), &"y".repeat(1024 * 1024)).await;
    assert_eq!(answer.body, "ok");
}

#[tokio::test]
async fn streams_past_the_limit_wait_at_the_client() {
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
    let fixture = Fixture::configured(&[replica.address], |_| {}, |config| config.max_concurrent_streams = 3).await;
    let mut client = Http2::connect(fixture.port).await;
    // Once the settings are here.
    let (first, _) = client.open(get("http://a.example/"), true).await;
    eventually("it is there", || replica.requests() == 1).await;
    assert_eq!(client.sender.current_max_send_streams(), 3);
    let mut answers = vec![first];
    for _ in 0..3 {
        let mut sender = client.sender.clone();
        let ready = tokio::time::timeout(Duration::from_millis(300), std::future::poll_fn(|cx| sender.poll_ready(cx)));
        if ready.await.is_ok() {
            answers.push(sender.send_request(get("http://a.example/"), true).unwrap().0);
        }
    }
    eventually("three are there", || replica.requests() == 3).await;
    for _ in 0..4 {
        gate.notify_one();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for answer in answers {
        assert_eq!(whole(answer).await.unwrap().body, "done");
    }
}

#[tokio::test]
async fn keys_retries_and_limits_hold_as_on_http1() {
    let (a, b) = (Replica::named("a").await, Replica::named("b").await);
    let fixture = Fixture::with(&[a.address, b.address], |policy| policy.limits.max_body_bytes = 10).await;
    let mut new = Http2::connect(fixture.port).await;
    let mut old = Client::connect(fixture.port).await;
    for number in 0..50 {
        let key = format!("user-{number}");
        let request = Request::get("http://a.example/").header("x-user-id", &key).body(()).unwrap();
        let answer = new.ask(request).await;
        assert_eq!(answer.body, old.get("/", &[&format!("X-User-Id: {key}")]).await.body);
    }
    let post = || Request::post("http://a.example/").body(()).unwrap();
    let answer = new.send(post(), "01234567890").await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (413, Some("BodyTooLarge")));
    drop(a);
    for number in 0..20 {
        let request = Request::get("http://a.example/").header("x-user-id", format!("user-{number}")).body(()).unwrap();
        assert_eq!(new.ask(request).await.body, "b");
    }
}
