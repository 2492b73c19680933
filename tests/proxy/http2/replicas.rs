//! Replicas that speak HTTP/2 (`targetProtocol: HTTP2`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderValue, Request, Response};
use ringhold::model::{RoutePolicy, TargetProtocol};
use tokio::sync::Notify;

use super::client::{head, whole};
use super::{Http2, get};
use crate::support::{Client, Fixture, Replica, eventually, refusing, until_eof};

pub(super) fn h2c(policy: &mut RoutePolicy) {
    policy.target_protocol = TargetProtocol::Http2;
}

/// A replica whose streams are each answered by this.
pub(super) async fn replica<F, R>(builder: h2::server::Builder, answer: F) -> Replica
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Replica::raw(move |stream| {
        let (builder, answer) = (builder.clone(), answer.clone());
        async move {
            let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(answer(request, respond));
            }
        }
    })
    .await
}

pub(super) fn usual() -> h2::server::Builder {
    h2::server::Builder::new()
}

/// Sends a whole answer, if the stream is still there.
fn say(mut respond: SendResponse<Bytes>, body: impl Into<Bytes>) {
    if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
        let _ = stream.send_data(body.into(), true);
    }
}

/// Answers everything with its name.
async fn named(name: &'static str) -> Replica {
    replica(usual(), move |_, respond| async move { say(respond, name) }).await
}

/// Answers when it is told to; counts what it has, at most at one time on any connection.
async fn gated(streams: u32) -> (Replica, Arc<Notify>, Arc<AtomicUsize>) {
    let (gate, most) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (wait, seen) = (Arc::clone(&gate), Arc::clone(&most));
    let replica = Replica::raw(move |stream| {
        let (wait, seen) = (Arc::clone(&wait), Arc::clone(&seen));
        async move {
            let handshake = h2::server::Builder::new().max_concurrent_streams(streams).handshake::<_, Bytes>(stream);
            let Ok(mut connection) = handshake.await else { return };
            let open = Arc::new(AtomicUsize::new(0));
            while let Some(Ok((_, respond))) = connection.accept().await {
                seen.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                let (wait, open) = (Arc::clone(&wait), Arc::clone(&open));
                tokio::spawn(async move {
                    wait.notified().await;
                    open.fetch_sub(1, SeqCst);
                    say(respond, "done");
                });
            }
        }
    })
    .await;
    (replica, gate, most)
}

