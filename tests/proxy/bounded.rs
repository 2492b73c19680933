//! Bounded load on real sockets, with several workers that race.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Response;

use crate::support::{Client, Fixture, Replica, eventually, get};

/// How many requests a replica has, and the most that it had.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    peak: AtomicUsize,
}

/// Holds each request a moment and counts those that it holds.
async fn holding(count: &Arc<Count>) -> Replica {
    let count = Arc::clone(count);
    Replica::http(move |_| {
        let count = Arc::clone(&count);
        async move {
            count.peak.fetch_max(count.now.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            count.now.fetch_sub(1, SeqCst);
            Response::new("done".into())
        }
    })
    .await
}

async fn fixture(replicas: &[Replica], factor: Option<f64>) -> Fixture {
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let four = NonZeroUsize::new(4).unwrap();
    Fixture::configured(&addresses, |policy| policy.bounded_load = factor, |config| config.workers = four).await
}

/// Clients who all want the same replica. Each request has its own connection, so that the next meets another worker
/// than the last. Returns the replicas' peaks.
async fn peaks_of(clients: usize, factor: Option<f64>) -> Vec<usize> {
    let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
    let mut replicas = Vec::new();
    for count in &counts {
        replicas.push(holding(count).await);
    }
    let fixture = fixture(&replicas, factor).await;
    let (port, key) = (fixture.port, fixture.to(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let key = key.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                assert_eq!(get(port, "/", &[&key]).await.status, 200);
            }
        });
    }
    tasks.join_all().await;
    eventually("all leases are back", || fixture.in_flight() == 0).await;
    let bounded = fixture.route().seats()[0].upstream.as_ref().unwrap().fleet_bounded();
    assert_eq!(bounded, 0);
    counts.iter().map(|count| count.peak.load(SeqCst)).collect()
}

#[tokio::test]
async fn a_hot_key_spreads_so_that_no_replica_exceeds_its_bound() {
    let peaks = peaks_of(12, Some(1.0)).await;
    assert!(peaks.iter().all(|peak| *peak <= 4), "{peaks:?}: more than a third of twelve");
    assert!(peaks_of(12, None).await[0] > 4, "without a bound all go to one");
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_in_the_fleet_back() {
    let silent = [Replica::http(|_| std::future::pending()).await];
    let fixture = fixture(&silent, Some(1.25)).await;
    let bounded = || fixture.route().seats()[0].upstream.as_ref().unwrap().fleet_bounded();
    let mut clients = Vec::new();
    for expected in 1..=3 {
        let mut client = Client::connect(fixture.port).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually("it is counted", || (bounded(), fixture.in_flight()) == (expected, expected)).await;
        clients.push(client);
    }
    drop(clients);
    eventually("all places are free", || (bounded(), fixture.in_flight()) == (0, 0)).await;
}
