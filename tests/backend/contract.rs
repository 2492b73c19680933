//! The contract, case by case, for every backend.

use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use ringhold::backend::Backend;
use ringhold::model::{FleetId, Replica, ReplicaState, ReplicaUid};

use crate::fleet::replica;
use crate::harness::{Harness, is_dead};

/// Runs every case on every backend, each as a test of its own.
macro_rules! contract {
    ($($case:ident),+ $(,)?) => {
        mod fake {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::harness::Fake::new()).await;
            })+
        }

        mod process {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::harness::Process::new()).await;
            })+
        }

        mod kubernetes {
            $(#[tokio::test]
            async fn $case() {
                let Some(harness) = crate::cluster::Kubernetes::new().await else { return };
                super::$case(&harness).await;
            })+
        }
    };
}

contract![
    a_created_replica_turns_ready,
    a_name_is_created_once,
    a_dead_name_is_created_again_only_once_it_is_deleted,
    the_first_drain_mark_stays,
    another_copy_is_left_alone,
    what_is_gone_can_be_drained_and_deleted,
    a_deleted_replica_stops_and_is_forgotten,
    a_replica_is_stopped_before_it_was_ready,
    a_dead_replica_is_observed_with_its_reason_until_it_is_deleted,
    fleets_do_not_touch_each_other,
    every_step_wakes_who_waits,
];

fn web() -> FleetId {
    FleetId::local("web")
}

async fn a_created_replica_turns_ready(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let mut new = replica(&desired, 2, 7);
    new.failures = 3;
    let before = harness.replicas(&desired).await;
    harness.backend().create(&desired, &new).await.unwrap();
    let at_once = harness.replicas(&desired).await;
    let ready = harness.ready(&desired, &new).await;

    assert_eq!(before, []);
    assert!(matches!(at_once[0].state, ReplicaState::Starting | ReplicaState::Ready { .. }), "{at_once:#?}");
    let ReplicaState::Ready { since } = ready.state else { panic!("{ready:#?}") };
    assert!(since >= ready.created_at && ready.address.is_some(), "{ready:#?}");
    assert_eq!(
        (ready.name, ready.ordinal, ready.incarnation, ready.template, ready.failures, ready.draining_since),
        (new.name, new.ordinal, new.incarnation, new.template, 3, None)
    );
}

async fn a_name_is_created_once(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let backend = harness.backend();
    let (one, other) = tokio::join!(backend.create(&desired, &new), backend.create(&desired, &new));
    assert_eq!((one, other), (Ok(()), Ok(())));
    let ready = harness.ready(&desired, &new).await;
    assert_eq!(backend.create(&desired, &new).await, Ok(()));
    assert_eq!(harness.replicas(&desired).await, [ready]);
}

async fn a_dead_name_is_created_again_only_once_it_is_deleted(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let first = harness.ready(&desired, &new).await;
    harness.kill(&first).await;
    let dead = harness.until(&desired, "it is dead", |replicas| replicas.iter().any(is_dead)).await;

    assert_eq!(harness.backend().create(&desired, &new).await, Ok(()));
    assert_eq!(harness.replicas(&desired).await, dead, "the name is taken by the dead one");

    harness.backend().delete(&desired.id, &first.name, &first.uid).await.unwrap();
    let second = harness.ready(&desired, &new).await;
    assert_eq!(second.name, first.name);
    assert_ne!(second.uid, first.uid, "a uid is one copy");
}

async fn the_first_drain_mark_stays(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let Replica { name, uid, .. } = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    let (first, second) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(2_000).unwrap());
    for since in [first, second, Timestamp::UNIX_EPOCH] {
        assert_eq!(harness.backend().drain(&desired.id, &name, &uid, since).await, Ok(()));
    }
    let marked = harness.until(&desired, "it is marked", |replicas| replicas[0].draining_since.is_some()).await;
    assert_eq!(marked[0].draining_since, Some(first));
    assert!(marked[0].is_ready(), "a draining replica still finishes its requests: {marked:#?}");

    harness.kill(&marked[0]).await;
    let dead = harness.until(&desired, "it is dead", |replicas| is_dead(&replicas[0])).await;
    assert_eq!(dead[0].draining_since, Some(first));
}

async fn another_copy_is_left_alone(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let ready = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    let (backend, other) = (harness.backend(), replica(&desired, 1, 0).name);
    let gone = ReplicaUid("an-earlier-copy".into());
    for (name, uid) in [(&ready.name, &gone), (&other, &ready.uid)] {
        assert_eq!(backend.drain(&desired.id, name, uid, Timestamp::UNIX_EPOCH).await, Ok(()));
        assert_eq!(backend.delete(&desired.id, name, uid).await, Ok(()));
    }
    assert_eq!(harness.replicas(&desired).await, [ready]);
}

