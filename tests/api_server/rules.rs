//! What the API server refuses before Ringhold sees it: every rule of the definition, in the same words and with the same
//! field as `controller::validate` has them for manifests that no API server has seen; and the schema's own limits.

use std::collections::BTreeSet;
use std::path::Path;

use kube::core::Status;
use kube::{Client, CustomResourceExt, Resource};
use ringhold::api::LoadBalancer;
use ringhold::controller::{manifest, validate};
use serde_json::{Value, json};

use crate::support::shared;

/// A spec that breaks one rule.
struct Case {
    /// Laid over a spec that breaks none.
    change: Value,
    /// The field that is to be named.
    at: &'static str,
    /// The way out that is to be told.
    says: &'static str,
}

/// What the API server says of one field.
#[derive(Debug)]
struct Complaint {
    at: String,
    says: String,
}

/// A rule of the definition: the field that it names, without indices, and its message.
type Rule = (String, String);

fn cases() -> Vec<Case> {
    let spec = |at, spec: Value, says| Case { change: json!({"spec": spec}), at, says };
    let container = |at, container: Value, says| {
        let mut whole = json!({"name": "server"});
        overlay(&mut whole, &container);
        spec(at, json!({"template": {"spec": {"containers": [whole]}}}), says)
    };
    let share = "use a count from 0 to 65535, or a percentage from 0% to 100%";
    let of_type = "leave it out, or use NodePort or LoadBalancer in spec.service.type";
    let one_source = "use exactly one source: header, cookie, query, path, sourceIp or random";
    vec![
        Case {
            change: json!({"metadata": {"name": "9lives"}}),
            at: "metadata.name",
            says: "use 1 to 36 of a-z, 0-9 and -, beginning with a letter, not ending with -",
        },
        spec(
            "spec.replicas",
            json!({"replicas": 57, "ring": {"algorithm": "Polynomial"}}),
            "a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in spec.ring.algorithm",
        ),
        spec(
            "spec.replicas",
            json!({"replicas": 50, "ring": {"algorithm": "Polynomial", "members": [{"ordinal": 0, "weight": 8}]}}),
            "a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in spec.ring.algorithm",
        ),
        spec(
            "spec.replicas",
            json!({"replicas": 6554, "ring": {"algorithm": "Ketama"}}),
            "a Ketama ring has at most 1048576 points, replicas counted by weight times spec.ring.points; use fewer",
        ),
        spec(
            "spec.replicas",
            json!({"replicas": 4, "ring": {"algorithm": "Maglev", "slots": 3}}),
            "a Maglev ring needs a slot for each replica; use more in spec.ring.slots",
        ),
        spec("spec.targetPort", json!({"targetPort": "grpc"}), "no container port of the template has this name"),
        spec("spec.targetPort", json!({"targetPort": 0}), "use a number from 1 to 65535"),
        spec(
            "spec.listener.hostnames",
            json!({"listener": {"hostnames": ["shop.example", "SHOP.example"]}}),
            "a name is listed twice; leave one",
        ),
        spec(
            "spec.listener.hostnames[0]",
            json!({"listener": {"hostnames": ["shop.example:80"]}}),
            "use a host name such as shop.example, or *.shop.example, without port",
        ),
        spec(
            "spec.listener.tls",
            json!({"listener": {"tls": {"minVersion": "TLS13"}}}),
            "say where the certificate is: in secretName, or without a cluster in certificateFile and keyFile",
        ),
        spec(
            "spec.listener.tls",
            json!({"listener": {"tls": {"secretName": "web-tls", "keyFile": "tls.key"}}}),
            "a certificate needs its key: name both certificateFile and keyFile, or neither",
        ),
        spec(
            "spec.listener.tls.secretName",
            json!({"listener": {"tls": {"secretName": "web_tls"}}}),
            "use the name of a Secret such as web-tls",
        ),
        spec(
            "spec.replicaTls.hostname",
            json!({"replicaTls": {"hostname": "*.shop.internal", "caSecretName": "web-ca"}}),
            "use a host name such as web.shop.internal, without port",
        ),
        spec(
            "spec.replicaTls.caSecretName",
            json!({"replicaTls": {"hostname": "web.shop.internal", "caSecretName": "Web"}}),
            "use the name of a Secret such as web-ca",
        ),
        spec("spec.service.nodePort", json!({"service": {"type": "ClusterIP", "nodePort": 30_080}}), of_type),
        spec("spec.service.externalTrafficPolicy", json!({"service": {"externalTrafficPolicy": "Local"}}), of_type),
        spec(
            "spec.service.loadBalancerClass",
            json!({"service": {"type": "NodePort", "loadBalancerClass": "internal"}}),
            "leave it out, or use LoadBalancer in spec.service.type",
        ),
        spec(
            "spec.service.loadBalancerClass",
            json!({"service": {"type": "LoadBalancer", "loadBalancerClass": "a class"}}),
            "use a name such as internal, or example.com/internal",
        ),
        spec("spec.hashKey[0]", json!({"hashKey": [{}]}), one_source),
        spec("spec.hashKey[1]", json!({"hashKey": [{"path": {}}, {"sourceIp": {}, "random": {}}]}), one_source),
        spec(
            "spec.hashKey[0].header.name",
            json!({"hashKey": [{"header": {"name": "X User"}}]}),
            "use a header name such as X-User-Id",
        ),
        spec(
            "spec.hashKey[0].cookie.name",
            json!({"hashKey": [{"cookie": {"name": "ring=hold"}}]}),
            "use a cookie name such as ringhold",
        ),
        spec(
            "spec.hashKey[0].cookie.path",
            json!({"hashKey": [{"cookie": {"name": "ringhold", "path": "shop"}}]}),
            "use a path that begins with /",
        ),
        spec(
            "spec.ring.slots",
            json!({"ring": {"algorithm": "Polynomial", "slots": 512}}),
            "leave it out: only Rendezvous and Maglev have slots",
        ),
        spec("spec.ring.slots", json!({"ring": {"slots": 100}}), "use a power of two from 2 to 1048576"),
        spec(
            "spec.ring.slots",
            json!({"ring": {"algorithm": "Maglev", "slots": 1 << 21}}),
            "use a number from 2 to 1048576",
        ),
        spec("spec.ring.points", json!({"ring": {"points": 160}}), "leave it out: only Ketama has points"),
        spec(
            "spec.ring.placement",
            json!({"ring": {"placement": "Nginx"}}),
            "leave it out: only Ketama has a placement",
        ),
        spec(
            "spec.ring.polynomials",
            json!({"ring": {"polynomials": {}}}),
            "leave it out: only Polynomial has polynomials",
        ),
        spec(
            "spec.ring.keyHash",
            json!({"ring": {"keyHash": "Crc32"}}),
            "use SipHash or Xxh3: CRC-32 is for Ketama, which needs no more of a key",
        ),
        spec(
            "spec.ring.members",
            json!({"ring": {"members": [{"ordinal": 0, "name": "10.0.0.1:80"}]}}),
            "leave the names out: only Ketama places members by name",
        ),
        spec(
            "spec.rollout.maxUnavailable",
            json!({"rollout": {"maxSurge": "0%", "maxUnavailable": 0}}),
            "must not be 0 where spec.rollout.maxSurge is 0, or no rollout could ever take a step; raise one",
        ),
        spec("spec.rollout.maxSurge", json!({"rollout": {"maxSurge": "101%"}}), share),
        spec("spec.rollout.maxUnavailable", json!({"rollout": {"maxUnavailable": -1}}), share),
        spec(
            "spec.health.path",
            json!({"health": {"path": "heartbeat"}}),
            "use a path that begins with /, such as /heartbeat",
        ),
        container(
            "spec.template.spec.containers[0].name",
            json!({"name": "-server"}),
            "use 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -",
        ),
        container(
            "spec.template.spec.containers[0].ports[0].name",
            json!({"ports": [{"name": "8080", "containerPort": 8080}]}),
            "use 1 to 15 of a-z, 0-9 and single -, with a letter, neither beginning nor ending with -",
        ),
    ]
}

