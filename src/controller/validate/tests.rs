//! Every rule with its whole message, and what a spec that says nothing becomes.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use http::HeaderName;
use serde_json::{Value, json};

use super::*;
use crate::api::PodTemplate;
use crate::controller::manifest;
use crate::model::{Container, CookieKey, KeySource, Ordinal, TargetProtocol, Template};
use crate::ring::{KetamaSpec, KeyHash, Placement, Polynomials, RingSpec};

/// A resource with one container and these further fields in its spec.
fn resource(spec: &Value) -> LoadBalancer {
    let mut whole = json!({
        "apiVersion": "ringhold.dev/v1alpha1",
        "kind": "LoadBalancer",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "server"}]}}},
    });
    whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest::parse(Path::new("web.yaml"), &whole.to_string()).unwrap().remove(0)
}

fn desired(spec: &Value) -> Desired {
    validate(&resource(spec)).unwrap()
}

fn errors(spec: &Value) -> String {
    validate(&resource(spec)).unwrap_err().to_string()
}

/// A spec with one container that has these fields.
fn with_container(fields: &Value) -> Value {
    let mut container = json!({"name": "server"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"template": {"spec": {"containers": [container]}}})
}

/// `{"a.b": 1}` as `{"a": {"b": 1}}`.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, field| json!({ field: inner }))
}

#[test]
fn a_spec_that_says_nothing_gets_the_defaults() {
    let seconds = Duration::from_secs;
    let Desired { id, uid: _, generation, replicas, template, rollout, health, route } = desired(&json!({}));
    assert_eq!((id, generation, replicas), (FleetId::local("web"), 1, 1));
    assert_eq!(
        rollout,
        Rollout {
            max_surge: 1,
            max_unavailable: 0,
            min_ready: seconds(0),
            drain_timeout: seconds(30),
            slow_start: seconds(0)
        }
    );
    assert_eq!(
        health,
        Health {
            path: Some("/heartbeat".to_owned()),
            period: seconds(5),
            timeout: seconds(1),
            failure_threshold: 3,
            replace_after: seconds(60),
            startup: seconds(600),
        }
    );
    let policy = RoutePolicy {
        listener: Listener { port: 5000, hostnames: Vec::new(), tls: None },
        hash_key: vec![KeySource::SourceIp],
        key_hash: KeyHash::SipHash,
        ring: RingSpec::Rendezvous { slots: 65_536 },
        weights: BTreeMap::new(),
        bounded_load: None,
        timeouts: Timeouts { connect: Duration::from_millis(500), response_header: seconds(60), idle: seconds(60) },
        retries: Retries { attempts: 2, budget_percent: 20 },
        limits: Limits { max_concurrent_per_replica: 1024, max_body_bytes: 0 },
        replica_tls: None,
        target_protocol: TargetProtocol::Http1,
    };
    assert_eq!(*route, policy);
    let Template { hash: _, manifest, containers, termination_grace } = &*template;
    assert_eq!(*manifest, json!({"spec": {"containers": [{"name": "server"}]}}));
    let container = Container {
        name: "server".to_owned(),
        image: String::new(),
        command: Vec::new(),
        args: Vec::new(),
        env: BTreeMap::new(),
        working_dir: None,
        port: 8080,
    };
    assert_eq!((&containers[..], *termination_grace), (&[container][..], seconds(30)));
}

