//! Which replica a key belongs to, asked by real requests before and after a change.

use std::collections::BTreeMap;

use crate::harness::{Manifest, Ringhold, free_port};
use crate::load::owners;

const KEYS: u32 = 10_000;

#[tokio::test]
async fn equal_keys_reach_one_replica_and_different_keys_reach_all_evenly() {
    let ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    let mut client = ringhold.client();
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(client.get("/home", &[("X-User-Id", "ann")]).await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    owners(ringhold.port, 1_000).await.into_iter().for_each(|owner| *counts.entry(owner).or_default() += 1);
    assert_eq!(counts.len(), 3);
    for count in counts.values() {
        assert!((284..=383).contains(count), "not within 15 % of a third: {counts:?}");
    }
}

#[tokio::test]
async fn growing_moves_only_keys_that_land_on_the_new_ordinal() {
    let mut manifest = Manifest::new(free_port());
    let ringhold = Ringhold::start(&manifest).await;
    let before = owners(ringhold.port, KEYS).await;
    manifest.replicas = 4;
    ringhold.edit(&manifest);
    ringhold.settled_at(2).await;
    let after = owners(ringhold.port, KEYS).await;
    let moved: Vec<u64> = before.iter().zip(&after).filter(|(old, new)| old != new).map(|(_, new)| *new).collect();
    assert!(moved.iter().all(|new| *new == 3), "keys moved between old ordinals");
    assert!((2_200..=2_800).contains(&moved.len()), "{} of {KEYS} keys moved", moved.len());
}

#[tokio::test]
async fn a_rollout_changes_no_keys_ordinal() {
    let mut manifest = Manifest::new(free_port());
    let ringhold = Ringhold::start(&manifest).await;
    let before = owners(ringhold.port, KEYS).await;
    manifest.version = 2;
    ringhold.edit(&manifest);
    let during = owners(ringhold.port, KEYS).await;
    ringhold.settled_at(2).await;
    assert_eq!(before, during);
    assert_eq!(before, owners(ringhold.port, KEYS).await);
}

#[tokio::test]
async fn a_kill_and_its_replacement_bring_every_key_home() {
    let ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    let before = owners(ringhold.port, KEYS).await;
    let victim = ringhold.replica(1).await;
    victim.kill();
    ringhold.says("web-1 died (killed by signal 9)").await;
    let replaced = |shown: &serde_json::Value| {
        shown["replicas"].as_array().unwrap().iter().all(|replica| replica["name"] != victim.name.as_str())
    };
    ringhold.until("the dead replica is forgotten", replaced).await;
    ringhold.settled().await;
    assert_eq!(before, owners(ringhold.port, KEYS).await);
}