#[tokio::test]
async fn every_rule_of_the_definition_is_told_with_its_field_and_its_way_out() {
    let Some(cluster) = shared().await else { return };
    let client = cluster.client().unwrap();
    let mut pending = rules();
    for Case { change, at, says } in cases() {
        let complaints = refusal(&client, &with(&change)).await;
        let complaint = complaints.iter().find(|complaint| complaint.at == at && complaint.says.contains(says));
        assert!(complaint.is_some(), "{change} gives {complaints:#?}, and not {at}: {says}");
        pending.retain(|(field, message)| !(*field == without_indices(at) && message.contains(says)));
    }
    assert_eq!(pending, BTreeSet::new(), "rules that no case breaks");
}

#[test]
fn a_manifest_that_no_api_server_has_seen_is_judged_in_the_same_words() {
    for Case { change, at, says } in cases() {
        let complaints = judge(&with(&change));
        // Where a rule can only name the list, this names the place in it, which makes some words needless.
        let is_it = |Complaint { at: place, says: way_out }: &&Complaint| {
            place.starts_with(at) && (way_out.contains(says) || says.contains(way_out.as_str()))
        };
        assert!(
            complaints.iter().any(|complaint| is_it(&complaint)),
            "{change} gives {complaints:#?}, not {at}: {says}"
        );
    }
}

