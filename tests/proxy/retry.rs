//! What is tried again, where, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture, Replica, eventually, get, read_head, refusing};

/// Takes a request and ends the connection.
async fn breaking() -> Replica {
    Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_refused_connection_sends_any_request_to_the_next_candidate() {
    let (dead, _guard) = refusing();
    let (b, c) = (Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::start(&[dead, b.address, c.address]).await;
    let mut client = Client::connect(fixture.port).await;
    let response = client.request("POST", "/", &[&fixture.to(0), "Content-Length: 2"], "hi").await;
    assert_eq!(response.status, 200);
    assert_eq!(b.requests() + c.requests(), 1);
    assert!(fixture.metrics().contains("kind=\"unsent\"} 1"), "{}", fixture.metrics());
}

#[tokio::test]
async fn refused_connections_walk_all_candidates() {
    let dead: Vec<_> = (0..5).map(|_| refusing()).collect();
    let alive = Replica::named("alive").await;
    let mut addresses: Vec<_> = dead.iter().map(|(address, _)| *address).collect();
    addresses.push(alive.address);
    let fixture = Fixture::start(&addresses).await;
    for ordinal in 0..6 {
        assert_eq!(get(fixture.port, "/", &[&fixture.to(ordinal)]).await.body, "alive");
    }
}

#[tokio::test]
async fn a_get_is_repeated_elsewhere_when_the_connection_ends_without_an_answer() {
    let (broken, spare) = (breaking().await, Replica::named("spare").await);
    let fixture = Fixture::start(&[broken.address, spare.address]).await;
    let response = get(fixture.port, "/", &[&fixture.to(0)]).await;
    assert_eq!((response.status, response.body.as_str()), (200, "spare"));
    assert_eq!(broken.connections(), 1);
    assert!(fixture.metrics().contains("kind=\"repeated\"} 1"), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_post_is_never_repeated_once_it_was_sent() {
    let (broken, spare) = (breaking().await, Replica::named("spare").await);
    let fixture = Fixture::start(&[broken.address, spare.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for (method, fields, body) in [("POST", "Content-Length: 0", ""), ("PUT", "Content-Length: 2", "hi")] {
        let response = client.request(method, "/", &[&fixture.to(0), fields], body).await;
        assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("upstreamreset")), "{method}");
    }
    assert_eq!(spare.requests(), 0);
}

#[tokio::test]
async fn repeats_end_with_the_attempts() {
    let (a, b, c) = (breaking().await, breaking().await, breaking().await);
    let fixture = Fixture::with(&[a.address, b.address, c.address], |policy| policy.retries.attempts = 1).await;
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
    assert_eq!(a.connections() + b.connections() + c.connections(), 2);
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_meanwhile_costs_not_even_a_post() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closed);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            stream.shutdown().await.unwrap();
            // The proxy closes its side when it has seen ours closed.
            read_head(&mut stream).await;
            counter.fetch_add(1, SeqCst);
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for count in 1..6 {
        let response = client.request("POST", "/", &["Content-Length: 0"], "").await;
        assert_eq!((response.status, response.body.as_str()), (200, "ok"));
        eventually("the proxy knows of the close", || closed.load(SeqCst) == count).await;
        assert_eq!(replica.connections(), count);
    }
}

#[tokio::test]
async fn a_pooled_connection_that_breaks_under_a_get_is_replaced_by_a_new_one_to_the_same_replica() {
    // Answers the first request of each connection and breaks off at the second.
    let home = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhome").await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let spare = Replica::named("spare").await;
    let fixture = Fixture::start(&[home.address, spare.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for _ in 0..4 {
        assert_eq!(client.get("/", &[&fixture.to(0)]).await.body, "home");
    }
    assert!(!fixture.is_ejected(0));
}

#[tokio::test]
async fn a_killed_replica_loses_no_get() {
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(Replica::named(name).await);
    }
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let fixture = Fixture::start(&addresses).await;
    let (port, done) = (fixture.port, Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..16)
        .map(|worker| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut client = Client::connect(port).await;
                for number in 0..200 {
                    let key = format!("X-User-Id: {worker}-{number}");
                    assert_eq!(client.get("/", &[&key]).await.status, 200);
                    done.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    eventually("the load runs", || done.load(SeqCst) > 500).await;
    replicas.remove(1);
    for task in load {
        task.await.unwrap();
    }
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test]
async fn repeats_end_with_the_budget() {
    let (broken, spare, (dead, _guard)) = (breaking().await, Replica::named("spare").await, refusing());
    let fixture =
        Fixture::with(&[broken.address, spare.address, dead], |policy| policy.retries.budget_percent = 0).await;
    // With one of three out, the broken one can't be ejected as well.
    assert_eq!(get(fixture.port, "/", &[&fixture.to(2)]).await.status, 200);
    assert!(fixture.is_ejected(2));
    let mut client = Client::connect(fixture.port).await;
    let key = fixture.to(0);
    let before = fixture.metrics().contains("kind=\"repeated\"} 1");
    for number in usize::from(before)..100 {
        assert_eq!(client.get("/", &[&key]).await.status, 200, "repeat {number} is in the reserve");
    }
    assert_eq!(client.get("/", &[&key]).await.status, 502);
    assert!(
        fixture.metrics().contains("retries_over_budget_total{namespace=\"default\",loadbalancer=\"web\"} 1"),
        "{}",
        fixture.metrics()
    );
}

#[tokio::test]
async fn a_request_over_the_budget_is_counted_once_even_on_a_pooled_connection() {
    // Answers the first request of each connection and breaks off at the second.
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::with(&[replica.address], |policy| policy.retries.budget_percent = 0).await;
    let mut client = Client::connect(fixture.port).await;
    while client.get("/", &[]).await.status == 200 {}
    let counted = "ringhold_retries_over_budget_total{namespace=\"default\",loadbalancer=\"web\"} 1\n";
    assert!(fixture.metrics().contains(counted), "{}", fixture.metrics());
}