#[test]
fn numbers_stay_within_their_ranges() {
    let cases: &[(&str, i64, i64)] = &[
        ("spec.replicas", 0, 65_535),
        ("spec.listener.port", 1, 65_535),
        ("spec.rollout.minReadySeconds", 0, 86_400),
        ("spec.rollout.drainTimeoutSeconds", 0, 86_400),
        ("spec.rollout.slowStartSeconds", 0, 3_600),
        ("spec.health.periodSeconds", 1, 3_600),
        ("spec.health.timeoutSeconds", 1, 3_600),
        ("spec.health.failureThreshold", 1, 100),
        ("spec.health.replaceAfterSeconds", 1, 86_400),
        ("spec.health.startupSeconds", 1, 86_400),
        ("spec.timeouts.connectMilliseconds", 1, 600_000),
        ("spec.timeouts.responseHeaderSeconds", 1, 86_400),
        ("spec.timeouts.idleSeconds", 1, 86_400),
        ("spec.retries.attempts", 0, 10),
        ("spec.retries.budgetPercent", 0, 100),
        ("spec.limits.maxConcurrentPerReplica", 0, i32::MAX.into()),
        ("spec.limits.maxBodyBytes", 0, 1 << 50),
        ("spec.targetPort", 1, 65_535),
    ];
    for (path, least, most) in cases {
        let spec = |number: i64| nested(path.strip_prefix("spec.").unwrap(), json!(number));
        for good in [least, most] {
            assert!(validate(&resource(&spec(*good))).is_ok(), "{path}: {good}");
        }
        let fits_its_type = *most < i32::MAX.into();
        for bad in [least - 1].into_iter().chain(fits_its_type.then(|| most + 1)) {
            assert_eq!(errors(&spec(bad)), format!("{path}: {bad}: use a number from {least} to {most}"));
        }
    }
}

#[test]
fn names_leave_room_for_the_names_of_replicas() {
    let rule = "use 1 to 36 of a-z, 0-9 and -, beginning with a letter, not ending with -";
    let verdict = |name: Option<&str>| {
        let mut resource = resource(&json!({}));
        resource.metadata.name = name.map(str::to_owned);
        validate(&resource).map_err(|errors| errors.to_string())
    };
    let (longest, too_long) = ("a".repeat(36), "a".repeat(37));
    for good in ["a", "web-2", &longest] {
        assert!(verdict(Some(good)).is_ok(), "{good}");
    }
    for bad in ["Web", "2web", "web-", "-web", "we_b", "a.b", &too_long] {
        assert_eq!(verdict(Some(bad)), Err(format!("metadata.name: {bad}: {rule}")));
    }
    for missing in [None, Some("")] {
        assert_eq!(verdict(missing), Err(format!("metadata.name: {rule}")));
    }
}

#[test]
fn hostnames_are_hosts_and_stand_once() {
    let rule = "use a host name such as shop.example, or *.shop.example, without port";
    let spec = |hostnames: &[&str]| json!({"listener": {"hostnames": hostnames}});
    let long = ["a"; 128].join(".");
    for bad in ["", "a b", "a.example:80", "http://a.example", "*", "a.*.example", "-a.example", "a-", "a..b", &long] {
        let value = if bad.is_empty() { String::new() } else { format!("{bad}: ") };
        assert_eq!(errors(&spec(&["ok.example", bad])), format!("spec.listener.hostnames[1]: {value}{rule}"));
    }
    assert_eq!(
        errors(&spec(&["a.example", "A.example"])),
        "spec.listener.hostnames[1]: A.example: listed twice; leave one"
    );
    let route = desired(&spec(&["Shop.Example", "*.shop.example", "localhost", "10.0.0.1"])).route;
    assert_eq!(route.listener.hostnames, ["shop.example", "*.shop.example", "localhost", "10.0.0.1"]);
}

#[test]
fn key_sources_are_read_in_their_order() {
    let sources = json!([
        {"header": {"name": "X-User-Id"}},
        {"cookie": {"name": "ringhold", "ttlSeconds": 3600}},
        {"cookie": {"name": "other", "path": "/shop"}},
        {"query": {"name": "tenant"}},
        {"path": {"segments": 2}},
        {"path": {}},
        {"sourceIp": {}},
        {"random": {}},
    ]);
    let cookie = |name: &str, ttl, path: &str| {
        KeySource::Cookie(CookieKey { name: name.to_owned(), ttl: Duration::from_secs(ttl), path: path.to_owned() })
    };
    assert_eq!(
        desired(&json!({"hashKey": sources})).route.hash_key,
        [
            KeySource::Header(HeaderName::from_static("x-user-id")),
            cookie("ringhold", 3600, "/"),
            cookie("other", 0, "/shop"),
            KeySource::Query("tenant".to_owned()),
            KeySource::Path { segments: NonZeroU32::new(2) },
            KeySource::Path { segments: None },
            KeySource::SourceIp,
            KeySource::Random,
        ]
    );
    assert_eq!(desired(&json!({"hashKey": []})).route.hash_key, []);
}

