//! Ejection and return.

use std::time::Duration;

use ringhold::model::ReplicaState;
use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture, Replica, eventually, get, mk_replica, read_head, refusing};

const SOON: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_refused_connection_ejects_at_once_and_time_brings_back() {
    let (dead, _guard) = refusing();
    let (b, c) = (Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::configured(&[dead, b.address, c.address], |_| {}, |config| config.ejection = SOON).await;
    let key = fixture.to(0);
    assert_eq!(get(fixture.port, "/", &[&key]).await.status, 200);
    assert!(fixture.is_ejected(0));
    tokio::time::timeout(Duration::from_secs(5), fixture.publisher.woken()).await.expect("the controller is told");
    eventually("it is tried again", || !fixture.is_ejected(0)).await;
    assert_eq!(get(fixture.port, "/", &[&key]).await.status, 200);
    assert!(fixture.is_ejected(0), "and ejected again, for it still refuses");
    assert!(fixture.metrics().contains("ringhold_ejections_total{namespace=\"default\",loadbalancer=\"web\"} 2"));
}

#[tokio::test]
async fn an_ejected_replica_that_is_back_gets_its_keys_again() {
    let (address, guard) = refusing();
    let (b, c) = (Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::configured(&[address, b.address, c.address], |_| {}, |config| config.ejection = SOON).await;
    let key = fixture.to(0);
    assert_ne!(get(fixture.port, "/", &[&key]).await.body, "a");
    drop(guard);
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let home = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await.unwrap();
    });
    eventually("it is tried again", || !fixture.is_ejected(0)).await;
    assert_eq!(get(fixture.port, "/", &[&key]).await.body, "a");
    home.await.unwrap();
}

#[tokio::test]
async fn an_ejected_replica_that_turns_ready_anew_gets_its_keys_at_once() {
    let (address, _guard) = refusing();
    let (b, c) = (Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::start(&[address, b.address, c.address]).await;
    get(fixture.port, "/", &[&fixture.to(0)]).await;
    assert!(fixture.is_ejected(0), "for 30 seconds");
    let mut replicas: Vec<_> =
        (0..).zip([address, b.address, c.address]).map(|(ordinal, address)| mk_replica(ordinal, 0, address)).collect();
    replicas[0].state = ReplicaState::Unready { since: jiff::Timestamp::UNIX_EPOCH };
    fixture.publish(&replicas);
    replicas[0].state = ReplicaState::Ready { since: jiff::Timestamp::UNIX_EPOCH };
    fixture.publish(&replicas);
    assert!(!fixture.is_ejected(0));
}

#[tokio::test]
async fn five_failures_in_a_row_eject_and_fewer_do_not() {
    let broken = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let (b, c) = (Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::start(&[broken.address, b.address, c.address]).await;
    let key = fixture.to(0);
    for _ in 0..4 {
        assert_eq!(get(fixture.port, "/", &[&key]).await.status, 200);
    }
    assert!(!fixture.is_ejected(0));
    assert_eq!(get(fixture.port, "/", &[&key]).await.status, 200);
    assert!(fixture.is_ejected(0));
    assert_eq!(get(fixture.port, "/", &[&key]).await.status, 200);
    assert_eq!(broken.connections(), 5, "skipped from then on");
}

#[tokio::test]
async fn at_most_a_third_is_ejected_and_never_the_last() {
    let dead: Vec<_> = (0..6).map(|_| refusing()).collect();
    let addresses: Vec<_> = dead.iter().map(|(address, _)| *address).collect();
    let fixture = Fixture::start(&addresses).await;
    for ordinal in 0..6 {
        assert_eq!(get(fixture.port, "/", &[&fixture.to(ordinal)]).await.status, 502);
    }
    assert_eq!((0..6).filter(|ordinal| fixture.is_ejected(*ordinal)).count(), 2);
    fixture.publish(&[mk_replica(7, 0, addresses[0])]);
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
    assert!(!fixture.is_ejected(0), "the last that serves");
}

#[tokio::test]
async fn responses_that_break_off_count_as_failures() {
    let broken = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
    })
    .await;
    let (b, c) = (Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::start(&[broken.address, b.address, c.address]).await;
    let key = fixture.to(0);
    for number in 0..5 {
        assert!(!fixture.is_ejected(0), "after {number}");
        let mut client = Client::connect(fixture.port).await;
        client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")).await;
        assert_eq!(client.response("GET").await, None);
    }
    assert!(fixture.is_ejected(0));
}

#[tokio::test]
async fn an_upload_that_we_cut_off_is_not_the_replicas_failure() {
    // Answers before the body is complete, and then waits for the rest of it.
    let early = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
        while !read_head(&mut stream).await.is_empty() {}
    })
    .await;
    let b = Replica::named("b").await;
    let fixture = Fixture::with(&[early.address, b.address], |policy| policy.limits.max_body_bytes = 10).await;
    let key = fixture.to(0);
    for _ in 0..6 {
        let mut client = Client::connect(fixture.port).await;
        client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{key}\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
        client.head().await.unwrap();
        client.send("b\r\n0123456789a\r\n0\r\n\r\n").await;
        client.is_closed_now().await;
        eventually("it is over", || fixture.in_flight() == 0).await;
    }
    assert!(!fixture.is_ejected(0));
    assert!(
        fixture.metrics().contains("ringhold_broken_responses_total{namespace=\"default\",loadbalancer=\"web\"} 0")
    );
}
