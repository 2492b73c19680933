//! What the process backend promises besides the contract.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold::backend::{Backend, BackendError, Unsupported};
use ringhold::model::{FleetId, Replica, ReplicaState, ReplicaTls};
use serde_json::json;

use crate::fleet::{fleet, replica, script, server};
use crate::harness::{Harness, Process, ask, delete, is_dead, is_running, until_ended, with_grace};

/// The scripts of these tests end when they are told to.
const PATIENCE: &str = "while :; do sleep 0.05; done";

#[tokio::test]
async fn a_replica_knows_its_port_its_place_and_the_templates_environment() {
    let harness = Process::new();
    let container = json!({
        "name": "script",
        "command": ["/bin/sh", "-c"],
        "args": [
            "echo env $PORT $RINGHOLD_ORDINAL $RINGHOLD_NAME $COLOR; echo args $(PORT) $(COLOR) '$$(COLOR)' \"$@\"; sleep 300",
            "script",
            "--port=$(PORT)",
            "$(MISSING)",
        ],
        "env": [{"name": "COLOR", "value": "green"}],
    });
    let desired = fleet(&FleetId::local("web"), &json!({"containers": [container]}));
    let new = replica(&desired, 3, 1);
    harness.backend().create(&desired, &new).await.unwrap();
    let port = harness.replicas(&desired).await[0].address.unwrap().port();

    let (by, environment) = harness.line("env ").await;
    assert_eq!((&by, environment), (&new.name, format!("{port} 3 {} green", new.name)));
    let (_, arguments) = harness.line("args ").await;
    assert_eq!(arguments, format!("{port} green $(COLOR) --port={port} $(MISSING)"));
}

#[tokio::test]
async fn a_replica_works_where_its_template_says() {
    let harness = Process::new();
    let container = json!({"name": "script", "command": ["/bin/sh", "-c", "echo in $(pwd)"], "workingDir": "/"});
    let desired = fleet(&FleetId::local("web"), &json!({"containers": [container]}));
    harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    assert_eq!(harness.line("in ").await.1, "/");
}

#[tokio::test]
async fn output_and_errors_come_with_the_replicas_name() {
    let harness = Process::new();
    let desired = script("echo out $RINGHOLD_ORDINAL; echo err $RINGHOLD_ORDINAL >&2; sleep 300");
    for ordinal in [0, 1] {
        let new = replica(&desired, ordinal, 0);
        harness.backend().create(&desired, &new).await.unwrap();
        for stream in ["out", "err"] {
            assert_eq!(harness.line(&format!("{stream} {ordinal}")).await.0, new.name);
        }
    }
}

#[tokio::test]
async fn a_replica_leads_a_process_group_of_its_own() {
    let harness = Process::new();
    let desired = script("echo pid $$$$; sleep 300");
    let pid = harness.start(&desired, &replica(&desired, 0, 0), "pid ").await;
    assert_eq!(rustix::process::getpgid(Some(pid)), Ok(pid));
}

#[tokio::test]
async fn a_replica_that_ends_by_itself_is_dead_with_its_status() {
    let harness = Process::new();
    let desired = script("exit 7");
    harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap();
    let dead = harness.until(&desired, "it is dead", |replicas| is_dead(&replicas[0])).await;
    let ReplicaState::Dead { ready_for, reason, .. } = &dead[0].state else { panic!("{dead:#?}") };
    assert_eq!((*ready_for, reason.as_str()), (Duration::ZERO, "exit status 7"));
}