#[test]
fn key_sources_that_cannot_yield_a_key_are_refused() {
    let cases = [
        (json!({"header": {"name": "X User"}}), "header.name: X User: use a header name such as X-User-Id"),
        (json!({"header": {"name": ""}}), "header.name: use a header name such as X-User-Id"),
        (json!({"cookie": {"name": "a=b"}}), "cookie.name: a=b: use a cookie name such as ringhold"),
        (json!({"cookie": {"name": "a", "path": "shop"}}), "cookie.path: shop: use a path that begins with /"),
        (json!({"cookie": {"name": "a", "path": "/;x"}}), "cookie.path: /;x: use a path that begins with /"),
        (
            json!({"cookie": {"name": "a", "ttlSeconds": -1}}),
            "cookie.ttlSeconds: -1: use a number from 0 to 2147483647",
        ),
        (json!({"query": {"name": ""}}), "query.name: name the query parameter"),
        (json!({"path": {"segments": 1025}}), "path.segments: 1025: use a number from 0 to 1024"),
    ];
    for (source, message) in cases {
        let spec = json!({"hashKey": [{"sourceIp": {}}, source]});
        assert_eq!(errors(&spec), format!("spec.hashKey[1].{message}"));
    }
    let many = vec![json!({"random": {}}); 17];
    assert_eq!(errors(&json!({"hashKey": many})), "spec.hashKey: 17 sources: use at most 16");
}

#[test]
fn ring_sizes_fit_their_algorithm() {
    let spec = |algorithm: &str, field: &str, size: i32| json!({"ring": {"algorithm": algorithm, field: size}});
    let ring = |change: &Value| desired(change).route.ring.clone();
    for good in [2, 64, 1 << 20] {
        let slots = u32::try_from(good).unwrap();
        assert_eq!(ring(&spec("Rendezvous", "slots", good)), RingSpec::Rendezvous { slots });
        assert_eq!(ring(&spec("Maglev", "slots", good)), RingSpec::Maglev { slots });
    }
    for bad in [-2, 0, 1, 3, 1000, 1 << 21] {
        let message = format!("spec.ring.slots: {bad}: use a power of two from 2 to 1048576");
        assert_eq!(errors(&spec("Rendezvous", "slots", bad)), message);
    }
    for bad in [-2, 1, 1 << 21] {
        let message = format!("spec.ring.slots: {bad}: use a number from 2 to 1048576");
        assert!(errors(&spec("Maglev", "slots", bad)).starts_with(&message));
    }
    let ketama = |points| RingSpec::Ketama(KetamaSpec { points, ..KetamaSpec::default() });
    assert_eq!(ring(&json!({"ring": {"algorithm": "Ketama"}})), ketama(160));
    assert_eq!(ring(&spec("Ketama", "points", 40)), ketama(40));
    assert_eq!(errors(&spec("Ketama", "points", 1001)), "spec.ring.points: 1001: use a number from 1 to 1000");
    assert_eq!(
        errors(&spec("Ketama", "slots", 512)),
        "spec.ring.slots: 512: leave it out: only Rendezvous and Maglev have slots"
    );
    assert_eq!(errors(&spec("Maglev", "points", 9)), "spec.ring.points: 9: leave it out: only Ketama has points");
}

