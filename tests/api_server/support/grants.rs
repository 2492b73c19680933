//! What deploy/operator.yaml grants Ringhold itself, right by right, and how it is granted in a test's namespaces.

use std::fmt;
use std::path::Path;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use ringhold_test_cluster::{Access, eventually};
use serde_json::{Value, json};

/// The roles of Ringhold itself; those of users are the users'.
const ROLES: [(&str, &str, Scope); 3] = [
    ("proxy", "ringhold-proxy", Scope::Fleets),
    ("controller", "ringhold-controller", Scope::Fleets),
    ("leader", "ringhold-leader", Scope::Home),
];

/// Where a role holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Wherever LoadBalancers are.
    Fleets,
    /// Where the operators are.
    Home,
}

/// One verb for one resource: `proxy: list ringhold.dev/loadbalancers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Right {
    role: &'static str,
    scope: Scope,
    pub(crate) verb: String,
    pub(crate) group: String,
    /// With the subresource behind a slash.
    pub(crate) resource: String,
    /// Of these objects only; empty: of all.
    names: Vec<String>,
}

/// All that deploy/operator.yaml grants.
pub(crate) fn granted() -> Vec<Right> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/operator.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest).unwrap();
    let mut rights = Vec::new();
    for (role, name, scope) in ROLES {
        let is_it = |document: &&Value| {
            matches!(document["kind"].as_str(), Some("ClusterRole" | "Role")) && document["metadata"]["name"] == name
        };
        let document = documents.iter().find(is_it).unwrap_or_else(|| panic!("deploy/operator.yaml has no {name}"));
        for rule in document["rules"].as_array().unwrap() {
            let names = texts(&rule["resourceNames"]);
            for (group, resource) in product(&texts(&rule["apiGroups"]), &texts(&rule["resources"])) {
                for verb in texts(&rule["verbs"]) {
                    let (group, resource, names) = (group.clone(), resource.clone(), names.clone());
                    rights.push(Right { role, scope, verb, group, resource, names });
                }
            }
        }
    }
    rights
}

/// To follow one Secret, as the chart's `tls.secrets` grants it.
pub(crate) fn secret_rights(name: &str) -> Vec<Right> {
    let right = |verb: &str| Right {
        role: "tls",
        scope: Scope::Fleets,
        verb: verb.to_owned(),
        group: String::new(),
        resource: "secrets".to_owned(),
        names: vec![name.to_owned()],
    };
    ["list", "watch"].map(right).into()
}

/// Gives a user these rights, and waits until the API server knows.
pub(crate) async fn grant(client: &Client, user: &Access, namespaces: [&str; 2], rights: &[Right]) {
    let [fleets, home] = namespaces;
    for (role, _, scope) in ROLES {
        let namespace = if scope == Scope::Fleets { fleets } else { home };
        let rights: Vec<Right> = rights.iter().filter(|right| right.role == role).cloned().collect();
        bind(client, user, namespace, role, &rights).await;
    }
}

/// Gives a user these rights besides, as a role of its own.
pub(crate) async fn bind(client: &Client, user: &Access, namespace: &str, role: &str, rights: &[Right]) {
    let rules: Vec<Value> = rights.iter().map(Right::rule).collect();
    let rules: Role = serde_json::from_value(json!({"metadata": {"name": role}, "rules": rules})).unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user.user()}],
    }))
    .unwrap();
    let params = PostParams::default();
    Api::namespaced(client.clone(), namespace).create(&params, &rules).await.unwrap();
    Api::namespaced(client.clone(), namespace).create(&params, &binding).await.unwrap();
    // An operator that comes earlier would be refused at first, and would ask again only after a pause.
    if let Some(right) = rights.first() {
        let review = right.review(user.user(), namespace);
        let reviews = Api::<SubjectAccessReview>::all(client.clone());
        eventually("the API server has heard of the grant", async || {
            let answer = reviews.create(&params, &review).await.unwrap();
            answer.status.unwrap().allowed.then_some(())
        })
        .await;
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn product<'a>(groups: &'a [String], resources: &'a [String]) -> Vec<(&'a String, &'a String)> {
    groups.iter().flat_map(|group| resources.iter().map(move |resource| (group, resource))).collect()
}

// === impl Right ===

impl Right {
    /// The same for objects of another name.
    pub(crate) fn of(&self, name: &str) -> Self {
        Self { names: vec![name.to_owned()], ..self.clone() }
    }

    /// Whether the right is for objects of certain names only.
    pub(crate) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    fn rule(&self) -> Value {
        let Self { role: _, scope: _, verb, group, resource, names } = self;
        let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
        if self.is_named() {
            rule["resourceNames"] = json!(names);
        }
        rule
    }

    fn review(&self, user: &str, namespace: &str) -> SubjectAccessReview {
        let Self { role: _, scope: _, verb, group, resource, names } = self;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut asked = json!({"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource});
        if let Some(name) = names.first() {
            asked["name"] = json!(name);
        }
        serde_json::from_value(json!({"spec": {"user": user, "resourceAttributes": asked}})).unwrap()
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, verb, group, resource, .. } = self;
        let separator = if group.is_empty() { "" } else { "/" };
        write!(f, "{role}: {verb} {group}{separator}{resource}")
    }
}