#[tokio::test]
async fn what_is_right_is_taken_and_nothing_is_lost() {
    let Some(cluster) = shared().await else { return };
    let created = create(&cluster.client().unwrap(), &with(&json!({}))).await.unwrap();
    assert_eq!(created["spec"]["rollout"]["maxSurge"], 1, "a default stands in the resource");
    let template = &created["spec"]["template"];
    assert_eq!(*template, with(&json!({}))["spec"]["template"], "the template is as it was written");
}

#[tokio::test]
async fn values_beyond_their_limits_are_refused_with_their_field() {
    let Some(cluster) = shared().await else { return };
    let client = cluster.client().unwrap();
    let beyond = [
        ("spec.replicas", json!({"replicas": -1}), "greater than or equal to 0"),
        ("spec.replicas", json!({"replicas": 65_536}), "less than or equal to 65535"),
        ("spec.listener.port", json!({"listener": {"port": 0}}), "greater than or equal to 1"),
        ("spec.limits.maxBodyBytes", json!({"limits": {"maxBodyBytes": (1_u64 << 50) + 1}}), "less than or equal to"),
        ("spec.boundedLoad.factor", json!({"boundedLoad": {"factor": 0.5}}), "greater than or equal to 1"),
        (
            "spec.ring.algorithm",
            json!({"ring": {"algorithm": "Jump"}}),
            "\"Rendezvous\", \"Ketama\", \"Maglev\", \"Polynomial\"",
        ),
        ("spec.service.type", json!({"service": {"type": "ExternalName"}}), "\"ClusterIP\", \"NodePort\""),
        ("spec.hashKey", json!({"hashKey": vec![json!({"random": {}}); 17]}), "must have at most 16 items"),
        ("spec.health.path", json!({"health": {"path": ""}}), "at least 1 chars long"),
        ("spec.template", json!({"template": null}), "Required value"),
        ("spec.template.spec", json!({"template": {"spec": null}}), "Required value"),
        ("spec.template.spec.containers", json!({"template": {"spec": {"containers": []}}}), "at least 1 items"),
        (
            "spec.template.spec.containers[0].ports[0].containerPort",
            json!({"template": {"spec": {"containers": [{"name": "server", "ports": [{"containerPort": 0}]}]}}}),
            "greater than or equal to 1",
        ),
    ];
    for (at, change, says) in beyond {
        let complaints = refusal(&client, &with(&json!({"spec": change}))).await;
        let is_told = complaints.iter().any(|complaint| complaint.at == at && complaint.says.contains(says));
        assert!(is_told, "{change} gives {complaints:#?}, and not {at}: {says}");
    }
}