#[test]
fn polynomials_can_be_chosen_for_the_classic_ring() {
    let ring = |polynomials: Value| {
        desired(&json!({"ring": {"algorithm": "Polynomial", "polynomials": polynomials}})).route.ring.clone()
    };
    assert_eq!(ring(json!({})), RingSpec::Polynomial(Polynomials::CLASSIC));
    let RingSpec::Polynomial(other) = ring(json!({"key": {"i": 5}, "server": {"jj": 0, "constant": 511}})) else {
        panic!("another ring")
    };
    assert_eq!(other.to_string(), "H(i) = i² + 5i + 17, Φ(i, j) = i² + 2j + 511");
    assert_eq!(
        errors(&json!({"ring": {"algorithm": "Polynomial", "polynomials": {"server": {"j": 512}}}})),
        "spec.ring.polynomials.server.j: 512: use a number from 0 to 511"
    );
    assert_eq!(
        errors(&json!({"ring": {"polynomials": {}}})),
        "spec.ring.polynomials: leave it out: only Polynomial has polynomials"
    );
}

#[test]
fn keys_are_hashed_as_asked_and_for_ketama_as_nginx_does() {
    let key_hash = |ring: Value| desired(&json!({"ring": ring})).route.key_hash;
    assert_eq!(key_hash(json!({})), KeyHash::SipHash);
    assert_eq!(key_hash(json!({"keyHash": "Xxh3"})), KeyHash::Xxh3);
    assert_eq!(key_hash(json!({"algorithm": "Ketama"})), KeyHash::Crc32);
    assert_eq!(key_hash(json!({"algorithm": "Ketama", "keyHash": "SipHash"})), KeyHash::SipHash);
    assert_eq!(
        errors(&json!({"ring": {"keyHash": "Crc32"}})),
        "spec.ring.keyHash: Crc32: use SipHash or Xxh3: CRC-32 is for Ketama, which needs no more of a key"
    );
}

#[test]
fn ordinals_have_weights_and_names() {
    let members = json!([{"ordinal": 2, "weight": 5}, {"ordinal": 0, "name": "10.0.0.1:80"}]);
    let route = desired(&json!({"ring": {"algorithm": "Ketama", "members": members}})).route;
    let RingSpec::Ketama(ring) = &route.ring else { panic!("another ring") };
    assert_eq!(ring.names.iter().collect::<Vec<_>>(), [(&0, &"10.0.0.1:80".into())]);
    assert_eq!([0, 1, 2].map(|ordinal| route.weight(Ordinal(ordinal))), [1, 1, 5]);

    let cases = [
        (json!([{"ordinal": -1}]), "spec.ring.members[0].ordinal: -1: use a number from 0 to 65534"),
        (json!([{"ordinal": 1, "weight": 0}]), "spec.ring.members[0].weight: 0: use a number from 1 to 1000"),
        (json!([{"ordinal": 1}, {"ordinal": 1}]), "spec.ring.members[1].ordinal: 1: listed twice; leave one"),
        (
            json!([{"ordinal": 1, "name": "a"}]),
            "spec.ring.members: a: leave the names out: only Ketama places members by name",
        ),
    ];
    for (members, message) in cases {
        assert_eq!(errors(&json!({"ring": {"members": members}})), message);
    }
}

#[test]
fn no_two_members_of_a_circle_may_stand_at_the_same_points() {
    let named = |names: &[&str]| -> Value {
        let members = (0..).zip(names).map(|(ordinal, name): (u16, _)| json!({"ordinal": ordinal, "name": name}));
        members.collect()
    };
    let cases = [
        (named(&["a", "a"]), "Nginx", "spec.ring.members: a: a name is listed twice; leave one"),
        (named(&["a", "a:"]), "Nginx", "spec.ring.members: a:: it is hashed as \"a\" is; leave one"),
        (
            named(&["1"]),
            "IngressNginx",
            "spec.ring.members: 1: ordinal 1 is called so, for it has no name; use the server's own, such as 10.0.0.1:8080",
        ),
    ];
    for (members, placement, message) in cases {
        let ring = json!({"algorithm": "Ketama", "placement": placement, "members": members});
        assert_eq!(errors(&json!({"ring": ring})), message);
    }
    for (members, placement) in [(named(&["a", "a:"]), "IngressNginx"), (named(&["0", "2", "1", "01"]), "Nginx")] {
        desired(&json!({"ring": {"algorithm": "Ketama", "placement": placement, "members": members}}));
    }
}