async fn what_is_gone_can_be_drained_and_deleted(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let Replica { name, uid, .. } = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    for _ in 0..2 {
        assert_eq!(harness.backend().delete(&desired.id, &name, &uid).await, Ok(()));
    }
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    assert_eq!(harness.backend().drain(&desired.id, &name, &uid, Timestamp::UNIX_EPOCH).await, Ok(()));
    assert_eq!(harness.backend().delete(&desired.id, &name, &uid).await, Ok(()));
    assert_eq!(harness.replicas(&desired).await, []);
}

async fn a_deleted_replica_stops_and_is_forgotten(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let [zero, one] = [0, 1].map(|ordinal| replica(&desired, ordinal, 0));
    let goes = harness.ready(&desired, &zero).await;
    let stays = harness.ready(&desired, &one).await;
    harness.backend().delete(&desired.id, &goes.name, &goes.uid).await.unwrap();
    let after = harness.replicas(&desired).await;
    let is_on_its_way =
        |replica: &&Replica| replica.uid == goes.uid && !matches!(replica.state, ReplicaState::Terminating);
    assert_eq!(after.iter().find(is_on_its_way), None, "stopping or gone");
    let left = harness.until(&desired, "it is gone", |replicas| replicas.len() == 1).await;
    assert_eq!(left, [stays]);
}

async fn a_replica_is_stopped_before_it_was_ready(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    harness.backend().create(&desired, &new).await.unwrap();
    let uid = harness.replicas(&desired).await.remove(0).uid;
    harness.backend().delete(&desired.id, &new.name, &uid).await.unwrap();
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
}

async fn a_dead_replica_is_observed_with_its_reason_until_it_is_deleted(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let ready = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    harness.kill(&ready).await;
    let dead = harness.until(&desired, "it is dead", |replicas| replicas.iter().any(is_dead)).await;
    let [Replica { name, uid, state: ReplicaState::Dead { since, reason, .. }, .. }] = &dead[..] else {
        panic!("{dead:#?}")
    };
    assert_eq!((&ready.name, &ready.uid, reason.as_str()), (name, uid, "killed by signal 9"));
    assert!(*since >= ready.created_at, "{dead:#?}");

    harness.backend().create(&desired, &replica(&desired, 0, 1)).await.unwrap();
    let both = harness.until(&desired, "its successor is there", |replicas| replicas[1].is_ready()).await;
    assert_eq!(both[0], dead[0], "nothing is forgotten early");
    harness.backend().delete(&desired.id, name, uid).await.unwrap();
    let left = harness.until(&desired, "the dead one is forgotten", |replicas| replicas.len() == 1).await;
    assert_eq!(left, both[1..]);
}

async fn fleets_do_not_touch_each_other(harness: &impl Harness) {
    let [ours, theirs] = ["ours", "theirs"].map(|namespace| harness.fleet(&FleetId::new(namespace, "web")));
    let our_new = replica(&ours, 0, 0);
    assert_eq!(our_new, replica(&theirs, 0, 0), "fleets of two namespaces give their replicas the same names");
    let our_own = harness.ready(&ours, &our_new).await;
    let their_own = harness.ready(&theirs, &our_new).await;
    assert_ne!(our_own.uid, their_own.uid);

    let (name, uid) = (&their_own.name, &their_own.uid);
    harness.backend().drain(&ours.id, name, uid, Timestamp::UNIX_EPOCH).await.unwrap();
    harness.backend().delete(&ours.id, name, uid).await.unwrap();
    assert_eq!(harness.replicas(&ours).await, [our_own]);
    assert_eq!(harness.replicas(&theirs).await, [their_own]);
    assert_eq!(harness.replicas(&harness.fleet(&web())).await, []);
}

async fn every_step_wakes_who_waits(harness: &impl Harness) {
    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let backend = harness.backend();
    let woken = async || tokio::time::timeout(Duration::from_secs(30), backend.changed()).await.unwrap();
    assert_eq!(backend.changed().now_or_never(), None, "nothing has happened yet");

    let ((), created) = tokio::join!(woken(), backend.create(&desired, &new));
    assert_eq!(created, Ok(()));
    let ready = harness.ready(&desired, &new).await; // `until` looks only when it is woken
    while backend.changed().now_or_never().is_some() {}
    backend.drain(&desired.id, &ready.name, &ready.uid, Timestamp::UNIX_EPOCH).await.unwrap();
    woken().await;
    backend.delete(&desired.id, &ready.name, &ready.uid).await.unwrap();
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
}
