//! What pod a template becomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::model::{
    Container, FleetId, FleetUid, Health, Incarnation, Limits, Listener, Ordinal, ReplicaName, ReplicaTls, Retries,
    Rollout, RoutePolicy, TargetProtocol, Template, TemplateHash, Timeouts,
};

const SECOND: Duration = Duration::from_secs(1);

/// A LoadBalancer of this template, whose requests go to port 8080.
fn mk_desired(manifest: Value) -> Desired {
    let container = Container {
        name: "server".to_owned(),
        image: String::new(),
        command: Vec::new(),
        args: Vec::new(),
        env: BTreeMap::new(),
        working_dir: None,
        port: 8080,
    };
    let template = Template {
        hash: TemplateHash("0badcafe".into()),
        manifest,
        containers: vec![container],
        termination_grace: 30 * SECOND,
    };
    Desired {
        id: FleetId::new("shop", "web"),
        uid: FleetUid("lb-uid".into()),
        generation: 1,
        replicas: 3,
        template: Arc::new(template),
        rollout: Rollout {
            max_surge: 1,
            max_unavailable: 0,
            min_ready: Duration::ZERO,
            drain_timeout: 30 * SECOND,
            slow_start: Duration::ZERO,
        },
        health: Health {
            path: Some("/heartbeat".to_owned()),
            period: 5 * SECOND,
            timeout: SECOND,
            failure_threshold: 3,
            replace_after: 60 * SECOND,
            startup: 600 * SECOND,
        },
        route: Arc::new(RoutePolicy {
            listener: Listener { port: 5000, hostnames: Vec::new(), tls: None },
            hash_key: Vec::new(),
            key_hash: Default::default(),
            ring: Default::default(),
            weights: Default::default(),
            bounded_load: None,
            timeouts: Timeouts { connect: SECOND, response_header: SECOND, idle: SECOND },
            retries: Retries { attempts: 2, budget_percent: 20 },
            limits: Limits { max_concurrent_per_replica: 0, max_body_bytes: 0 },
            replica_tls: None,
            target_protocol: TargetProtocol::Http1,
        }),
    }
}

fn mk_pod(manifest: Value) -> Value {
    let desired = mk_desired(manifest);
    let (ordinal, incarnation, template) = (Ordinal(2), Incarnation(7), desired.template.hash.clone());
    let name = ReplicaName::new(&desired.id, ordinal, &template, incarnation);
    pod(&desired, &NewReplica { name, ordinal, incarnation, template, failures: 3 })
}

fn probe_of_port(port: u16) -> Value {
    json!({
        "httpGet": {"path": "/heartbeat", "port": port, "scheme": "HTTP"},
        "periodSeconds": 5, "timeoutSeconds": 1, "failureThreshold": 3, "successThreshold": 1,
    })
}

#[test]
fn a_template_becomes_a_pod_that_says_whose_it_is() {
    let made = mk_pod(json!({
        "metadata": {"labels": {"app": "web"}, "annotations": {"note": "x"}, "finalizers": ["example.com/wait"]},
        "spec": {"containers": [{"name": "server", "image": "ringhold-server:dev"}]},
    }));
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-2-0badcafe-7",
            "namespace": "shop",
            "labels": {
                "app": "web",
                "app.kubernetes.io/managed-by": "ringhold",
                "ringhold.dev/loadbalancer": "web",
                "ringhold.dev/ordinal": "2",
                "ringhold.dev/template": "0badcafe",
                "ringhold.dev/incarnation": "7",
            },
            "annotations": {"note": "x", "ringhold.dev/failures": "3", "ringhold.dev/port": "8080"},
            "finalizers": ["example.com/wait"],
            "ownerReferences": [{
                "apiVersion": "ringhold.dev/v1alpha1",
                "kind": "LoadBalancer",
                "name": "web",
                "uid": "lb-uid",
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {"containers": [{
            "name": "server",
            "image": "ringhold-server:dev",
            "env": [
                {"name": "PORT", "value": "8080"},
                {"name": "RINGHOLD_NAME", "value": "web-2-0badcafe-7"},
                {"name": "RINGHOLD_ORDINAL", "value": "2"},
            ],
            "readinessProbe": probe_of_port(8080),
        }]},
    });
    assert_eq!(made, pod, "{made:#}");
}

#[test]
fn no_mark_of_the_template_wins_against_ours() {
    let ours = mk_pod(json!({"spec": {"containers": [{"name": "server"}]}}));
    let theirs = json!({
        "name": "another", "namespace": "another", "generateName": "x-", "uid": "1", "ownerReferences": [],
        "labels": ours["metadata"]["labels"].as_object().unwrap().keys().map(|name| (name.clone(), json!("x"))).collect::<Map<_, _>>(),
        "annotations": {"ringhold.dev/failures": "9", "ringhold.dev/port": "1", "ringhold.dev/draining-since": "2026-01-02T03:00:00Z"},
    });
    assert_eq!(mk_pod(json!({"metadata": theirs, "spec": {"containers": [{"name": "server"}]}})), ours);
}

