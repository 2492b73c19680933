//! What does not come while a right is missing.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, PostParams};
use kube::{Resource, ResourceExt};
use ringhold_test_cluster::eventually;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Without;
use crate::support::Operator;

const SLICE: &str = "web-ringhold";

/// Objects of the kinds that fleets own.
pub(super) trait Kept:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned
{
}
impl<K> Kept for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned
{
}

// --- to begin ---

/// No pod, no status.
pub(super) async fn nothing_begins(without: Without) {
    without.world.apply(&without.world.manifest(1)).await;
    let _operator = without.start("a");
    // Asked again, it has had the time to do something.
    without.until_refused().await;
    without.until_refused().await;
    assert_eq!(without.world.living().await, []);
    assert_eq!(without.world.loadbalancers.get("web").await.unwrap().status, None);
}

/// It routes, and nothing more.
pub(super) async fn nobody_acts(without: Without) {
    without.world.apply(&without.world.manifest(1)).await;
    let operator = without.start("a");
    eventually("it routes", async || operator.is_ready().await.then_some(())).await;
    without.until_refused().await;
    assert_eq!(without.world.living().await, []);
    assert_eq!(without.world.loadbalancers.get("web").await.unwrap().status, None);
    assert_eq!(without.world.leader().await, None);
}

// --- to see ---

pub(super) async fn a_change_goes_unseen(without: Without) {
    without.world.apply(&without.world.manifest(1)).await;
    let _operator = without.start("a");
    without.world.until_ready(1).await;
    without.world.scale(2).await;
    without.until_refused().await;
    assert_eq!(without.world.living().await.len(), 1);
    assert_eq!(without.world.status().await.observed_generation, 1);
}

pub(super) async fn no_replica_turns_ready(without: Without) {
    let _operator = without.start("a");
    without.world.apply(&without.world.manifest(1)).await;
    eventually("the pod is ready", async || without.world.living().await.first().filter(|pod| is_ready(pod)).map(drop))
        .await;
    without.until_refused().await;
    assert_eq!(without.world.status().await.ready_replicas, 0);
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The Lease is free, and nobody takes it before the time that was told is over.
pub(super) async fn a_lease_given_back_goes_unseen(without: Without) {
    let first = without.start("a");
    eventually("the first leads", async || (without.world.leader().await.as_deref() == Some("a")).then_some(())).await;
    let second = without.start("b");
    // It asks for the Lease and for its watch at one time. Refused again, it knows who leads.
    eventually("the second has seen who leads", async || {
        (second.is_ready().await && second.log().lines().filter(|line| line.contains("403")).count() >= 2).then_some(())
    })
    .await;
    first.stop().await;
    without.until_refused().await;
    assert_eq!(without.world.leader().await, None);
}

/// A Service leads only to the proxies that there were at the start.
pub(super) async fn a_new_proxy_goes_unseen(without: Without) {
    let _operator = without.settled(1).await;
    without.world.pretend_pod("late", "10.1.2.3:5001".parse().unwrap(), true).await;
    without.until_refused().await;
    let slice = without.world.all::<EndpointSlice>().get(SLICE).await.unwrap();
    assert_eq!(slice.endpoints.unwrap_or_default(), []);
}

// --- to act ---

/// The fleet serves, and people don't hear of it.
pub(super) async fn nothing_is_said(without: Without) {
    let operator = without.start("a");
    without.world.apply(&without.world.manifest(1)).await;
    eventually("the fleet serves", async || operator.try_ask("ann").await.ok()).await;
    without.until_refused().await;
    assert_eq!(without.world.loadbalancers.get("web").await.unwrap().status, None);
}

pub(super) async fn no_pod_is_owned(without: Without) {
    let _operator = without.start("a");
    without.world.apply(&without.world.manifest(1)).await;
    let message = without.world.until_stated("Degraded", "True", "PodRejected").await;
    assert!(message.contains("blockOwnerDeletion"), "{message}");
    assert!(without.refusals().await > 0);
    assert_eq!(without.world.living().await, []);
}

pub(super) async fn no_pod_is_created(without: Without) {
    let _operator = without.start("a");
    without.world.apply(&without.world.manifest(1)).await;
    let message = without.world.until_stated("Degraded", "True", "Forbidden").await;
    assert!(message.contains("allow its service account to"), "{message}");
    assert!(without.refusals().await > 0);
    assert_eq!(without.world.living().await, []);
}

/// Whose the pod is that has a replica's name, nobody can say.
pub(super) async fn a_taken_name_stays_a_riddle(without: Without) {
    let _operator = without.settled(1).await;
    let name = without.world.living().await[0].name_any().replacen("web-0-", "web-1-", 1);
    let foreign = json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "other", "image": "other"}]},
    });
    without.world.pods.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    without.world.scale(2).await;
    let message = without.world.until_told("ReconcileFailed").await;
    assert!(message.contains("cannot get resource \"pods\""), "{message}");
    assert!(without.refusals().await > 0);
    assert!(without.world.status().await.conditions.iter().all(|condition| condition.reason != "NameTaken"));
}

