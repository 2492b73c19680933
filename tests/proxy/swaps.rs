//! Replicas come and go under load.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::support::{Client, Fixture, Replica, eventually, get, mk_replica, read_head};

#[tokio::test]
async fn requests_of_a_replica_that_leaves_finish_and_new_ones_go_elsewhere() {
    let (arrived, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, wait) = (Arc::clone(&arrived), Arc::clone(&gate));
    let old = Replica::raw(move |mut stream| {
        let (counter, wait) = (Arc::clone(&counter), Arc::clone(&wait));
        async move {
            read_head(&mut stream).await;
            counter.fetch_add(1, SeqCst);
            wait.notified().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").await.unwrap();
            // Its connection is not kept: the read ends when the proxy closes it.
            read_head(&mut stream).await;
            counter.fetch_add(1, SeqCst);
        }
    })
    .await;
    let new = Replica::named("new").await;
    let fixture = Fixture::start(&[old.address]).await;
    let left = mk_replica(0, 0, old.address);
    let mut running = Client::connect(fixture.port).await;
    running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is there", || arrived.load(SeqCst) == 1).await;

    fixture.publish(&[mk_replica(0, 1, new.address)]);
    assert_eq!(get(fixture.port, "/", &[]).await.body, "new");
    assert_eq!(fixture.publisher.traffic(&left.uid).in_flight, 1);
    gate.notify_one();
    assert_eq!(running.response("GET").await.unwrap().body, "old");
    eventually("the lease is back", || fixture.publisher.traffic(&left.uid).in_flight == 0).await;
    eventually("its connection is closed", || arrived.load(SeqCst) == 2).await;
}

#[tokio::test]
async fn idle_connections_to_a_replica_that_leaves_are_closed() {
    let closed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&closed);
    let old = Replica::raw(move |mut stream| {
        let flag = Arc::clone(&flag);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").await.unwrap();
            read_head(&mut stream).await;
            flag.store(true, SeqCst);
        }
    })
    .await;
    let new = Replica::named("new").await;
    let fixture = Fixture::start(&[old.address]).await;
    assert_eq!(get(fixture.port, "/", &[]).await.body, "old");
    assert!(!closed.load(SeqCst));
    fixture.publish(&[mk_replica(0, 1, new.address)]);
    eventually("its connection is closed", || closed.load(SeqCst)).await;
}

#[tokio::test]
async fn a_storm_of_swaps_loses_no_get() {
    let mut replicas = Vec::new();
    for name in ["a", "b", "c", "d"] {
        replicas.push(Replica::named(name).await);
    }
    let two = NonZeroUsize::new(2).unwrap();
    let fixture = Fixture::configured(&[replicas[0].address], |_| {}, |config| config.workers = two).await;
    let (port, stop, done) = (fixture.port, Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..8)
        .map(|number| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut client = Client::connect(port).await;
                let key = format!("X-User-Id: {number}");
                while !stop.load(SeqCst) {
                    let response = client.get("/", &[&key]).await;
                    assert_eq!(response.status, 200, "{response:?}");
                    done.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    // One ordinal, so that every swap leaves nobody of the table before it.
    for incarnation in 1..400 {
        let replica = &replicas[usize::try_from(incarnation).unwrap() % replicas.len()];
        fixture.publish(&[mk_replica(0, incarnation, replica.address)]);
        let seen = done.load(SeqCst);
        eventually("requests go on", || done.load(SeqCst) > seen).await;
    }
    stop.store(true, SeqCst);
    for task in load {
        task.await.unwrap();
    }
    eventually("all leases are back", || fixture.in_flight() == 0).await;
}