#[tokio::test]
async fn a_replica_is_asked_to_stop_first() {
    let harness = Process::new();
    let grace = Duration::from_secs(300);
    let desired = with_grace(script(&format!("trap 'echo asked; exit 0' TERM; echo pid $$$$; {PATIENCE}")), grace);
    let pid = harness.start(&desired, &replica(&desired, 0, 0), "pid ").await;
    delete(&harness, &desired).await;
    harness.line("asked").await;
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_replica_that_does_not_stop_is_killed_after_its_grace() {
    let harness = Process::new();
    let grace = Duration::from_millis(300);
    let desired = with_grace(script(&format!("trap '' TERM; echo pid $$$$; {PATIENCE}")), grace);
    let pid = harness.start(&desired, &replica(&desired, 0, 0), "pid ").await;
    let asked = Instant::now();
    delete(&harness, &desired).await;
    assert_eq!(harness.replicas(&desired).await[0].state, ReplicaState::Terminating);
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    assert!(asked.elapsed() >= grace, "it had {:?}", asked.elapsed());
    assert!(!is_running(pid));
}

#[tokio::test]
async fn what_a_replica_leaves_behind_in_its_group_is_killed() {
    for end in ["exit 0", "wait"] {
        let harness = Process::new();
        let desired = script(&format!("sleep 300 & echo child $!; {end}"));
        let child = harness.start(&desired, &replica(&desired, 0, 0), "child ").await;
        if end == "wait" {
            delete(&harness, &desired).await;
        }
        until_ended(child).await;
    }
}

#[tokio::test]
async fn readiness_follows_the_probes() {
    let harness = Process::new();
    let desired = harness.fleet(&FleetId::local("web"));
    let ready = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    ask(&ready, "POST", "/unready").await;
    let is_unready = |replicas: &[Replica]| matches!(replicas[0].state, ReplicaState::Unready { .. });
    harness.until(&desired, "it is unready", is_unready).await;
    ask(&ready, "POST", "/ready").await;
    let again = harness.until(&desired, "it is ready again", |replicas| replicas[0].is_ready()).await;
    assert_eq!(again[0].uid, ready.uid);
    assert!(again[0].state != ready.state, "ready since then, not since the start");
}

#[tokio::test]
async fn changed_probe_settings_reach_running_replicas() {
    let harness = Process::new();
    let mut desired = harness.fleet(&FleetId::local("web"));
    harness.ready(&desired, &replica(&desired, 0, 0)).await;
    desired.health.path = Some("/nowhere".to_owned());
    harness.backend().accept(&desired).unwrap();
    let is_unready = |replicas: &[Replica]| matches!(replicas[0].state, ReplicaState::Unready { .. });
    harness.until(&desired, "it is unready", is_unready).await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_rejected() {
    let harness = Process::new();
    let container = json!({"name": "server", "command": ["no-such-program"]});
    let desired = fleet(&FleetId::local("web"), &json!({"containers": [container]}));
    let error = harness.backend().create(&desired, &replica(&desired, 0, 0)).await.unwrap_err();
    let message = "spec.template.spec.containers[0].command: `no-such-program` is in no folder of PATH; install it, or \
                   give its path with a `/` in it";
    assert_eq!(error, BackendError::Rejected { reason: "CommandNotFound", message: message.to_owned() });
    assert_eq!(harness.replicas(&desired).await, []);
}

#[tokio::test]
async fn what_cannot_run_as_a_process_is_not_accepted() {
    let unsupported = |pod| Process::new().backend().accept(&fleet(&FleetId::local("web"), &pod)).unwrap_err();
    let command_missing = Unsupported {
        path: "spec.template.spec.containers[0].command".to_owned(),
        message: "missing: a local process has no image to take it from; name the program to run".to_owned(),
    };
    assert_eq!(unsupported(json!({"containers": [{"name": "server", "image": "x"}]})), [command_missing]);
    let command = [server()];
    let two = json!({"containers": [{"name": "a", "command": command}, {"name": "b", "command": command}]});
    let too_many = Unsupported {
        path: "spec.template.spec.containers".to_owned(),
        message: "2 containers: a local process stands for one; leave one".to_owned(),
    };
    assert_eq!(unsupported(two), [too_many]);
    let mut desired = fleet(&FleetId::local("web"), &json!({"containers": [{"name": "a", "command": command}]}));
    let tls = ReplicaTls { hostname: "web.internal".to_owned(), authorities: "web-ca".to_owned() };
    Arc::make_mut(&mut desired.route).replica_tls = Some(tls);
    let in_the_clear = Unsupported {
        path: "spec.replicaTls".to_owned(),
        message: "a local process is asked for its health in the clear; leave it out".to_owned(),
    };
    assert_eq!(Process::new().backend().accept(&desired).unwrap_err(), [in_the_clear]);
}