#[test]
fn a_circle_is_nginx_s_or_ingress_nginx_s() {
    let placement = |ring: Value| match &desired(&json!({"ring": ring})).route.ring {
        RingSpec::Ketama(ketama) => ketama.placement,
        other => panic!("{other:?}"),
    };
    assert_eq!(placement(json!({"algorithm": "Ketama"})), Placement::Nginx);
    assert_eq!(placement(json!({"algorithm": "Ketama", "placement": "Nginx"})), Placement::Nginx);
    assert_eq!(placement(json!({"algorithm": "Ketama", "placement": "IngressNginx"})), Placement::IngressNginx);
    assert_eq!(
        errors(&json!({"ring": {"placement": "IngressNginx"}})),
        "spec.ring.placement: IngressNginx: leave it out: only Ketama has a placement"
    );
}

#[test]
fn a_ring_seats_its_whole_fleet() {
    let cases = [
        (
            json!({"replicas": 50, "ring": {"algorithm": "Polynomial", "members": [{"ordinal": 0, "weight": 8}]}}),
            "spec.replicas: 50: a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in \
             spec.ring.algorithm",
        ),
        (
            json!({"replicas": 6554, "ring": {"algorithm": "Ketama"}}),
            "spec.replicas: 6554: a Ketama ring has at most 1048576 points, replicas counted by weight times \
             spec.ring.points; use fewer",
        ),
        (
            json!({"replicas": 4, "ring": {"algorithm": "Maglev", "slots": 3}}),
            "spec.replicas: 4: a Maglev ring needs a slot for each replica; use more in spec.ring.slots",
        ),
    ];
    for (spec, message) in cases {
        assert_eq!(errors(&spec), message);
    }
    assert_eq!(desired(&json!({"replicas": 3, "ring": {"algorithm": "Maglev", "slots": 3}})).replicas, 3);
}

#[test]
fn a_bound_leaves_every_replica_its_share() {
    let spec = |factor: f64| json!({"boundedLoad": {"factor": factor}});
    for good in [1.0, 1.25, 100.0] {
        assert_eq!(desired(&spec(good)).route.bounded_load, Some(good));
    }
    for bad in [0.5, -1.0, 100.5] {
        let message = format!("spec.boundedLoad.factor: {bad}: use a number from 1 to 100, such as 1.25");
        assert_eq!(errors(&spec(bad)), message);
    }
}

#[test]
fn percentages_of_a_rollout_resolve_as_a_deployments_do() {
    let spec = |replicas: u16, surge: Value, unavailable: Value| json!({"replicas": replicas, "rollout": {"maxSurge": surge, "maxUnavailable": unavailable}});
    let cases = [
        (10, json!("25%"), json!("25%"), (3, 2)),
        (4, json!("25%"), json!("25%"), (1, 1)),
        (10, json!("0%"), json!("25%"), (0, 2)),
        (3, json!("100%"), json!("0%"), (3, 0)),
        (3, json!(2), json!("50%"), (2, 1)),
        (65_535, json!("100%"), json!("100%"), (65_535, 65_535)),
        (3, json!("0%"), json!("10%"), (0, 1)), // 0.3 of a replica would never let a rollout begin
        (0, json!("25%"), json!("25%"), (0, 1)),
    ];
    for (replicas, surge, unavailable, expected) in cases {
        let Rollout { max_surge, max_unavailable, .. } = desired(&spec(replicas, surge, unavailable)).rollout;
        assert_eq!((max_surge, max_unavailable), expected);
    }
}

