//! Replicas come and go under load.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ringhold::model::Ordinal;
use ringhold::ring::{KeyHash, KeyHasher};
use ringhold::routes::PickError;
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
async fn a_route_that_is_no_longer_published_passes_no_ordinal_over() {
    let (a, b) = (Replica::named("a").await, Replica::named("b").await);
    let fixture = Fixture::start(&[a.address, b.address]).await;
    let (outdated, hasher) = (fixture.route(), KeyHasher::new(&[7; 16]));
    let hash = |ordinal| hasher.hash(KeyHash::SipHash, fixture.key_for(ordinal).as_bytes());
    fixture.publish(&[mk_replica(0, 0, a.address), mk_replica(1, 1, b.address)]);
    assert_eq!(outdated.pick(hash(1), &[]).unwrap_err(), PickError::Outdated);
    assert_eq!(outdated.pick(hash(0), &[]).unwrap().lease.upstream().ordinal, Ordinal(0));
    assert_eq!(fixture.route().pick(hash(1), &[]).unwrap().lease.upstream().ordinal, Ordinal(1));
}

#[tokio::test]
async fn a_request_whose_replica_broke_off_after_its_time_goes_to_its_successor() {
    let (arrived, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, wait) = (Arc::clone(&arrived), Arc::clone(&gate));
    let old = Replica::raw(move |mut stream| {
        let (counter, wait) = (Arc::clone(&counter), Arc::clone(&wait));
        async move {
            read_head(&mut stream).await;
            counter.fetch_add(1, SeqCst);
            wait.notified().await;
        }
    })
    .await;
    let (other, new) = (Replica::named("other").await, Replica::named("new").await);
    let fixture = Fixture::start(&[other.address, old.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", fixture.to(1))).await;
    eventually("the request is there", || arrived.load(SeqCst) == 1).await;
    fixture.publish(&[mk_replica(0, 0, other.address), mk_replica(1, 1, new.address)]);
    gate.notify_one();
    assert_eq!(client.response("GET").await.unwrap().body, "new");
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
async fn a_storm_of_swaps_loses_no_get_and_moves_no_key() {
    // Two of each name, whose ordinal it is.
    let mut replicas = Vec::new();
    for name in ["0", "1", "0", "1"] {
        replicas.push(Replica::named(name).await);
    }
    let two = NonZeroUsize::new(2).unwrap();
    let addresses = [replicas[0].address, replicas[1].address];
    let fixture = Fixture::configured(&addresses, |_| {}, |config| config.workers = two).await;
    let (port, stop, done) = (fixture.port, Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..8)
        .map(|number| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let (ordinal, key) = (number % 2, fixture.to(number % 2));
            tokio::spawn(async move {
                let mut client = Client::connect(port).await;
                while !stop.load(SeqCst) {
                    let response = client.get("/", &[&key]).await;
                    assert_eq!(response.status, 200, "{response:?}");
                    assert_eq!(response.body, ordinal.to_string(), "after {} requests", done.load(SeqCst));
                    done.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    // Both at once, so that every swap leaves nobody of the table before it; then one by one, as a rollout does.
    let mut incarnations = [0, 0];
    for swap in 0..600 {
        match swap {
            0..200 => incarnations = [swap + 1, swap + 1],
            _ => incarnations[usize::try_from(swap % 2).unwrap()] += 1,
        }
        let of = |ordinal: u16| {
            let incarnation = incarnations[usize::from(ordinal)];
            let address = replicas[usize::from(ordinal) + 2 * usize::try_from(incarnation % 2).unwrap()].address;
            mk_replica(ordinal, incarnation, address)
        };
        fixture.publish(&[of(0), of(1)]);
        let seen = done.load(SeqCst);
        let is_over = || load.iter().any(tokio::task::JoinHandle::is_finished);
        eventually("requests go on", || done.load(SeqCst) > seen || is_over()).await;
    }
    stop.store(true, SeqCst);
    for task in load {
        task.await.unwrap();
    }
    eventually("all leases are back", || fixture.in_flight() == 0).await;
}
