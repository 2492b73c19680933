//! What stands on a pod, whoever wrote it, and what Ringhold makes of it.

use jiff::{SignedDuration, Timestamp};
use ringhold::backend::Backend;
use ringhold::model::{Desired, FleetId, Replica};
use serde_json::{Value, json};

use crate::cluster::Kubernetes;
use crate::fleet::replica;
use crate::harness::Harness;

/// One ready replica of a fleet.
async fn one_ready(harness: &Kubernetes) -> (Desired, Replica) {
    let desired = harness.fleet(&FleetId::local("web"));
    let ready = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    (desired, ready)
}

#[tokio::test]
async fn a_ringhold_that_begins_anew_finds_everything_on_the_pods() {
    let Some(harness) = Kubernetes::new().await else { return };
    let desired = harness.fleet(&FleetId::local("web"));
    let mut new = replica(&desired, 3, 5);
    new.failures = 2;
    let ready = harness.ready(&desired, &new).await;
    harness.backend().drain(&desired.id, &ready.name, &ready.uid, Timestamp::UNIX_EPOCH).await.unwrap();
    let here = harness.replicas(&desired).await;
    let there = harness.another(&desired).await.observe(&desired.id).await.unwrap();
    assert_eq!(there, here);
    assert_eq!((here[0].failures, here[0].draining_since), (2, Some(Timestamp::UNIX_EPOCH)));
}

#[tokio::test]
async fn a_mark_that_another_ringhold_wrote_unseen_stays() {
    let Some(harness) = Kubernetes::new().await else { return };
    let (desired, Replica { name, uid, .. }) = one_ready(&harness).await;
    let blind = harness.another(&desired).await;
    let [first, second] = [1_000, 2_000].map(|second| Timestamp::from_second(second).unwrap());
    harness.backend().drain(&desired.id, &name, &uid, first).await.unwrap();
    assert_eq!(blind.drain(&desired.id, &name, &uid, second).await, Ok(()));
    assert_eq!(blind.observe(&desired.id).await.unwrap()[0].draining_since, Some(first));
    assert_eq!(harness.replicas(&desired).await[0].draining_since, Some(first));
}

#[tokio::test]
async fn a_pod_that_has_changed_unseen_is_marked_all_the_same() {
    let Some(harness) = Kubernetes::new().await else { return };
    let (desired, ready) = one_ready(&harness).await;
    let blind = harness.another(&desired).await;
    harness.change(&ready, &json!({"metadata": {"annotations": {"note": "changed"}}})).await;
    assert_eq!(blind.drain(&desired.id, &ready.name, &ready.uid, Timestamp::UNIX_EPOCH).await, Ok(()));
    assert_eq!(blind.observe(&desired.id).await.unwrap()[0].draining_since, Some(Timestamp::UNIX_EPOCH));
    let pod = harness.pod(&ready).await;
    assert_eq!(pod.metadata.annotations.unwrap()["note"], "changed");
}

#[tokio::test]
async fn another_copy_of_the_name_is_neither_marked_nor_stopped_by_who_has_not_seen_it() {
    let Some(harness) = Kubernetes::new().await else { return };
    let (desired, first) = one_ready(&harness).await;
    let blind = harness.another(&desired).await;
    harness.backend().delete(&desired.id, &first.name, &first.uid).await.unwrap();
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    let second = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    assert_eq!(first.name, second.name);
    assert_eq!(blind.delete(&desired.id, &first.name, &first.uid).await, Ok(()));
    assert_eq!(blind.drain(&desired.id, &first.name, &first.uid, Timestamp::UNIX_EPOCH).await, Ok(()));
    assert_eq!(blind.observe(&desired.id).await.unwrap(), [], "the answer says that the first is gone");
    assert_eq!(harness.another(&desired).await.observe(&desired.id).await.unwrap(), [second]);
}

#[tokio::test]
async fn a_mark_that_people_set_without_a_time_counts_from_when_they_did() {
    let Some(harness) = Kubernetes::new().await else { return };
    let (desired, ready) = one_ready(&harness).await;
    let annotation = |text: &str| json!({"metadata": {"annotations": {"ringhold.dev/draining-since": text}}});
    let before = Timestamp::now() - SignedDuration::from_secs(1); // the API server counts in seconds
    harness.change(&ready, &annotation("")).await;
    let marked = harness.until(&desired, "it drains", |replicas| replicas[0].draining_since.is_some()).await;
    let since = marked[0].draining_since.unwrap();
    assert!(since >= before && since <= Timestamp::now(), "{since}");

    harness.backend().drain(&desired.id, &ready.name, &ready.uid, Timestamp::UNIX_EPOCH).await.unwrap();
    let there = harness.another(&desired).await.observe(&desired.id).await.unwrap();
    assert_eq!((there[0].draining_since, harness.replicas(&desired).await), (Some(since), there));
}

#[tokio::test]
async fn people_say_which_replica_goes_first() {
    let Some(harness) = Kubernetes::new().await else { return };
    let (desired, ready) = one_ready(&harness).await;
    let mark = |place: &str, value: Value| json!({"metadata": {(place): {"ringhold.dev/remove-first": value}}});
    let steps = [
        (mark("annotations", json!("true")), true),
        (mark("annotations", json!("false")), false),
        (mark("labels", json!("")), true),
        (mark("labels", Value::Null), false),
    ];
    for (change, goes_first) in steps {
        harness.change(&ready, &change).await;
        harness.until(&desired, &change.to_string(), |replicas| replicas[0].remove_first == goes_first).await;
    }
}
