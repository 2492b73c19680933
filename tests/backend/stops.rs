//! How a replica ends together with what it has started, and who sees to that.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ringhold::backend::Backend;
use ringhold::model::{FleetId, Replica, ReplicaState};
use rustix::process::{Pid, Signal, kill_process};

use crate::fleet::{replica, script};
use crate::harness::{Harness, Process, ask, delete, eventually, is_dead, is_running, pid, until_ended, with_grace};

#[tokio::test]
async fn a_wrapped_program_has_the_grace_of_its_wrapper() {
    let harness = Process::new();
    let program = "trap 'sleep 0.4; echo finished; exit 0' TERM; echo child $$$$; while :; do sleep 0.05; done";
    let desired = with_grace(script(&format!("({program}) & wait")), Duration::from_secs(60));
    harness.start(&desired, &replica(&desired, 0, 0), "child ").await;
    let asked = Instant::now();
    delete(&harness, &desired).await;
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    harness.line("finished").await;
    assert!(asked.elapsed() < Duration::from_secs(30), "the grace is no pause: {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_wrapped_program_that_does_not_stop_is_killed_after_the_grace() {
    let harness = Process::new();
    let grace = Duration::from_millis(400);
    let program = "sh -c 'trap \"\" TERM; echo child $$$$; while :; do sleep 0.05; done'";
    let desired = with_grace(script(&format!("{program} & wait")), grace);
    let child = harness.start(&desired, &replica(&desired, 0, 0), "child ").await;
    let asked = Instant::now();
    delete(&harness, &desired).await;
    harness.until(&desired, "it is gone", <[_]>::is_empty).await;
    assert!(asked.elapsed() >= grace, "it had {:?}", asked.elapsed());
    until_ended(child).await;
}

#[tokio::test]
async fn a_replica_that_was_unready_when_it_died_keeps_its_ready_time() {
    let harness = Process::new();
    let desired = harness.fleet(&FleetId::local("web"));
    let ready = harness.ready(&desired, &replica(&desired, 0, 0)).await;
    ask(&ready, "POST", "/unready").await;
    let is_unready = |replicas: &[Replica]| matches!(replicas[0].state, ReplicaState::Unready { .. });
    harness.until(&desired, "it is unready", is_unready).await;
    harness.kill(&ready).await;
    let dead = harness.until(&desired, "it is dead", |replicas| is_dead(&replicas[0])).await;
    let ReplicaState::Dead { ready_for, .. } = dead[0].state else { panic!("{dead:#?}") };
    assert!(ready_for > Duration::ZERO, "{dead:#?}");
}

#[tokio::test]
async fn a_changed_period_takes_effect_at_once() {
    let harness = Process::new();
    let mut desired = harness.fleet(&FleetId::local("web"));
    desired.health.period = Duration::from_secs(3_600);
    harness.backend().accept(&desired).unwrap();
    harness.ready(&desired, &replica(&desired, 0, 0)).await;
    desired.health.period = Duration::from_millis(50);
    desired.health.path = Some("/nowhere".to_owned());
    harness.backend().accept(&desired).unwrap();
    let is_unready = |replicas: &[Replica]| matches!(replicas[0].state, ReplicaState::Unready { .. });
    harness.until(&desired, "it is unready", is_unready).await;
}

/// A Ringhold that notes the ids of its guards.
fn noting(folder: &Path) -> std::path::PathBuf {
    let (program, real) = (folder.join("ringhold"), env!("CARGO_BIN_EXE_ringhold"));
    let note = folder.join("guards");
    let text = format!("#!/bin/sh\n[ \"$1\" = guard-replicas ] && echo $$ >>{}\nexec {real} \"$@\"\n", note.display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn a_guard_that_was_killed_is_replaced_and_knows_every_group() {
    let folder = tempfile::tempdir().unwrap();
    let ringhold = noting(folder.path());
    let guards = folder.path().join("guards");
    let (send, receive) = tokio::sync::oneshot::channel::<[Pid; 2]>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let harness = Process::with(ringhold);
            let desired = script("sleep 300 & echo child $RINGHOLD_ORDINAL $!; wait");
            let first = harness.start(&desired, &replica(&desired, 0, 0), "child 0 ").await;
            let guard = eventually("the guard is there", || std::fs::read_to_string(&guards).ok()).await;
            kill_process(pid(&guard), Signal::KILL).unwrap();
            until_ended(pid(&guard)).await;
            let second = harness.start(&desired, &replica(&desired, 1, 0), "child 1 ").await;
            let notes = || Some(std::fs::read_to_string(&guards).unwrap().lines().count()).filter(|count| *count == 2);
            eventually("another guard is there", notes).await;
            assert!(is_running(first) && is_running(second));
            send.send([first, second]).unwrap();
        });
    });
    for pid in receive.await.unwrap() {
        until_ended(pid).await;
    }
}