#[tokio::test]
async fn a_misspelt_field_is_refused_where_fields_are_checked() {
    let Some(cluster) = shared().await else { return };
    let misspelt = with(&json!({"spec": {"rollout": {"maxSurges": 1}}}));
    let refused = create(&cluster.client().unwrap(), &misspelt).await.unwrap_err();
    assert!(refused.message.contains("unknown field \"spec.rollout.maxSurges\""), "{}", refused.message);
}

/// A resource that breaks no rule, with this laid over it.
fn with(change: &Value) -> Value {
    let mut resource = json!({
        "apiVersion": "ringhold.dev/v1alpha1",
        "kind": "LoadBalancer",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "server", "image": "any", "tty": true}]}}},
    });
    overlay(&mut resource, change);
    resource
}

/// As a JSON merge patch, and a null takes away.
fn overlay(value: &mut Value, change: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *value, change) else {
        return value.clone_from(change);
    };
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => overlay(fields.entry(name).or_insert(Value::Null), change),
        }
    }
}

/// Creates it for a try, with every field checked.
async fn create(client: &Client, resource: &Value) -> Result<Value, Status> {
    let all = LoadBalancer::url_path(&(), Some("default"));
    let request = http::Request::post(format!("{all}?dryRun=All&fieldValidation=Strict"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(resource).unwrap())
        .unwrap();
    match client.request(request).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) => Err(*status),
        Err(error) => panic!("{error}"),
    }
}

/// What the API server says of a resource that it refuses.
async fn refusal(client: &Client, resource: &Value) -> Vec<Complaint> {
    let status = match create(client, resource).await {
        Err(status) => status,
        Ok(_) => panic!("it was taken: {resource}"),
    };
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    causes.into_iter().map(|cause| Complaint { at: cause.field, says: cause.message }).map(Complaint::placed).collect()
}

/// What Ringhold says of it by itself.
fn judge(resource: &Value) -> Vec<Complaint> {
    let read = match manifest::parse(Path::new("web.yaml"), &resource.to_string()) {
        Ok(mut resources) => resources.remove(0),
        Err(error) => {
            let words = error.to_string();
            let (at, says) = words.trim_start_matches("web.yaml: ").split_once(": ").unwrap();
            return vec![Complaint { at: at.to_owned(), says: says.to_owned() }];
        }
    };
    let errors = validate(&read).map(drop).expect_err("it is refused").0;
    errors.into_iter().map(|error| Complaint { at: error.path, says: error.rule }).collect()
}

/// Every rule that the definition has.
fn rules() -> BTreeSet<Rule> {
    let definition = serde_json::to_value(LoadBalancer::crd()).unwrap();
    let mut rules = BTreeSet::new();
    collect(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut rules);
    assert!(rules.len() > 20, "the definition has its rules");
    rules
}

fn collect(schema: &Value, place: &str, rules: &mut BTreeSet<Rule>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let below = rule["fieldPath"].as_str().unwrap_or_default();
        let message = rule["message"].as_str().expect("a rule has a message");
        let Complaint { at, says } = Complaint { at: format!("{place}{below}"), says: message.to_owned() }.placed();
        rules.insert((at.trim_start_matches('.').to_owned(), says));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        collect(field, &format!("{place}.{name}"), rules);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|inner| schema[inner].as_object()) {
        collect(&Value::Object(inner.clone()), &format!("{place}[]"), rules);
    }
}

fn without_indices(path: &str) -> String {
    let mut segments = path.split('[');
    let first = segments.next().unwrap_or_default().to_owned();
    segments.fold(first, |path, segment| format!("{path}[]{}", segment.split_once(']').map_or("", |(_, rest)| rest)))
}

// === impl Complaint ===

impl Complaint {
    /// A rule on the root has no path of its own, so its message begins with one.
    fn placed(self) -> Self {
        const NAME: &str = "metadata.name";
        let Self { at, says } = self;
        if says.contains(&format!("{NAME}: ")) { Self { at: NAME.to_owned(), says } } else { Self { at, says } }
    }
}
