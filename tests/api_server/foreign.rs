//! What belongs to somebody else: it is neither adopted nor changed, and people are told that it is in the way.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, PostParams};
use kube::{Resource, ResourceExt};
use ringhold_test_cluster::eventually;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::world;

#[tokio::test]
async fn a_pod_with_our_labels_is_left_alone() {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    let foreign = pod("web-7-cafe-0", "7", "cafe");
    let foreign = world.pods.create(&PostParams::default(), &foreign).await.unwrap();
    world.apply(&world.manifest(1)).await;
    world.until_ready(1).await;
    world.scale(2).await;
    world.until_ready(2).await;
    let still = world.pods.get("web-7-cafe-0").await.unwrap();
    assert_eq!((still.uid(), &still.metadata.deletion_timestamp), (foreign.uid(), &None));
}

#[tokio::test]
async fn a_pod_that_has_a_replicas_name_is_not_adopted_and_the_rest_of_the_fleet_is_whole() {
    let Some(world) = world().await else { return };
    let operator = world.operator("a").await;
    world.apply(&world.manifest(1)).await;
    world.until_settled(1).await;
    let ours = world.living().await.remove(0);
    let name = ours.name_any().replacen("web-0-", "web-1-", 1);
    let foreign = pod(&name, "1", &ours.labels()["ringhold.dev/template"]);
    let foreign = world.pods.create(&PostParams::default(), &foreign).await.unwrap();

    world.scale(3).await;
    let message = world.until_stated("Degraded", "True", "NameTaken").await;
    assert!(message.contains(&name) && message.contains("kubectl delete pod"), "{message}");
    assert!(world.until_told("NameTaken").await.contains(&name));
    eventually("the rest is ready", async || (world.status().await.ready_replicas == 2).then_some(())).await;
    operator.key_of(2).await;
    let still = world.pods.get(&name).await.unwrap();
    assert_eq!((still.uid(), &still.metadata.deletion_timestamp), (foreign.uid(), &None));
    assert_eq!((still.owner_references(), still.labels()), (&[][..], foreign.labels()));

    // Once its owner has removed it, its place is filled.
    world.pods.delete(&name, &DeleteParams::default()).await.unwrap();
    world.until_settled(3).await;
    assert_ne!(world.pods.get(&name).await.unwrap().uid(), foreign.uid());
    operator.key_of(1).await;
}

#[tokio::test]
async fn a_service_of_the_fleets_name_is_left_alone() {
    let spec = json!({"ports": [{"port": 1234}], "selector": {"app": "theirs"}});
    keeps_its_owner::<Service>("web", json!({"spec": spec})).await;
}

#[tokio::test]
async fn a_slice_of_the_fleets_name_is_left_alone() {
    let slice = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.9.8.7"]}], "ports": [{"port": 1234}]});
    keeps_its_owner::<EndpointSlice>("web-ringhold", slice).await;
}

#[tokio::test]
async fn a_budget_of_the_fleets_name_is_left_alone() {
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "theirs"}}});
    keeps_its_owner::<PodDisruptionBudget>("web", json!({"spec": spec})).await;
}

/// It stays as it is, and is told of, while the fleet runs; when it is gone, the fleet gets its own.
async fn keeps_its_owner<K>(name: &str, mut object: Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let Some(world) = world().await else { return };
    let objects = world.all::<K>();
    object["metadata"] = json!({"name": name, "labels": {"app": "theirs"}});
    let before = objects.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let _operator = world.operator("a").await;
    world.apply(&world.manifest(1)).await;
    world.until_ready(1).await;
    let kind = K::kind(&());
    let message = world.until_stated("Degraded", "True", "NameTaken").await;
    assert!(message.contains(&format!("the {kind} {name} exists already")), "{message}");
    assert!(world.until_told("NameTaken").await.contains(name));
    assert_eq!(declared(&objects.get(name).await.unwrap()), declared(&before));

    objects.delete(name, &DeleteParams::default()).await.unwrap();
    world.until_stated("Degraded", "False", "AsExpected").await;
    let ours = objects.get(name).await.unwrap();
    assert_eq!(ours.owner_references()[0].uid, world.loadbalancers.get("web").await.unwrap().uid().unwrap());
}

/// All that its owner has declared, without what Kubernetes' own controllers say of it.
fn declared<K: Resource + Serialize>(object: &K) -> Value {
    let mut declared = serde_json::to_value(object).unwrap();
    declared["status"] = Value::Null;
    for field in ["resourceVersion", "managedFields"] {
        declared["metadata"][field] = Value::Null;
    }
    declared
}

/// One that has all the labels of ours, and no owner.
fn pod(name: &str, ordinal: &str, template: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "app.kubernetes.io/managed-by": "ringhold",
            "ringhold.dev/loadbalancer": "web",
            "ringhold.dev/ordinal": ordinal,
            "ringhold.dev/template": template,
            "ringhold.dev/incarnation": "0",
        }},
        "spec": {"containers": [{"name": "other", "image": "other"}]},
    }))
    .unwrap()
}
