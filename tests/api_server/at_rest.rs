//! A fleet at rest is left in peace: nothing is written while nothing changes.

use std::time::Duration;

use kube::ResourceExt;
use ringhold_test_cluster::{AuditEvent, eventually};

use crate::support::{shared, world};

/// Longer than any watch, any Lease and any pause.
const PEACE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_settled_fleet_is_not_written_to_for_a_minute() {
    let (Some(cluster), Some(world)) = (shared().await, world().await) else { return };
    let _operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    world.until_told("Settled").await; // the last of its Events, which are written beside the status
    let writes = async || {
        let asked = cluster.audit_of(&world.access).await.unwrap();
        let writes = asked.into_iter().filter(AuditEvent::is_write);
        writes.partition::<Vec<_>, _>(|event| event.resource == "leases")
    };
    let (renewed, before) = writes().await;
    tokio::time::sleep(PEACE).await;
    let (renewed_since, after) = writes().await;
    assert_eq!(after[before.len()..], []);
    assert!(renewed_since.len() > renewed.len(), "it was alive all the time, and renewed its Lease");
}

#[tokio::test]
async fn a_look_that_finds_nothing_to_do_writes_nothing() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let version = async || world.loadbalancers.get("web").await.unwrap().resource_version();
    let before = version().await;
    // A look that has a reason, and finds nothing to do: a mark for the next time that the fleet shrinks.
    let pod = world.living().await.remove(0).name_any();
    let seen = operator.looks().await;
    world.annotate(&pod, "ringhold.dev/remove-first", "true").await;
    eventually("the change has been looked at", async || (operator.looks().await > seen).then_some(())).await;
    assert_eq!(version().await, before);
}