#[test]
fn a_rollout_can_always_take_a_step() {
    for (surge, unavailable) in [(json!(0), json!(0)), (json!("0%"), json!(0)), (json!(0), json!("0%"))] {
        assert_eq!(
            errors(&json!({"rollout": {"maxSurge": surge, "maxUnavailable": unavailable}})),
            "spec.rollout.maxUnavailable: 0: must not be 0 where spec.rollout.maxSurge is 0, or no rollout could ever \
             take a step; raise one"
        );
    }
}

#[test]
fn shares_are_counts_or_percentages() {
    for field in ["maxSurge", "maxUnavailable"] {
        let texts = ["1", "101%", "-1%", "1.5%", "%", "+5%", "005%", "many", "5 %"].map(|text| (json!(text), text));
        for (bad, shown) in texts.into_iter().chain([(json!(-1), "-1"), (json!(65_536), "65536")]) {
            assert_eq!(
                errors(&json!({"rollout": { field: bad }})),
                format!("spec.rollout.{field}: {shown}: use a count from 0 to 65535, or a percentage from 0% to 100%")
            );
        }
    }
}

#[test]
fn probes_ask_a_path() {
    for (bad, shown) in [("heartbeat", "heartbeat: "), ("/a b", "/a b: "), ("", "")] {
        assert_eq!(
            errors(&json!({"health": {"path": bad}})),
            format!("spec.health.path: {shown}use a path that begins with /, such as /heartbeat")
        );
    }
}

#[test]
fn templates_need_a_container() {
    assert_eq!(errors(&json!({"template": {}})), "spec.template.spec: missing: declare at least one container");
    assert_eq!(
        errors(&json!({"template": {"spec": {"containers": []}}})),
        "spec.template.spec.containers: empty: declare at least one container"
    );
}