#[test]
fn what_ringhold_does_not_know_reaches_the_pod() {
    let spec = json!({
        "containers": [{"name": "server", "newerThanRinghold": {"a": [1, 2.5, null]}}],
        "alsoNewer": true,
        "restartPolicy": "Never",
    });
    let pod = mk_pod(json!({"spec": spec}));
    assert_eq!(pod["spec"]["alsoNewer"], json!(true));
    assert_eq!(pod["spec"]["restartPolicy"], json!("Never"));
    assert_eq!(pod["spec"]["containers"][0]["newerThanRinghold"], json!({"a": [1, 2.5, null]}));
}

#[test]
fn the_container_that_serves_is_probed_unless_it_says_how() {
    let ports = |port: u16| json!([{"containerPort": 9090}, {"containerPort": port}]);
    let probed = |containers: Value| {
        let manifest = effective_manifest(&mk_desired(json!({"spec": {"containers": containers}})));
        let containers = manifest["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|container| container["readinessProbe"].clone()).collect::<Vec<_>>()
    };
    let ours = probe_of_port(8080);
    let none = Value::Null;
    assert_eq!(probed(json!([{"name": "a"}, {"name": "b"}])), [ours.clone(), none.clone()], "the first");
    assert_eq!(
        probed(json!([{"name": "a", "ports": ports(80)}, {"name": "b", "ports": ports(8080)}])),
        [none.clone(), ours.clone()],
        "the one that declares the port"
    );
    assert_eq!(probed(json!([{"name": "a", "readinessProbe": null}])), [ours]);
    let theirs = json!({"exec": {"command": ["true"]}});
    assert_eq!(probed(json!([{"name": "a", "readinessProbe": theirs}, {"name": "b"}])), [theirs, none]);
}

#[test]
fn where_no_path_is_asked_for_a_connection_is_enough() {
    let mut desired = mk_desired(json!({"spec": {"containers": [{"name": "server"}]}}));
    desired.health.path = None;
    let manifest = effective_manifest(&desired);
    let probe = &manifest["spec"]["containers"][0]["readinessProbe"];
    assert_eq!((&probe["tcpSocket"], probe.get("httpGet")), (&json!({"port": 8080}), None));
}

#[test]
fn a_template_is_completed_once_and_follows_its_health() {
    let declared = mk_desired(json!({"spec": {"containers": [{"name": "server"}]}}));
    let once = effective_manifest(&declared);
    let mut twice = declared.clone();
    Arc::make_mut(&mut twice.template).manifest = once.clone();
    assert_eq!(effective_manifest(&twice), once);

    let mut slower = declared;
    slower.health.period = Duration::from_millis(1_001);
    slower.health.timeout = Duration::from_millis(50);
    let probe = &effective_manifest(&slower)["spec"]["containers"][0]["readinessProbe"];
    assert_eq!((&probe["periodSeconds"], &probe["timeoutSeconds"]), (&json!(2), &json!(1)), "in whole seconds");
}

#[test]
fn what_a_container_sets_in_its_environment_stays() {
    let own = json!([{"name": "PORT", "value": "1"}, {"name": "URL", "value": "http://$(RINGHOLD_NAME)"}]);
    let from = json!([{"name": "RINGHOLD_ORDINAL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let pod = mk_pod(json!({"spec": {
        "initContainers": [{"name": "prepare"}],
        "containers": [{"name": "server", "env": own}, {"name": "beside", "env": from}, {"name": "null", "env": null}],
    }}));
    let name = json!({"name": "RINGHOLD_NAME", "value": "web-2-0badcafe-7"});
    let ordinal = json!({"name": "RINGHOLD_ORDINAL", "value": "2"});
    let env = |list: &str, index: usize| pod["spec"][list][index]["env"].clone();
    assert_eq!(env("initContainers", 0), json!([name, ordinal]));
    assert_eq!(env("containers", 0), json!([name, ordinal, own[0], own[1]]));
    assert_eq!(env("containers", 1), json!([name, from[0]]));
    assert_eq!(env("containers", 2), json!([name, ordinal]));
}

#[test]
fn what_is_no_template_is_left_for_the_api_server_to_refuse() {
    for manifest in [
        json!(null),
        json!("text"),
        json!([]),
        json!({}),
        json!({"spec": null}),
        json!({"spec": {"containers": null}}),
        json!({"spec": {"containers": []}}),
        json!({"spec": {"containers": ["text", 1], "initContainers": {}}}),
        json!({"metadata": "text", "spec": {"containers": [{"env": "text", "ports": 1}]}}),
        json!({"metadata": {"labels": [], "annotations": 1}, "spec": []}),
    ] {
        assert_eq!(mk_pod(manifest.clone())["metadata"]["name"], "web-2-0badcafe-7", "{manifest}");
    }
}

#[test]
fn who_takes_requests_by_tls_is_asked_for_its_health_so() {
    let mut desired = mk_desired(json!({"spec": {"containers": [{"name": "server", "image": "x"}]}}));
    let tls = ReplicaTls { hostname: "web.internal".to_owned(), authorities: "web-ca".to_owned() };
    Arc::make_mut(&mut desired.route).replica_tls = Some(tls);
    let manifest = effective_manifest(&desired);
    assert_eq!(manifest["spec"]["containers"][0]["readinessProbe"]["httpGet"]["scheme"], "HTTPS");
}
