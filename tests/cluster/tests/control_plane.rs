//! The control plane itself: it starts, answers, records, and can be taken away.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use ringhold_test_cluster::{AuditEvent, ControlPlane, ControlPlaneConfig, binaries_or_skip, eventually};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// One for those that take nothing away from others.
async fn shared() -> Option<&'static ControlPlane> {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    let binaries = binaries_or_skip()?;
    let start = || ControlPlane::start(&binaries, ControlPlaneConfig::default());
    Some(SHARED.get_or_try_init(start).await.unwrap())
}

/// One without controllers.
async fn own() -> Option<ControlPlane> {
    let config = ControlPlaneConfig { controllers: false, ..ControlPlaneConfig::default() };
    Some(ControlPlane::start(&binaries_or_skip()?, config).await.unwrap())
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn map(name: &str) -> ConfigMap {
    object(json!({"metadata": {"name": name}}))
}

#[tokio::test]
async fn the_controllers_collect_what_has_lost_its_owner() {
    let Some(cluster) = shared().await else { return };
    let namespace = cluster.namespace().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().unwrap(), &namespace);
    let owner = maps.create(&PostParams::default(), &map("owner")).await.unwrap();
    let uid = owner.metadata.uid.unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid});
    let owned: ConfigMap = object(json!({"metadata": {"name": "owned", "ownerReferences": [reference]}}));
    maps.create(&PostParams::default(), &owned).await.unwrap();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    eventually("what was owned is gone", async || maps.get_opt("owned").await.unwrap().is_none().then_some(())).await;
}

#[tokio::test]
async fn an_api_server_that_comes_back_has_its_address_and_data() {
    let Some(mut cluster) = own().await else { return };
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client().unwrap());
    maps.create(&PostParams::default(), &map("kept")).await.unwrap();
    cluster.stop_api_server();
    maps.get("kept").await.unwrap_err();
    cluster.start_api_server().await.unwrap();
    maps.get("kept").await.unwrap();
}

#[tokio::test]
async fn what_etcd_has_compacted_is_gone() {
    let Some(mut cluster) = own().await else { return };
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client().unwrap());
    let old = maps.create(&PostParams::default(), &map("one")).await.unwrap().metadata.resource_version.unwrap();
    maps.create(&PostParams::default(), &map("two")).await.unwrap();
    cluster.compact_etcd().await.unwrap();
    cluster.stop_api_server();
    cluster.start_api_server().await.unwrap();
    let at_old = ListParams::default().at(&old).matching(kube::api::VersionMatch::Exact);
    let kube::Error::Api(status) = maps.list(&at_old).await.unwrap_err() else { panic!("no answer") };
    assert_eq!((status.code, &*status.reason), (410, "Expired"));
}

#[tokio::test]
async fn the_audit_log_names_who_asked_for_what() {
    let Some(cluster) = shared().await else { return };
    let namespace = cluster.namespace().await.unwrap();
    let account = cluster.service_account(&namespace, "operator").await.unwrap();
    let pods: Api<Pod> = Api::namespaced(account.client().unwrap(), &namespace);
    let kube::Error::Api(status) = pods.list(&ListParams::default()).await.unwrap_err() else { panic!("no answer") };
    assert_eq!(status.code, 403);

    let events = cluster.audit().await.unwrap();
    let own: Vec<&AuditEvent> = events.iter().filter(|event| event.user == account.user()).collect();
    let [event] = own[..] else { panic!("{own:#?}") };
    assert_eq!((&*event.verb, &*event.resource, &event.namespace, event.code), ("list", "pods", &namespace, 403));
    assert_eq!(account.user(), format!("system:serviceaccount:{namespace}:operator"));
}

#[tokio::test]
async fn a_kubeconfig_is_good_for_kubectl() {
    let Some(cluster) = shared().await else { return };
    let path = cluster.folder().join("admin.kubeconfig");
    cluster.admin().write_kubeconfig(&path).unwrap();
    let mut kubectl = tokio::process::Command::new(cluster.binaries().path("kubectl"));
    let output = kubectl.arg("--kubeconfig").arg(&path).args(["get", "--raw", "/readyz"]).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_gate_cuts_off_only_those_who_come_through_it() {
    let Some(cluster) = shared().await else { return };
    let gate = cluster.gate().await.unwrap();
    let through: Api<Namespace> = Api::all(cluster.admin().through(&gate).client().unwrap());
    let beside: Api<Namespace> = Api::all(cluster.client().unwrap());
    through.get("default").await.unwrap();

    gate.close();
    through.get("default").await.unwrap_err();
    beside.get("default").await.unwrap();

    gate.open();
    through.get("default").await.unwrap();

    gate.pause();
    let (through, beside) = (through.clone(), beside.clone());
    let mut waiting = tokio::spawn(async move { through.get("default").await });
    // Long after the answer that came beside it, there is none.
    for _ in 0..50 {
        beside.get("default").await.unwrap();
    }
    assert!(!waiting.is_finished());
    gate.open();
    (&mut waiting).await.unwrap().unwrap();
}
