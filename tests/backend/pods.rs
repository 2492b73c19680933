//! What the Kubernetes backend promises besides the contract: whose pods it touches, what it makes of refusals, and what
//! it sees while the API server is away.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use ringhold::backend::kubernetes::{KubernetesBackend, KubernetesConfig, effective_manifest};
use ringhold::backend::{Backend, BackendError, Unsupported};
use ringhold::model::{Desired, FleetId, FleetUid, NewReplica, Replica, ReplicaState, ReplicaUid};
use ringhold_test_cluster::eventually;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Kubernetes};
use crate::fleet::replica;
use crate::harness::{Harness, is_dead};

fn web() -> FleetId {
    FleetId::local("web")
}

/// Creates a pod as somebody else does; it waits to be placed for ever.
async fn somebody_creates(harness: &Kubernetes, metadata: Value) -> Pod {
    let spec = json!({
        "containers": [{"name": "c", "image": "ringhold-server:dev"}],
        "schedulingGates": [{"name": "example.com/wait"}],
    });
    let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
    harness.pods().create(&PostParams::default(), &pod).await.unwrap()
}

fn marks_of(desired: &Desired, new: &NewReplica) -> Value {
    json!({
        "app.kubernetes.io/managed-by": "ringhold",
        "ringhold.dev/loadbalancer": &*desired.id.name,
        "ringhold.dev/ordinal": new.ordinal.to_string(),
        "ringhold.dev/template": new.template.to_string(),
        "ringhold.dev/incarnation": new.incarnation.to_string(),
    })
}

fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
    let api = if kind == "LoadBalancer" { "ringhold.dev/v1alpha1" } else { "apps/v1" };
    json!([{"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

fn reason_of(refused: Result<(), BackendError>) -> (&'static str, String) {
    match refused {
        Err(BackendError::Rejected { reason, message }) => (reason, message),
        other => panic!("{other:?}"),
    }
}

fn unavailable(message: &str) -> Result<(), BackendError> {
    Err(BackendError::Unavailable { message: message.to_owned() })
}

#[tokio::test]
async fn pods_that_are_not_the_loadbalancers_are_left_alone_though_they_bear_its_labels() {
    let Some(harness) = Kubernetes::new().await else { return };
    let desired = harness.fleet(&web());
    let owners = [
        Value::Null,
        owned_by("ReplicaSet", "web", &desired.uid.0),
        owned_by("LoadBalancer", "other", &desired.uid.0),
        owned_by("LoadBalancer", "web", "the-uid-of-an-earlier-one"),
    ];
    for (ordinal, owner) in (0..).zip(owners) {
        let new = replica(&desired, ordinal, 0);
        let metadata = json!({"name": new.name.as_str(), "labels": marks_of(&desired, &new), "ownerReferences": owner});
        let before = somebody_creates(&harness, metadata).await;
        let uid = ReplicaUid(before.metadata.uid.as_deref().unwrap().into());
        assert_eq!(harness.backend().drain(&desired.id, &new.name, &uid, Timestamp::UNIX_EPOCH).await, Ok(()));
        assert_eq!(harness.backend().delete(&desired.id, &new.name, &uid).await, Ok(()));
        assert_eq!(harness.pods().get(new.name.as_str()).await.unwrap(), before);
    }
    let ours = harness.ready(&desired, &replica(&desired, 9, 0)).await;
    assert_eq!(harness.replicas(&desired).await, [ours], "the watch has passed the others by");
}

#[tokio::test]
async fn a_name_that_somebody_elses_pod_has_is_told_with_the_way_out() {
    let Some(harness) = Kubernetes::new().await else { return };
    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let (name, namespace) = (new.name.as_str(), harness.namespace());
    let theirs = json!({"name": name, "ownerReferences": owned_by("ReplicaSet", "cache", "1")});
    somebody_creates(&harness, theirs).await;
    let message = format!(
        "pod {name} exists in namespace {namespace} and is ReplicaSet cache's; \
         remove it: kubectl delete pod --namespace {namespace} {name}"
    );
    assert_eq!(reason_of(harness.backend().create(&desired, &new).await), ("NameTaken", message));
    assert_eq!(harness.replicas(&desired).await, []);

    harness.pods().delete(name, &DeleteParams::default()).await.unwrap();
    harness.ready(&desired, &new).await;
}

#[tokio::test]
async fn a_name_that_an_earlier_loadbalancers_pod_has_is_waited_for() {
    let Some(harness) = Kubernetes::new().await else { return };
    let mut desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let earlier = harness.ready(&desired, &new).await;

    desired.uid = FleetUid("another-uid".into());
    harness.backend().accept(&desired).unwrap();
    assert_eq!(harness.replicas(&desired).await, []);
    let refused = harness.backend().create(&desired, &new).await;
    let message =
        format!("pod {} of an earlier LoadBalancer {} is still there; Kubernetes removes it", new.name, desired.id);
    assert_eq!(refused, unavailable(&message));

    let mut touched = Box::pin(harness.backend().touched());
    while touched.next().now_or_never().is_some() {}
    harness.pods().delete(earlier.name.as_str(), &DeleteParams::default()).await.unwrap();
    assert_eq!(touched.next().await, Some(desired.id.clone()), "who waits for the name hears of it");
    let created = eventually("the name is free", async || harness.backend().create(&desired, &new).await.ok()).await;
    assert_eq!((created, harness.replicas(&desired).await.len()), ((), 1));
}

#[tokio::test]
async fn a_name_whose_pod_is_still_stopping_is_waited_for() {
    let Some(harness) = Kubernetes::new().await else { return };
    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let first = harness.ready(&desired, &new).await;
    harness.change(&first, &json!({"metadata": {"finalizers": ["example.com/wait"]}})).await;
    harness.backend().delete(&desired.id, &first.name, &first.uid).await.unwrap();
    let refused = harness.backend().create(&desired, &new).await;
    assert_eq!(refused, unavailable(&format!("an earlier pod {} is still stopping", new.name)));
    assert_eq!(harness.replicas(&desired).await[0].state, ReplicaState::Terminating);

    harness.change(&first, &json!({"metadata": {"finalizers": null}})).await;
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    harness.ready(&desired, &new).await;
}

#[tokio::test]
async fn a_template_that_the_api_server_refuses_is_rejected_in_its_words() {
    let Some(harness) = Kubernetes::new().await else { return };
    let cases = [
        (
            json!({"containers": [{"name": "server", "image": "ringhold-server:dev"}], "dnsPolicy": "Sometimes"}),
            "spec.dnsPolicy: Unsupported value: \"Sometimes\"",
        ),
        (
            json!({"containers": [{"name": "server", "image": "ringhold-server:dev", "imagePullPolcy": "Never"}]}),
            "unknown field \"spec.containers[0].imagePullPolcy\"",
        ),
    ];
    for (spec, words) in cases {
        let mut desired = harness.fleet(&web());
        Arc::make_mut(&mut desired.template).manifest = json!({"spec": spec});
        let (reason, message) = reason_of(harness.backend().create(&desired, &replica(&desired, 0, 0)).await);
        assert_eq!(reason, "PodRejected");
        assert!(message.contains(words), "{message}");
        assert_eq!(harness.replicas(&desired).await, []);
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_as_such() {
    let Some(harness) = Kubernetes::new().await else { return };
    let quotas: Api<ResourceQuota> = Api::namespaced(harness.client.clone(), harness.namespace());
    let hard = json!({"pods": "0"});
    let quota = serde_json::from_value(json!({"metadata": {"name": "few"}, "spec": {"hard": hard}})).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    // In the place of the controller that counts.
    let status = json!({"status": {"hard": hard, "used": {"pods": "0"}}});
    quotas.patch_status("few", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    let desired = harness.fleet(&web());
    let new = replica(&desired, 0, 0);
    let refused = eventually("the API server knows of the quota", async || {
        let created = harness.backend().create(&desired, &new).await;
        for replica in harness.replicas(&desired).await {
            harness.backend().delete(&desired.id, &replica.name, &replica.uid).await.unwrap();
        }
        created.is_err().then_some(created)
    });
    let (reason, message) = reason_of(refused.await);
    assert_eq!(reason, "QuotaExceeded");
    assert!(message.contains("exceeded quota: few"), "{message}");
}

#[tokio::test]
async fn a_right_that_ringhold_lacks_is_named_and_nothing_is_observed_meanwhile() {
    let Some(cluster) = Cluster::shared() else { return };
    let nobody = cluster.control.service_account("default", "without-rights").await.unwrap();
    let (harness, watch) = Kubernetes::with(cluster, nobody.client().unwrap()).await;
    let desired = harness.fleet(&web());
    let watching = tokio::spawn(watch.run(std::future::pending()));
    let (reason, message) = reason_of(harness.backend().create(&desired, &replica(&desired, 0, 0)).await);
    assert_eq!(reason, "Forbidden");
    let start =
        format!("Ringhold may not create pods in namespace {}; allow its service account to: ", desired.id.namespace);
    assert!(message.starts_with(&start) && message.contains("without-rights"), "{message}");

    let unknown = BackendError::Unavailable { message: "the pods have not been listed yet".to_owned() };
    assert_eq!(harness.backend().observe(&desired.id).await, Err(unknown));
    assert!(!watching.is_finished(), "it tries again");
}

#[tokio::test]
async fn a_namespace_that_is_gone_is_no_fault_of_the_template() {
    let Some(harness) = Kubernetes::new().await else { return };
    let mut desired = harness.fleet(&web());
    desired.id = FleetId::new("gone-for-good", "web");
    let refused = harness.backend().create(&desired, &replica(&desired, 0, 0)).await;
    assert_eq!(refused, unavailable("namespace gone-for-good is gone: namespaces \"gone-for-good\" not found"));
}

#[tokio::test]
async fn only_the_namespace_that_is_watched_is_accepted() {
    let Some(harness) = Kubernetes::new().await else { return };
    let desired = harness.fleet(&web());
    let only = |namespace: &str| {
        let config = KubernetesConfig { namespace: Some(namespace.into()) };
        KubernetesBackend::new(harness.client.clone(), config).0
    };
    assert_eq!(only(harness.namespace()).accept(&desired), Ok(()));
    let message = "Ringhold watches namespace elsewhere only; move the LoadBalancer there".to_owned();
    let path = "metadata.namespace".to_owned();
    assert_eq!(only("elsewhere").accept(&desired), Err(vec![Unsupported { path, message }]));
}

#[tokio::test]
async fn a_pod_is_what_the_template_says() {
    let Some(harness) = Kubernetes::new().await else { return };
    let spec = json!({
        "containers": [
            {"name": "beside", "image": "ringhold-server:dev"},
            {"name": "server", "image": "ringhold-server:dev", "ports": [{"containerPort": 8081, "name": "http"}]},
        ],
        "hostAliases": [{"ip": "127.0.0.9", "hostnames": ["nine"]}],
        "schedulingGates": [{"name": "example.com/wait"}],
    });
    let desired = harness.fleet_of(&web(), &spec);
    harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    let replicas = harness.replicas(&desired).await;
    let pod = serde_json::to_value(harness.pod(&replicas[0]).await).unwrap();
    let declared = effective_manifest(&desired);
    assert_eq!(pod["spec"]["hostAliases"], spec["hostAliases"]);
    assert_eq!(pod["spec"]["containers"][1]["readinessProbe"], declared["spec"]["containers"][1]["readinessProbe"]);
    assert_eq!(pod["spec"]["containers"][0]["readinessProbe"], Value::Null);
    assert_eq!(pod["metadata"]["managedFields"][0]["manager"], "ringhold");
}

#[tokio::test]
async fn every_step_is_seen_at_once_though_nothing_watches() {
    let Some(harness) = Kubernetes::blind().await else { return };
    let (backend, desired) = (harness.backend(), harness.fleet(&web()));
    let new = replica(&desired, 0, 0);
    backend.create(&desired, &new).await.unwrap();
    let created = harness.replicas(&desired).await;
    let [Replica { name, uid, state: ReplicaState::Starting, draining_since: None, .. }] = &created[..] else {
        panic!("{created:#?}")
    };
    backend.drain(&desired.id, name, uid, Timestamp::UNIX_EPOCH).await.unwrap();
    let drained = harness.replicas(&desired).await;
    assert_eq!(drained[0].draining_since, Some(Timestamp::UNIX_EPOCH));
    backend.delete(&desired.id, name, uid).await.unwrap();
    let deleted = harness.replicas(&desired).await;
    assert_eq!(deleted.iter().find(|replica| replica.state != ReplicaState::Terminating), None);

    eventually("the pod is gone", async || {
        harness.pods().get_opt(name.as_str()).await.unwrap().is_none().then_some(())
    })
    .await;
    backend.delete(&desired.id, name, uid).await.unwrap();
    assert_eq!(harness.replicas(&desired).await, [], "who is told that it is gone needs no watch");
}

#[tokio::test]
async fn a_pod_that_nobody_has_placed_is_seen_as_stopping_at_once() {
    let Some(harness) = Kubernetes::blind().await else { return };
    let container = json!({"name": "server", "image": "ringhold-server:dev"});
    let gate = json!([{"name": "example.com/wait"}]);
    let desired = harness.fleet_of(&web(), &json!({"containers": [container], "schedulingGates": gate}));
    harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    let Replica { name, uid, .. } = harness.replicas(&desired).await.remove(0);
    harness.backend().delete(&desired.id, &name, &uid).await.unwrap();
    assert_eq!(harness.pods().get_opt(name.as_str()).await.unwrap(), None, "the API server removes it without a word");
    let seen = harness.replicas(&desired).await;
    assert!(seen.iter().all(|replica| replica.state == ReplicaState::Terminating), "{seen:#?}");
}

#[tokio::test]
async fn while_the_api_server_is_away_its_last_word_counts_and_afterwards_what_has_happened() {
    let Some(cluster) = Cluster::shared() else { return };
    let gate = cluster.control.gate().await.unwrap();
    let (harness, watch) = Kubernetes::with(cluster, cluster.control.admin().through(&gate).client().unwrap()).await;
    harness.watch(watch).await;
    let desired = harness.fleet(&web());
    let [dies, goes] = [0, 1].map(|ordinal| replica(&desired, ordinal, 0));
    let both = [harness.ready(&desired, &dies).await, harness.ready(&desired, &goes).await];

    gate.close();
    harness.kill(&both[0]).await;
    harness.pods().delete(goes.name.as_str(), &DeleteParams::default()).await.unwrap();
    eventually("the pod is gone", async || {
        harness.pods().get_opt(goes.name.as_str()).await.unwrap().is_none().then_some(())
    })
    .await;
    assert_eq!(harness.replicas(&desired).await, both);
    let refused = harness.backend().create(&desired, &replica(&desired, 2, 0)).await;
    assert!(matches!(refused, Err(BackendError::Unavailable { .. })), "{refused:?}");

    gate.open();
    let is_so = |replicas: &[Replica]| replicas.len() == 1 && is_dead(&replicas[0]);
    harness.until(&desired, "one is dead and one is gone", is_so).await;
}

#[tokio::test]
async fn a_fleet_is_announced_after_it_can_be_observed() {
    let Some(harness) = Kubernetes::new().await else { return };
    let (desired, other) = (harness.fleet(&web()), harness.fleet(&FleetId::local("other")));
    let mut touched = Box::pin(harness.backend().touched());
    assert_eq!(touched.next().now_or_never(), None);
    harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    harness.backend().create(&other, &replica(&other, 0, 0)).await.unwrap();
    let first: Vec<_> = touched.by_ref().take(2).collect().await;
    assert_eq!(first, [other.id.clone(), desired.id.clone()], "what is touched before anybody looks is kept");
    while !harness.replicas(&desired).await[0].is_ready() {
        let next = tokio::time::timeout(Duration::from_secs(30), touched.next()).await;
        assert!([Ok(Some(other.id.clone())), Ok(Some(desired.id.clone()))].contains(&next), "{next:?}");
    }
}

#[tokio::test]
async fn a_fleet_that_was_forgotten_is_not_observed_until_it_is_accepted_again() {
    let Some(harness) = Kubernetes::new().await else { return };
    let desired = harness.fleet(&web());
    let ready = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    harness.backend().forget(&desired);
    let unknown = BackendError::Unavailable { message: "the LoadBalancer has not been accepted yet".to_owned() };
    assert_eq!(harness.backend().observe(&desired.id).await, Err(unknown));
    harness.backend().accept(&desired).unwrap();
    assert_eq!(harness.replicas(&desired).await, [ready]);
}