pub(super) async fn the_fleet_does_not_shrink(without: Without) {
    let _operator = without.settled(2).await;
    without.world.scale(1).await;
    let message = without.world.until_told("ReconcileFailed").await;
    assert!(message.contains("is forbidden"), "{message}");
    without.until_refused().await;
    assert_eq!(without.world.living().await.len(), 2);
}

pub(super) async fn nothing_is_told(without: Without) {
    let _operator = without.settled(1).await;
    without.world.scale(2).await;
    without.world.until_ready(2).await;
    assert!(without.refusals().await > 0);
    assert_eq!(without.world.told().await, []);
}

// --- what fleets own ---

pub(super) async fn there_is_no_service(without: Without) {
    is_missing::<Service>(without, "web").await;
}

pub(super) async fn there_is_no_slice(without: Without) {
    is_missing::<EndpointSlice>(without, SLICE).await;
}

pub(super) async fn there_is_no_budget(without: Without) {
    is_missing::<PodDisruptionBudget>(without, "web").await;
}

/// The fleet itself is none the worse.
async fn is_missing<K: Kept>(without: Without, name: &str) {
    let _operator = without.settled(1).await;
    without.until_refused().await;
    assert!(without.world.all::<K>().get_opt(name).await.unwrap().is_none());
}

pub(super) async fn a_service_stays(without: Without) {
    stays::<Service>(without, "web").await;
}

pub(super) async fn a_slice_stays(without: Without) {
    stays::<EndpointSlice>(without, SLICE).await;
}

/// No Service is wanted any more.
async fn stays<K: Kept>(without: Without, name: &str) {
    let _operator = without.settled(1).await;
    until_there::<K>(&without, name).await;
    without.world.patch(&json!({"spec": {"service": {"type": null, "port": null}}})).await;
    without.until_refused().await;
    assert!(without.world.all::<K>().get_opt(name).await.unwrap().is_some());
}

pub(super) async fn a_lost_service_goes_unseen(without: Without) {
    a_loss_goes_unseen::<Service>(without, "web").await;
}

pub(super) async fn a_lost_slice_goes_unseen(without: Without) {
    a_loss_goes_unseen::<EndpointSlice>(without, SLICE).await;
}

pub(super) async fn a_lost_budget_goes_unseen(without: Without) {
    a_loss_goes_unseen::<PodDisruptionBudget>(without, "web").await;
}

/// It is made anew at the next look, but its loss is no reason for one.
async fn a_loss_goes_unseen<K: Kept>(without: Without, name: &str) {
    let operator = without.settled(1).await;
    // A look that was due for another reason says nothing; then the next loss is the one that counts.
    eventually("a loss goes unseen", async || goes_unseen::<K>(&without, &operator, name).await.then_some(())).await;
}

async fn goes_unseen<K: Kept>(without: &Without, operator: &Operator, name: &str) -> bool {
    until_there::<K>(without, name).await;
    let objects = without.world.all::<K>();
    let looks = operator.looks().await;
    objects.delete(name, &DeleteParams::default()).await.unwrap();
    without.until_refused().await;
    let is_gone = objects.get_opt(name).await.unwrap().is_none();
    let is_unseen = operator.looks().await == looks;
    if !is_unseen {
        // What a look leaves to do, the next one does.
        without.world.look_again(operator).await;
    }
    is_gone && is_unseen
}

async fn until_there<K: Kept>(without: &Without, name: &str) {
    let objects = without.world.all::<K>();
    eventually("the fleet owns it", async || objects.get_opt(name).await.unwrap().map(drop)).await;
}