#[test]
fn templates_become_what_backends_run() {
    let container = json!({
        "image": "server:1",
        "command": ["server"],
        "args": ["--port=$(PORT)"],
        "env": [{"name": "COLOR", "value": "green"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "workingDir": "/srv",
        "ports": [{"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 80}],
    });
    let mut spec = with_container(&container);
    spec["targetPort"] = json!("http");
    spec["template"]["spec"]["terminationGracePeriodSeconds"] = json!(0);
    let template = desired(&spec).template;
    let container = Container {
        name: "server".to_owned(),
        image: "server:1".to_owned(),
        command: vec!["server".to_owned()],
        args: vec!["--port=$(PORT)".to_owned()],
        env: BTreeMap::from([("COLOR".to_owned(), "green".to_owned())]),
        working_dir: Some("/srv".to_owned()),
        port: 80,
    };
    assert_eq!((&template.containers[..], template.termination_grace), (&[container][..], Duration::ZERO));
}

#[test]
fn what_a_template_gets_wrong_is_named_with_its_place() {
    let too_long = json!({"template": {"spec": {"terminationGracePeriodSeconds": -1, "containers": [{"name": "a"}]}}});
    let cases = [
        (too_long, "spec.template.spec.terminationGracePeriodSeconds: -1: use a number from 0 to 86400"),
        (
            with_container(&json!({"env": [{"name": "A", "value": "x"}, {"name": "B=C", "value": "x"}]})),
            "spec.template.spec.containers[0].env[1].name: B=C: use a variable name without =",
        ),
        (
            with_container(&json!({"ports": [{"containerPort": 70_000}]})),
            "spec.template.spec.containers[0].ports[0].containerPort: 70000: use a number from 1 to 65535",
        ),
    ];
    for (spec, message) in cases {
        assert_eq!(errors(&spec), message);
    }
}

/// As the resource comes from a cluster: there nobody has looked into the template yet.
fn from_cluster(template: Value) -> Result<Desired, FieldErrors> {
    let mut resource = resource(&json!({}));
    resource.spec.template = PodTemplate(template);
    validate(&resource)
}

#[test]
fn a_template_of_wrong_types_is_named_with_path_value_and_the_way_out() {
    let pod = |fields: Value| {
        let mut template = json!({"spec": {"containers": [{"name": "server"}]}});
        template["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        template
    };
    let cases = [
        (
            pod(json!({"terminationGracePeriodSeconds": "30"})),
            "spec.template.spec.terminationGracePeriodSeconds: \"30\": use a whole number, without quotes",
        ),
        (
            pod(json!({"containers": [{"name": "server", "command": "sleep 1"}]})),
            "spec.template.spec.containers[0].command: \"sleep 1\": use a list, such as [a, b]",
        ),
        (pod(json!({"volumes": {}})), "spec.template.spec.volumes: a group of fields: use a list, such as [a, b]"),
        (json!("server"), "spec.template: \"server\": use fields, indented below it; for the defaults remove it"),
        (json!({"spec": null}), "spec.template.spec: missing: declare at least one container"),
    ];
    for (template, message) in cases {
        assert_eq!(from_cluster(template).unwrap_err().to_string(), message);
    }
}

#[test]
fn fields_of_a_template_that_this_program_does_not_know_are_kept() {
    let template = json!({"spec": {"containers": [{"name": "server", "newer": {"a": [1]}}], "newest": true}});
    assert_eq!(from_cluster(template.clone()).unwrap().template.manifest, template);
}

#[test]
fn who_speaks_http2_alone_is_asked_for_no_path() {
    let Desired { health, route, .. } = desired(&json!({"targetProtocol": "HTTP2", "health": {"path": "/x"}}));
    assert_eq!((route.target_protocol, health.path), (TargetProtocol::Http2, None));
    let Desired { health, route, .. } = desired(&json!({"targetProtocol": "HTTP1", "health": {"path": "/x"}}));
    assert_eq!((route.target_protocol, health.path), (TargetProtocol::Http1, Some("/x".to_owned())));
}

#[test]
fn target_ports_name_a_port_of_the_template() {
    let spec = |port: Value| {
        let ports = json!({"ports": [{"name": "http", "containerPort": 80}, {"name": "admin", "containerPort": 81}]});
        let mut spec = with_container(&ports);
        spec["targetPort"] = port;
        spec
    };
    for (port, expected) in [(json!("http"), 80), (json!(9000), 9000)] {
        assert_eq!(desired(&spec(port)).template.containers[0].port, expected);
    }
    assert_eq!(
        errors(&spec(json!("https"))),
        "spec.targetPort: https: no container port of the template has this name (named ports: http, admin)"
    );
    assert_eq!(
        errors(&json!({"targetPort": "http"})),
        "spec.targetPort: http: no container port of the template has this name (named ports: none)"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_resource() {
    let spec = json!({
        "replicas": -1,
        "listener": {"port": 0, "hostnames": ["a b"]},
        "retries": {"attempts": 11},
        "health": {"periodSeconds": 0},
        "template": {"spec": {"containers": []}},
    });
    let expected = [
        ("spec.replicas", "-1", "use a number from 0 to 65535"),
        ("spec.listener.port", "0", "use a number from 1 to 65535"),
        ("spec.listener.hostnames[0]", "a b", "use a host name such as shop.example, or *.shop.example, without port"),
        ("spec.health.periodSeconds", "0", "use a number from 1 to 3600"),
        ("spec.retries.attempts", "11", "use a number from 0 to 10"),
        ("spec.template.spec.containers", "", "empty: declare at least one container"),
    ];
    let expected = expected.map(|(path, value, rule)| FieldError {
        path: path.to_owned(),
        value: value.to_owned(),
        rule: rule.to_owned(),
    });
    let errors = validate(&resource(&spec)).unwrap_err();
    assert_eq!(errors.0, expected);
    assert_eq!(errors.to_string(), expected.map(|error| error.to_string()).join("; "));
}
