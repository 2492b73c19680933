//! Ringhold's own life: how it ends, and what it leaves behind.

use std::time::Duration;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::harness::{Manifest, PATIENCE, Ringhold, free_port};
use crate::load::Load;

/// Waits until a process is gone. One that was adopted and not reaped yet is gone, too.
async fn gone(pid: Pid) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while test_kill_process(pid).is_ok() && !is_zombie(pid) {
        assert!(tokio::time::Instant::now() < deadline, "process {} survives", pid.as_raw_nonzero());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// All processes below this one.
fn descendants(pid: Pid) -> Vec<Pid> {
    let id = pid.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
    children.flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

#[tokio::test]
async fn a_killed_ringhold_leaves_no_child_behind_and_starts_again_at_once() {
    let manifest = Manifest::new(free_port());
    let mut ringhold = Ringhold::start(&manifest).await;
    let children = descendants(ringhold.pid());
    assert!(children.len() >= 3, "{children:?}");
    ringhold.signal(Signal::KILL);
    ringhold.ended().await;
    for child in children {
        gone(child).await;
    }
    let again = Ringhold::start(&manifest).await;
    assert_eq!(again.client().get("/home", &[]).await.unwrap().0, 200);
}

#[tokio::test]
async fn what_a_replica_has_started_dies_with_ringhold_too() {
    let mut manifest = Manifest::new(free_port());
    manifest.replicas = 1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    let script = "[sh, -c, 'sleep 600 & ringhold-server']";
    std::fs::write(&file, manifest.yaml().replace(r#"["ringhold-server"]"#, script)).unwrap();
    let mut ringhold = Ringhold::start_on(folder, file, manifest.port);
    ringhold.settled().await;
    let children = descendants(ringhold.pid());
    let name = |pid: &Pid| std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
    assert!(children.iter().any(|child| name(child) == "sleep\n"), "no grandchild: {children:?}");
    ringhold.signal(Signal::KILL);
    ringhold.ended().await;
    for child in children {
        gone(child).await;
    }
}

#[tokio::test]
async fn ctrl_c_lets_running_requests_finish_and_stops_everything() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut ringhold = Ringhold::start(&Manifest::new(free_port())).await;
        let children = descendants(ringhold.pid());
        let port = ringhold.port;
        let slow = tokio::spawn(async move { crate::client::Client::new(port).get("/slow?ms=800", &[]).await });
        ringhold.until("the request runs", |shown| shown.to_string().contains(r#""inFlight":1"#)).await;
        ringhold.signal(signal);
        assert_eq!(slow.await.unwrap().unwrap().0, 200, "{}", ringhold.story());
        assert!(ringhold.ended().await.success());
        for child in children {
            gone(child).await;
        }
    }
}

#[tokio::test]
async fn ctrl_c_under_load_breaks_no_request_off() {
    let mut ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    let load = Load::of_gets(ringhold.port);
    load.answers(300).await;
    ringhold.signal(Signal::INT);
    assert!(ringhold.ended().await.success());
    let failures = load.stop().await;
    // A kept connection may close before its next request; whatever was answered was answered whole.
    let broken: Vec<_> = failures.iter().filter(|failure| !is_about_the_next_request(failure)).collect();
    assert!(broken.is_empty(), "{broken:?}\n{}", ringhold.story());
}

fn is_about_the_next_request(failure: &str) -> bool {
    failure.starts_with("can't connect") || failure.starts_with("no response")
}

#[tokio::test]
async fn half_a_question_to_the_admin_server_does_not_keep_ringhold_from_ending() {
    let mut ringhold = Ringhold::start(&Manifest { replicas: 1, ..Manifest::new(free_port()) }).await;
    let mut half = std::net::TcpStream::connect(("127.0.0.1", ringhold.admin)).unwrap();
    std::io::Write::write_all(&mut half, b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
    ringhold.signal(Signal::INT);
    assert!(ringhold.ended().await.success());
}

#[tokio::test]
async fn a_second_ctrl_c_stops_at_once() {
    let mut ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    let children = descendants(ringhold.pid());
    let port = ringhold.port;
    let slow = tokio::spawn(async move { crate::client::Client::new(port).get("/slow?ms=50000", &[]).await });
    ringhold.until("the request runs", |shown| shown.to_string().contains(r#""inFlight":1"#)).await;
    ringhold.signal(Signal::INT);
    ringhold.says("Ctrl-C again stops at once").await;
    ringhold.signal(Signal::INT);
    assert_eq!(ringhold.ended().await.code(), Some(1));
    let cut = slow.await.unwrap();
    assert!(cut.as_ref().map_or(true, |(status, _)| *status != 200), "{cut:?}");
    for child in children {
        gone(child).await;
    }
}
