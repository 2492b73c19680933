//! The chart's roles grant what Ringhold asks for, and no more: compared with the API server's own record of a journey.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{Cluster, SYSTEM};

/// Rights that leave no request of their own, or are for what no journey meets.
/// `tests/api_server/rights.rs` takes each right away and shows what is missed.
const NOT_ASKED_FOR: &[&str] = &[
    // Asked for by the API server itself, when an owner reference blocks the owner's deletion.
    "update ringhold.dev/loadbalancers/finalizers",
    // The same, when a server-side apply makes a new object.
    "create services",
    "create discovery.k8s.io/endpointslices",
    "create policy/poddisruptionbudgets",
    // A pod whose name was taken already, after a change of leader at the wrong moment.
    "get pods",
    // The chart brings the Lease; this makes it anew if somebody deletes it.
    "create coordination.k8s.io/leases",
];

/// What the chart's roles grant Ringhold itself, as `verb group/resource`.
pub(crate) async fn granted(cluster: &Cluster) -> BTreeSet<String> {
    let roles = cluster.list("clusterroles,roles --all-namespaces --selector app.kubernetes.io/name=ringhold").await;
    let own = roles.iter().filter(|role| {
        let labels = role["metadata"]["labels"].as_object().unwrap();
        // Those of users are the users'.
        !labels.keys().any(|label| label.starts_with("rbac.authorization.k8s.io/aggregate-to-"))
    });
    let mut granted = BTreeSet::new();
    for rule in own.flat_map(|role| role["rules"].as_array().unwrap()) {
        for (group, resource) in
            texts(&rule["apiGroups"]).flat_map(|group| texts(&rule["resources"]).map(move |r| (group, r)))
        {
            granted.extend(texts(&rule["verbs"]).map(|verb| right(verb, group, resource)));
        }
    }
    granted
}

/// Nothing that Ringhold asked for was refused, and nothing that it may do was never done.
pub(crate) fn rights_are_exact(cluster: &Cluster, granted: &BTreeSet<String>) {
    let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let ours = format!("system:serviceaccount:{SYSTEM}:");
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for event in events.filter(|event| event["user"]["username"].as_str().unwrap().starts_with(&ours)) {
        let object = &event["objectRef"];
        let part = |field: &str| object[field].as_str().unwrap_or_default();
        let Some(resource) = object["resource"].as_str() else { continue };
        let resource = [resource, part("subresource")].join("/");
        let right = right(event["verb"].as_str().unwrap(), part("apiGroup"), resource.trim_end_matches('/'));
        if event["responseStatus"]["code"] == 403 {
            refused.insert(format!("{right}: {}", event["responseStatus"]["message"]));
        } else {
            used.insert(right);
        }
    }
    assert_eq!(refused, BTreeSet::new(), "what Ringhold asks for and must not have");
    let idle: Vec<_> = granted.difference(&used).filter(|right| !NOT_ASKED_FOR.contains(&right.as_str())).collect();
    assert!(idle.is_empty(), "rights that are never used: {idle:#?}");
    cluster.say(format!("{} rights of {} were used, and none was missing", used.len(), granted.len()));
}

fn right(verb: &str, group: &str, resource: &str) -> String {
    if group.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {group}/{resource}") }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
