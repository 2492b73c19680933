//! What a pod says, case by case.

use serde_json::{Value, json};

use super::*;

/// Seconds of the day on which all of this happens.
fn at(second: i64) -> Timestamp {
    "2026-01-02T03:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(second.unsigned_abs())
}

/// A pod of `web` in `shop` with this status, changed as the case wants it.
fn mk_pod(status: &Value, change: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "web-2-0badcafe-7",
            "namespace": "shop",
            "uid": "pod-uid",
            "resourceVersion": "42",
            "creationTimestamp": at(0),
            "labels": {
                "app": "web",
                "app.kubernetes.io/managed-by": "ringhold",
                "ringhold.dev/loadbalancer": "web",
                "ringhold.dev/ordinal": "2",
                "ringhold.dev/template": "0badcafe",
                "ringhold.dev/incarnation": "7",
            },
            "annotations": {"ringhold.dev/failures": "3", "ringhold.dev/port": "8080"},
            "ownerReferences": [{
                "apiVersion": "ringhold.dev/v1alpha1",
                "kind": "LoadBalancer",
                "name": "web",
                "uid": "lb-uid",
                "controller": true,
            }],
        },
        "status": status,
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn same(_: &mut Value) {}

/// Began in second 1; its Ready condition changed last in `changed`.
fn mk_status(phase: &str, ready: &str, changed: i64) -> Value {
    json!({
        "phase": phase,
        "podIP": "10.0.0.9",
        "startTime": at(1),
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": at(changed)}],
    })
}

/// One that ran from second 2 and ended in second 50.
fn mk_ended(phase: &str, changed: i64, end: &Value) -> Value {
    let mut end = end.clone();
    end["startedAt"] = json!(at(2));
    end["finishedAt"] = json!(at(50));
    let mut status = mk_status(phase, "False", changed);
    status["containerStatuses"] = json!([{"name": "server", "state": {"terminated": end}}]);
    status
}

fn replica_of(pod: &Pod) -> Replica {
    Sighting::of(pod).unwrap().replica(&Past::default())
}

fn state_of(status: &Value) -> ReplicaState {
    replica_of(&mk_pod(status, same)).state
}

#[test]
fn a_pod_of_ours_is_read_whole() {
    let pod = mk_pod(&mk_status("Running", "True", 9), same);
    let sighting = Sighting::of(&pod).unwrap();
    let owner = FleetUid("lb-uid".into());
    assert_eq!((&sighting.fleet, &sighting.owner), (&FleetId::new("shop", "web"), &owner));
    assert_eq!(sighting.version, Version::new("42"));
    let replica = Replica {
        name: sighting.name.clone(),
        uid: ReplicaUid("pod-uid".into()),
        ordinal: Ordinal(2),
        incarnation: Incarnation(7),
        template: TemplateHash("0badcafe".into()),
        failures: 3,
        address: Some("10.0.0.9:8080".parse().unwrap()),
        state: ReplicaState::Ready { since: at(9) },
        created_at: at(0),
        draining_since: None,
        remove_first: false,
        trouble: None,
        traffic: Traffic::default(),
    };
    assert_eq!(sighting.replica(&Past::default()), replica);
    assert_eq!(replica.name.as_str(), "web-2-0badcafe-7");
}

#[test]
fn a_pod_that_is_not_ours_is_left_alone() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 12] = [
        ("managed by another", |pod| pod["metadata"]["labels"][marks::MANAGED_BY] = json!("helm")),
        ("no labels", |pod| pod["metadata"]["labels"] = Value::Null),
        ("no ordinal", |pod| pod["metadata"]["labels"][marks::ORDINAL] = json!("")),
        ("a large ordinal", |pod| pod["metadata"]["labels"][marks::ORDINAL] = json!("65536")),
        ("another ordinal than its name says", |pod| pod["metadata"]["labels"][marks::ORDINAL] = json!("3")),
        ("no incarnation", |pod| pod["metadata"]["labels"][marks::INCARNATION] = json!("first")),
        ("another name", |pod| pod["metadata"]["name"] = json!("web-2-0badcafe-7-copy")),
        ("no owner", |pod| pod["metadata"]["ownerReferences"] = Value::Null),
        ("no controller", |pod| pod["metadata"]["ownerReferences"][0]["controller"] = json!(false)),
        ("another kind of owner", |pod| pod["metadata"]["ownerReferences"][0]["kind"] = json!("ReplicaSet")),
        ("another LoadBalancer", |pod| pod["metadata"]["ownerReferences"][0]["name"] = json!("shop")),
        ("another API's LoadBalancer", |pod| {
            pod["metadata"]["ownerReferences"][0]["apiVersion"] = json!("example.com/v1alpha1");
        }),
    ];
    for (case, change) in cases {
        assert_eq!(Sighting::of(&mk_pod(&mk_status("Running", "True", 9), change)), None, "{case}");
    }
    assert_eq!(Sighting::of(&Pod::default()), None);
}