#[tokio::test]
async fn clients_of_both_protocols_reach_them() {
    let mirror = replica(usual(), |request, respond| async move {
        let mut head = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        say(respond, head);
    })
    .await;
    let fixture = Fixture::with(&[mirror.address], h2c).await;
    let expected = |via: &str| {
        format!(
            "GET http://a.example/p?q HTTP/2.0\nte: trailers\nvia: {via} ringhold\nx-forwarded-for: 127.0.0.1\n\
             x-forwarded-host: a.example\nx-forwarded-proto: http\n"
        )
    };
    let sorted = |body: &str| {
        let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let mut old = Client::connect(fixture.port).await;
    let fields = ["Host: a.example", "TE: trailers", "Connection: te, upgrade", "Upgrade: websocket"];
    assert_eq!(sorted(&old.get("/p?q", &fields).await.body), sorted(&expected("1.1")));
    let request = Request::get("http://a.example/p?q").header("te", "trailers").body(()).unwrap();
    let answer = Http2::connect(fixture.port).await.ask(request).await;
    assert_eq!(sorted(&answer.body), sorted(&expected("2.0")));
    old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let body = old.response("GET").await.unwrap().body;
    assert!(body.starts_with(&format!("GET http://{}/ HTTP/2.0\n", mirror.address)), "{body}");
    assert_eq!(mirror.connections(), 1);
}

#[tokio::test]
async fn trailers_reach_clients_of_http1_that_want_them() {
    let trailing = replica(usual(), |mut request, mut respond| async move {
        while let Some(data) = request.body_mut().data().await {
            let count = data.unwrap().len();
            request.body_mut().flow_control().release_capacity(count).unwrap();
        }
        let sum = request
            .body_mut()
            .trailers()
            .await
            .unwrap()
            .map_or(HeaderValue::from_static("none"), |mut told| told.remove("x-sum").unwrap());
        let head = Response::builder().header("trailer", "x-sum").body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data("body".into(), false).unwrap();
        stream.send_trailers([("x-sum".parse().unwrap(), sum)].into_iter().collect()).unwrap();
    })
    .await;
    let fixture = Fixture::with(&[trailing.address], h2c).await;
    let mut client = Client::connect(fixture.port).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, close\r\nTrailer: x-sum\r\n";
    client.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n")).await;
    let answer = String::from_utf8(until_eof(&mut client.stream).await.unwrap()).unwrap();
    assert!(answer.ends_with("\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_with_too_many_fields_is_none() {
    let chatty = replica(usual(), |_, mut respond| async move {
        let mut head = Response::new(());
        for number in 0..200 {
            head.headers_mut().append("x-many", number.into());
        }
        respond.send_response(head, true).unwrap();
    })
    .await;
    let fixture = Fixture::with(&[chatty.address], h2c).await;
    let answer = Client::connect(fixture.port).await.get("/", &[]).await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (502, Some("badresponse")));
}

#[tokio::test]
async fn many_requests_share_a_connection_and_no_more_than_the_replica_takes() {
    let (a, gate, most) = gated(5).await;
    let fixture = Fixture::with(&[a.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    // After this the replica's settings are known.
    gate.notify_one();
    assert_eq!(client.ask(get("http://a.example/")).await.body, "done");
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(client.open(get("http://a.example/"), true).await.0);
    }
    eventually("all are there", || fixture.in_flight() == 12).await;
    let done = tokio::spawn(async move {
        loop {
            gate.notify_waiters();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for answer in answers {
        assert_eq!(whole(answer).await.unwrap().body, "done");
    }
    done.abort();
    assert_eq!(most.load(SeqCst), 5);
    assert!((2..=3).contains(&a.connections()), "{} connections", a.connections());
    eventually("the leases are back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn who_comes_at_once_waits_for_one_connection() {
    let a = named("a").await;
    let fixture = Fixture::with(&[a.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(client.open(get("http://a.example/"), true).await.0);
    }
    for answer in answers {
        assert_eq!(whole(answer).await.unwrap().body, "a");
    }
    assert_eq!(a.connections(), 1);
    let metrics = fixture.metrics();
    for count in ["{kind=\"new\"} 1", "{kind=\"reused\"} 59"] {
        assert!(metrics.contains(&format!("ringhold_upstream_connections_total{count}")), "{metrics}");
    }
}

#[tokio::test]
async fn who_comes_at_once_is_refused_at_once() {
    let (address, _guard) = refusing();
    let b = named("b").await;
    let fixture = Fixture::with(&[address, b.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    let mut answers = Vec::new();
    for _ in 0..60 {
        let request = Request::post("http://a.example/").header("x-user-id", fixture.key_for(0)).body(()).unwrap();
        answers.push(client.open(request, true).await.0);
    }
    for answer in answers {
        assert_eq!(whole(answer).await.unwrap().body, "b");
    }
    assert!(fixture.is_ejected(0));
}

#[tokio::test]
async fn a_replica_that_goes_away_loses_nothing() {
    // Each connection answers three requests and goes away, as servers do that bound a connection's life.
    let replica = Replica::raw(|stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let mut count = 0;
        while let Some(Ok((_, respond))) = connection.accept().await {
            count += 1;
            say(respond, "done");
            if count == 3 {
                connection.graceful_shutdown();
            }
        }
    })
    .await;
    let fixture = Fixture::with(&[replica.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    for round in 0..20 {
        let mut answers = Vec::new();
        for _ in 0..5 {
            // Not one that could be repeated.
            answers.push(client.open(Request::post("http://a.example/").body(()).unwrap(), true).await.0);
        }
        for answer in answers {
            let answer = whole(answer).await.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, "done"), "in round {round}");
        }
    }
    assert!(replica.connections() > 5, "{} connections", replica.connections());
    assert!(!fixture.is_ejected(0));
}

#[tokio::test]
async fn what_was_refused_goes_to_another_whatever_it_is() {
    let refuses = || replica(usual(), |_, mut respond| async move { respond.send_reset(Reason::REFUSED_STREAM) });
    let (a, b) = (refuses().await, named("b").await);
    let fixture = Fixture::with(&[a.address, b.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    let to =
        |ordinal| Request::post("http://a.example/").header("x-user-id", fixture.key_for(ordinal)).body(()).unwrap();
    for _ in 0..10 {
        let (response, _) = client.open(to(0), true).await;
        assert_eq!(whole(response).await.unwrap().body, "b");
    }
    assert!(!fixture.is_ejected(0), "who has enough has not failed");
    // A body that has begun to flow can't be had again.
    let answer = client.send(to(0), "body").await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (503, Some("AllReplicasFull")));
    drop(b);
    let c = refuses().await;
    let fixture = Fixture::with(&[a.address, c.address], h2c).await;
    let answer = Http2::connect(fixture.port).await.ask(get("http://a.example/")).await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (503, Some("AllReplicasFull")));
}

#[tokio::test]
async fn a_reset_after_the_beginning_is_no_refusal() {
    let had = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&had);
    let resets = replica(usual(), move |_, mut respond| {
        counter.fetch_add(1, SeqCst);
        async move { respond.send_reset(Reason::INTERNAL_ERROR) }
    })
    .await;
    let fixture = Fixture::with(&[resets.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, _) = client.open(Request::post("http://a.example/").body(()).unwrap(), true).await;
    let answer = whole(response).await.unwrap();
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (502, Some("UpstreamReset")));
    assert_eq!(had.load(SeqCst), 1, "a POST is not sent twice");
}

#[tokio::test]
async fn a_client_that_resets_a_stream_resets_the_replicas_alone() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&cancelled);
    let replica = replica(usual(), move |request, mut respond| {
        let counter = Arc::clone(&counter);
        async move {
            if request.uri().path() == "/quick" {
                return say(respond, "quick");
            }
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            counter.fetch_add(1, SeqCst);
        }
    })
    .await;
    let fixture = Fixture::with(&[replica.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, mut stream) = client.open(get("http://a.example/slow"), true).await;
    assert_eq!(client.ask(get("http://a.example/quick")).await.body, "quick");
    stream.send_reset(Reason::CANCEL);
    drop(response);
    eventually("the replica knows", || cancelled.load(SeqCst) == 1).await;
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    assert_eq!(client.ask(get("http://a.example/quick")).await.body, "quick");
    assert_eq!(replica.connections(), 1);
}

#[tokio::test]
async fn what_is_overdue_ends_alone() {
    let replica = replica(usual(), |request, mut respond| async move {
        match request.uri().path() {
            "/quick" => say(respond, "quick"),
            "/stalls" => {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data("part".into(), false).unwrap();
                let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            }
            _ => drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await),
        }
    })
    .await;
    let short = Duration::from_millis(300);
    let timeouts = |policy: &mut RoutePolicy| {
        h2c(policy);
        (policy.timeouts.response_header, policy.timeouts.idle) = (short, short);
    };
    let fixture = Fixture::with(&[replica.address], timeouts).await;
    let mut client = Http2::connect(fixture.port).await;
    let (silent, _) = client.open(get("http://a.example/silent"), true).await;
    let (stalls, _) = client.open(get("http://a.example/stalls"), true).await;
    assert_eq!(client.ask(get("http://a.example/quick")).await.body, "quick");
    assert_eq!(whole(silent).await.unwrap().status, 504);
    assert_eq!(whole(stalls).await.unwrap_err(), Some(Reason::CANCEL));
    eventually("it is blamed", || fixture.metrics().contains("code=\"200\",reason=\"BrokenResponse\"} 1")).await;
    assert_eq!(client.ask(get("http://a.example/quick")).await.body, "quick");
    assert_eq!((replica.connections(), fixture.in_flight()), (1, 0));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_back_its_stream_and_no_other() {
    const LARGE: usize = 8 * 1024 * 1024;
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let replica = replica(usual(), move |request, mut respond| {
        let counter = Arc::clone(&counter);
        async move {
            if request.uri().path() == "/quick" {
                return say(respond, "quick");
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.reserve_capacity(LARGE);
            while let Some(Ok(count)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                counter.fetch_add(count, SeqCst);
                stream.send_data(vec![b'x'; count].into(), false).unwrap();
                stream.reserve_capacity(LARGE);
            }
        }
    })
    .await;
    let fixture = Fixture::with(&[replica.address], h2c).await;
    let mut stuck = Vec::new();
    for _ in 0..10 {
        let mut client = Http2::connect(fixture.port).await;
        let (response, _) = client.open(get("http://a.example/large"), true).await;
        stuck.push((head(response).await.unwrap(), client));
    }
    let mut before = usize::MAX;
    while before != taken.load(SeqCst) {
        before = taken.load(SeqCst);
        assert!(before < 10 * LARGE / 4, "{before} bytes were taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut client = Http2::connect(fixture.port).await;
    assert_eq!(client.ask(get("http://a.example/quick")).await.body, "quick");
    assert_eq!(replica.connections(), 1);
}

#[tokio::test]
async fn connections_close_when_they_are_idle_or_their_replica_has_left() {
    let a = named("a").await;
    let short = Duration::from_millis(200);
    let fixture = Fixture::configured(&[a.address], h2c, |config| config.upstream_idle_timeout = short).await;
    let mut client = Http2::connect(fixture.port).await;
    assert_eq!(client.ask(get("http://a.example/")).await.body, "a");
    eventually("the idle one is closed", || a.open_connections() == 0).await;

    let fixture = Fixture::with(&[a.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    assert_eq!(client.ask(get("http://a.example/")).await.body, "a");
    assert_eq!(a.open_connections(), 1);
    fixture.publish(&[]);
    eventually("that to a replica that has left is closed", || a.open_connections() == 0).await;
}

#[tokio::test]
async fn no_websocket_is_taken_for_them() {
    let a = named("a").await;
    let fixture = Fixture::with(&[a.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    eventually("it is offered", || client.sender.is_extended_connect_protocol_enabled()).await;
    let request = Request::builder().method("CONNECT").uri("http://a.example/");
    let request = request.extension(h2::ext::Protocol::from_static("websocket")).body(()).unwrap();
    let (response, _stream) = client.open(request, false).await;
    assert_eq!(whole(response).await.unwrap().status, 405);
}
