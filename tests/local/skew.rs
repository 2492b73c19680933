//! Keys as they come: few are asked for all the time, most hardly ever. With bounded load no replica gets more than its
//! share of them, as the replicas themselves count.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::harness::{Manifest, Ringhold, free_port};

const REPLICAS: usize = 8;
/// Clients, each with one request at a time and the next as soon as it was answered.
const CLIENTS: usize = 64;
const REQUESTS_EACH: usize = 60;
const KEYS: usize = 10_000;
/// Of Zipf's law: the key of rank k comes 1 / k^1.1 as often as the first.
const EXPONENT: f64 = 1.1;
const FACTOR: f64 = 1.25;

/// What became of the load.
struct Seen {
    /// The most requests at one time, by the replicas' own count.
    peaks: Vec<u64>,
    /// The share of the requests that went to the first candidate of their key.
    stayed: f64,
    /// Picks that had to exceed the bound.
    exceeded: f64,
}

/// How often keys up to each come, summed up.
fn zipf() -> Arc<[f64]> {
    let mut sum = 0.0;
    (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-EXPONENT);
            sum
        })
        .collect()
}

async fn skewed_load(spec: &str) -> Seen {
    let mut manifest = Manifest::new(free_port());
    (manifest.replicas, manifest.spec) = (i64::try_from(REPLICAS).unwrap(), spec.to_owned());
    let ringhold = Ringhold::start(&manifest).await;
    let (port, sums) = (ringhold.port, zipf());
    let mut clients = JoinSet::new();
    for seed in 0..CLIENTS {
        let sums = Arc::clone(&sums);
        clients.spawn(async move {
            let (mut client, mut random) = (Client::new(port), fastrand::Rng::with_seed(seed as u64));
            for _ in 0..REQUESTS_EACH {
                let drawn = random.f64() * sums[KEYS - 1];
                let key = format!("key-{}", sums.partition_point(|sum| *sum < drawn));
                let (status, _) = client.get("/slow?ms=20", &[("X-User-Id", &key)]).await.unwrap();
                assert_eq!(status, 200);
            }
        });
    }
    clients.join_all().await;
    let (_, metrics) = Client::new(ringhold.admin).get("/metrics", &[]).await.unwrap();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let picks = |series: &str| -> f64 {
        let of_series = metrics.lines().filter(|line| line.starts_with(series));
        of_series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    let label = r#"{namespace="default",loadbalancer="web","#;
    let stayed = picks(&format!(r#"ringhold_ring_picks_total{label}first="Taken""#));
    let exceeded = picks(&format!(r#"ringhold_ring_doubtful_picks_total{label}despite="OverBound""#));
    let all = picks("ringhold_ring_picks_total{");
    assert_eq!(all, (CLIENTS * REQUESTS_EACH) as f64, "every request was picked once");
    Seen { peaks: peaks(&ringhold).await, stayed: stayed / all, exceeded }
}

async fn peaks(ringhold: &Ringhold) -> Vec<u64> {
    let mut peaks = Vec::new();
    for replica in ringhold.settled().await["replicas"].as_array().unwrap() {
        let port = replica["address"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        let (_, load) = Client::new(port).get("/load", &[]).await.unwrap();
        peaks.push(serde_json::from_slice::<Value>(&load).unwrap()["peak"].as_u64().unwrap());
    }
    assert_eq!(peaks.len(), REPLICAS);
    peaks
}

/// ⌈1.25 · 64 / 8⌉.
fn bound() -> u64 {
    let share = FACTOR * CLIENTS as f64 / REPLICAS as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ten")]
    let bound = share.ceil() as u64;
    bound
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the share that stayed is a figure to look at, not a promise")]
async fn a_skewed_load_never_exceeds_the_bound_on_any_replica() {
    let Seen { peaks, stayed, exceeded } = skewed_load("boundedLoad: {factor: 1.25}").await;
    println!(
        "{CLIENTS} clients, {REPLICAS} replicas, Zipf({EXPONENT}), factor {FACTOR}: peaks {peaks:?} of {}",
        bound()
    );
    println!("{:.1} % of the requests stayed on their first candidate", stayed * 100.0);
    assert!(peaks.iter().all(|peak| *peak <= bound()), "{peaks:?} of {}", bound());
    assert_eq!(exceeded, 0.0);
    assert!((0.5..1.0).contains(&stayed), "most keys stay, the hot ones overflow: {stayed}");
}

#[tokio::test]
async fn without_bounded_load_the_same_load_exceeds_that_by_far() {
    let Seen { peaks, stayed, .. } = skewed_load("").await;
    assert!(peaks.iter().any(|peak| *peak > bound()), "{peaks:?} of {}", bound());
    assert_eq!(stayed, 1.0);
}