#[test]
fn a_pod_lives_as_its_status_says() {
    use ReplicaState::{Ready, Starting, Unready};
    let cases = [
        ("nothing yet", json!({}), Starting),
        ("waiting for a node", json!({"phase": "Pending"}), Starting),
        ("pulling its image", mk_status("Pending", "False", 1), Starting),
        ("running", mk_status("Running", "False", 1), Starting),
        ("running, by a clock that rounds", mk_status("Running", "False", 3), Starting),
        ("ready", mk_status("Running", "True", 9), Ready { since: at(9) }),
        ("no longer ready", mk_status("Running", "False", 20), Unready { since: at(20) }),
        ("on a node that is lost", mk_status("Running", "Unknown", 20), Unready { since: at(20) }),
        ("in an unknown phase", mk_status("Unknown", "False", 20), Unready { since: at(20) }),
    ];
    for (case, status, state) in cases {
        assert_eq!(state_of(&status), state, "{case}");
    }
}

#[test]
fn a_pod_that_is_told_to_stop_is_terminating_whatever_else_it_is() {
    for (phase, ready) in [("Pending", "False"), ("Running", "True"), ("Failed", "False"), ("Succeeded", "False")] {
        let pod = mk_pod(&mk_status(phase, ready, 9), |pod| pod["metadata"]["deletionTimestamp"] = json!(at(60)));
        assert_eq!(replica_of(&pod).state, ReplicaState::Terminating, "{phase}");
    }
}

#[test]
fn a_dead_pod_says_how_it_ended() {
    let cases = [
        ("Failed", json!({"exitCode": 1, "reason": "Error"}), "exit status 1"),
        ("Failed", json!({"exitCode": 255}), "exit status 255"),
        ("Failed", json!({"exitCode": 137, "reason": "Error"}), "killed by signal 9"),
        ("Failed", json!({"exitCode": 0, "signal": 15}), "killed by signal 15"),
        ("Failed", json!({"exitCode": 137, "reason": "OOMKilled"}), "OOMKilled"),
        (
            "Failed",
            json!({"exitCode": 128, "reason": "StartError", "message": "no such file\n"}),
            "StartError: no such file",
        ),
        ("Succeeded", json!({"exitCode": 0, "reason": "Completed"}), "Completed"),
    ];
    for (phase, end, words) in cases {
        let dead = |ready_for| {
            let ready_for = Duration::from_secs(ready_for);
            ReplicaState::Dead { since: at(50), ready_for, reason: words.to_owned() }
        };
        assert_eq!(state_of(&mk_ended(phase, 1, &end)), dead(0), "was never ready: {end}");
        assert_eq!(state_of(&mk_ended(phase, 50, &end)), dead(48), "ready until it ended: {end}");
    }
}

#[test]
fn what_the_kubelet_ended_says_why() {
    let mut status = mk_status("Failed", "False", 30);
    status["reason"] = json!("Evicted");
    let dead =
        |reason: &str| ReplicaState::Dead { since: at(30), ready_for: Duration::ZERO, reason: reason.to_owned() };
    assert_eq!(state_of(&status), dead("Evicted"));
    status["message"] = json!("The node was low on resource: memory. ");
    assert_eq!(state_of(&status), dead("Evicted: The node was low on resource: memory."));
    let nothing = json!({"phase": "Failed"});
    let dead = ReplicaState::Dead { since: at(0), ready_for: Duration::ZERO, reason: "Failed".to_owned() };
    assert_eq!(state_of(&nothing), dead, "as old as the pod, for want of better");
}

#[test]
fn of_several_containers_the_first_that_failed_tells_the_reason_and_the_last_the_time() {
    let end = |code: i64, from: i64, to: i64| json!({"state": {"terminated": {"exitCode": code, "startedAt": at(from), "finishedAt": at(to)}}});
    let mut status = mk_status("Failed", "False", 30);
    status["initContainerStatuses"] = json!([end(0, 1, 3)]);
    status["containerStatuses"] = json!([end(0, 4, 20), end(7, 5, 30), end(143, 6, 31), {"state": {"waiting": {}}}]);
    assert_eq!(
        state_of(&status),
        ReplicaState::Dead { since: at(31), ready_for: Duration::from_secs(25), reason: "exit status 7".to_owned() }
    );
}

