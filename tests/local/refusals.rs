//! Bad input at the start, each with its message; and commands that fail, which a fleet must survive.

use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Manifest, Ringhold, free_port, refused};

fn condition<'a>(shown: &'a Value, kind: &str) -> &'a Value {
    shown["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == kind).unwrap()
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    let said = refused("spec: [\n  replicas: 3\n");
    assert!(said.starts_with("ringhold: web.yaml: not YAML: "), "{said}");
    assert!(said.contains("line 1 column 7: unclosed bracket"), "{said}");
}

#[test]
fn an_unknown_field_is_refused_with_its_path() {
    let yaml = Manifest::new(5000).yaml().replace("replicas: 3", "replicas: 3\n  replicsa: 4");
    assert_eq!(
        refused(&yaml),
        "ringhold: web.yaml: spec.replicsa: no such field; check its spelling and place, or remove it\n"
    );
}

#[test]
fn a_negative_size_is_refused_with_its_range() {
    let yaml = Manifest { replicas: -1, ..Manifest::new(5000) }.yaml();
    assert_eq!(refused(&yaml), "ringhold: web.yaml: web: spec.replicas: -1: use a number from 0 to 65535\n");
}

#[test]
fn more_replicas_than_the_ring_seats_are_refused_with_its_limit() {
    let manifest = Manifest { replicas: 57, spec: "ring: {algorithm: Polynomial}".to_owned(), ..Manifest::new(5000) };
    assert_eq!(
        refused(&manifest.yaml()),
        "ringhold: web.yaml: web: spec.replicas: 57: a Polynomial ring seats at most 56 replicas, counted by weight; use \
         Rendezvous in spec.ring.algorithm\n"
    );
}

#[test]
fn a_rollout_that_may_take_no_step_is_refused() {
    let mut manifest = Manifest::new(5000);
    manifest.spec = "rollout: {maxSurge: 0, maxUnavailable: 0}".to_owned();
    assert_eq!(
        refused(&manifest.yaml()),
        "ringhold: web.yaml: web: spec.rollout.maxUnavailable: 0: must not be 0 where spec.rollout.maxSurge is 0, or no \
         rollout could ever take a step; raise one\n"
    );
}

#[test]
fn a_port_in_use_is_refused_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        refused(&Manifest::new(port).yaml()),
        format!(
            "ringhold: web.yaml: web: spec.listener.port: port {port} is in use by another process; stop that process or \
             choose another port\n"
        )
    );
}

#[tokio::test]
async fn a_second_ringhold_on_the_same_port_is_refused() {
    let manifest = Manifest { replicas: 1, ..Manifest::new(free_port()) };
    let ringhold = Ringhold::start(&manifest).await;
    let said = refused(&manifest.yaml());
    assert!(said.contains(&format!("port {} is in use by another process", manifest.port)), "{said}");
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_command_that_does_not_exist_degrades_the_fleet_with_its_name() {
    let manifest = Manifest { command: &["no-such-program"], ..Manifest::new(free_port()) };
    let ringhold = Ringhold::start_without_waiting(&manifest);
    let is_degraded = |shown: &Value| condition(shown, "Degraded")["status"] == "True";
    let shown = ringhold.until("degraded", is_degraded).await;
    assert_eq!(condition(&shown, "Degraded")["reason"], "CommandNotFound");
    let message = condition(&shown, "Degraded")["message"].as_str().unwrap();
    let says = "web-0 can't be created: spec.template.spec.containers[0].command: `no-such-program` is in no folder of \
                PATH; install it, or give its path with a `/` in it; the next try comes ";
    assert!(message.starts_with(says), "{message}");
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 503);
}

#[tokio::test]
async fn an_edit_to_a_command_that_does_not_exist_leaves_the_old_fleet_serving() {
    let mut manifest = Manifest::new(free_port());
    let ringhold = Ringhold::start(&manifest).await;
    let before = ringhold.settled().await;
    manifest.command = &["no-such-program"];
    ringhold.edit(&manifest);
    ringhold.until("degraded", |shown| condition(shown, "Degraded")["reason"] == "CommandNotFound").await;
    let after = ringhold.show("web").await.unwrap();
    assert_eq!(before["replicas"], after["replicas"]);
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_command_that_exits_at_once_backs_off_while_the_rest_serves() {
    let mut manifest = Manifest::new(free_port());
    let ringhold = Ringhold::start(&manifest).await;
    manifest.replicas = 4;
    let script = r#"[sh, -c, '[ "$RINGHOLD_ORDINAL" = 3 ] && exit 7; exec ringhold-server']"#;
    ringhold.write(&manifest.yaml().replace(r#"["ringhold-server"]"#, script));
    let fails = |shown: &Value| condition(shown, "Degraded")["reason"] == "ReplicaFailing";
    let shown = ringhold.until("degraded", fails).await;
    let message = condition(&shown, "Degraded")["message"].as_str().unwrap();
    assert!(message.starts_with("web-3 failed ") && message.contains("times in a row"), "{message}");
    ringhold.says("web-3 died (exit status 7)").await;
    for key in 0..50 {
        let answer = ringhold.client().get("/home", &[("X-User-Id", &format!("k{key}"))]).await.unwrap();
        assert_eq!(answer.0, 200);
    }
    ringhold.says("the next try comes 2 s after that").await;
}

#[test]
fn a_container_name_that_kubernetes_would_refuse_is_refused() {
    for name in ["", "Server"] {
        let yaml = Manifest::new(5000).yaml().replace("- name: server", &format!("- name: \"{name}\""));
        let said = refused(&yaml);
        assert!(said.starts_with("ringhold: web.yaml: web: spec.template.spec.containers[0].name: "), "{said}");
        assert!(said.ends_with("use 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -\n"), "{said}");
    }
}