#[test]
fn what_was_seen_of_a_pod_is_remembered() {
    let mut past = Past::default();
    let mut see = |status: &Value| {
        let sighting = Sighting::of(&mk_pod(status, same)).unwrap();
        past.note(&sighting, at(100));
        sighting.replica(&past).state
    };
    // It turned ready so soon that the pod alone does not tell.
    assert_eq!(see(&mk_status("Running", "False", 1)), ReplicaState::Starting);
    assert_eq!(see(&mk_status("Running", "True", 2)), ReplicaState::Ready { since: at(2) });
    assert_eq!(see(&mk_status("Running", "False", 3)), ReplicaState::Unready { since: at(3) });
    assert_eq!(see(&mk_status("Running", "True", 10)), ReplicaState::Ready { since: at(10) });
    assert_eq!(see(&mk_status("Running", "False", 17)), ReplicaState::Unready { since: at(17) });
    let dead = ReplicaState::Dead { since: at(50), ready_for: Duration::from_secs(7), reason: "Completed".to_owned() };
    let ended = mk_ended("Succeeded", 17, &json!({"exitCode": 0}));
    assert_eq!([see(&ended), see(&ended)], [dead.clone(), dead], "it was ready for so long the last time");
}

#[test]
fn a_pod_that_dies_while_it_is_ready_was_ready_until_then() {
    let mut past = Past::default();
    past.note(&Sighting::of(&mk_pod(&mk_status("Running", "True", 10), same)).unwrap(), at(10));
    let sighting = Sighting::of(&mk_pod(&mk_ended("Failed", 50, &json!({"exitCode": 1})), same)).unwrap();
    past.note(&sighting, at(51));
    let ReplicaState::Dead { ready_for, .. } = sighting.replica(&past).state else { panic!("{sighting:#?}") };
    assert_eq!(ready_for, Duration::from_secs(40));
}

#[test]
fn an_address_is_known_once_the_pod_has_one() {
    let cases = [
        (json!("10.1.2.3"), json!("80"), Some("10.1.2.3:80")),
        (json!("fd00::7"), json!("8080"), Some("[fd00::7]:8080")),
        (json!(""), json!("80"), None),
        (Value::Null, json!("80"), None),
        (json!("10.1.2.3"), json!("http"), None),
        (json!("10.1.2.3"), json!("0"), None),
        (json!("10.1.2.3"), json!("65536"), None),
    ];
    for (ip, port, address) in cases {
        let pod = mk_pod(&json!({"podIP": ip}), |pod| pod["metadata"]["annotations"][marks::PORT] = port.clone());
        assert_eq!(replica_of(&pod).address, address.map(|address| address.parse().unwrap()), "{ip} {port}");
    }
}

#[test]
fn a_pod_goes_first_if_people_say_so_in_a_label_or_an_annotation() {
    for place in ["labels", "annotations"] {
        for (value, remove_first) in [("true", true), ("", true), ("yes", true), ("false", false)] {
            let pod = mk_pod(&json!({}), |pod| pod["metadata"][place][marks::REMOVE_FIRST] = json!(value));
            assert_eq!(replica_of(&pod).remove_first, remove_first, "{place} {value:?}");
        }
    }
}

#[test]
fn failures_that_cannot_be_read_are_none() {
    for (text, failures) in [(json!("9"), 9), (json!("-1"), 0), (json!("many"), 0)] {
        let pod = mk_pod(&json!({}), |pod| pod["metadata"]["annotations"][marks::FAILURES] = text.clone());
        assert_eq!(replica_of(&pod).failures, failures, "{text}");
    }
}

#[test]
fn a_drain_mark_says_since_when() {
    let since = |text: &str, managed: Value| {
        let pod = mk_pod(&json!({}), |pod| {
            pod["metadata"]["annotations"][marks::DRAINING_SINCE] = json!(text);
            pod["metadata"]["managedFields"] = managed;
        });
        let sighting = Sighting::of(&pod).unwrap();
        let mut past = Past::default();
        past.note(&sighting, at(70));
        let first = sighting.replica(&past).draining_since;
        past.note(&sighting, at(80));
        assert_eq!(sighting.replica(&past).draining_since, first, "it does not move");
        first
    };
    let managed = json!([
        {"manager": "kubelet", "time": at(65), "fieldsV1": {"f:status": {}}},
        {"manager": "kubectl", "time": at(30), "fieldsV1": {"f:metadata": {"f:annotations": {"f:ringhold.dev/draining-since": {}}}}},
        {"manager": "another", "time": at(60), "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}}},
    ]);
    assert_eq!(since("2026-01-02T03:00:05Z", managed.clone()), Some(at(5)), "as it is written");
    for text in ["", "true", "soon"] {
        assert_eq!(since(text, managed.clone()), Some(at(30)), "{text:?}: when it was written");
        assert_eq!(since(text, Value::Null), Some(at(70)), "{text:?}: when it was first seen");
    }
}
