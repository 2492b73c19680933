//! The access log as whoever runs Ringhold meets it: on standard output, and rotated by a signal.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Manifest, Ringhold, free_port};

fn one_replica() -> Manifest {
    Manifest { replicas: 1, ..Manifest::new(free_port()) }
}

#[tokio::test]
async fn lines_have_standard_output_for_themselves() {
    let ringhold = Ringhold::start_with(&one_replica(), &["--access-log", "-"]).await;
    assert_eq!(ringhold.client().get("/home?a=1", &[]).await.unwrap().0, 200);
    let line = ringhold.says("\"GET /home?a=1 HTTP/1.1\" 200 ").await;
    assert!(line.starts_with("127.0.0.1 - - [") && line.contains(" loadbalancer=web ordinal=0 "), "{line}");
    assert_eq!(ringhold.printed(), [line], "for programs");
    assert!(ringhold.story().contains("is ready on"), "for people, on standard error");
}

#[tokio::test]
async fn a_signal_has_the_log_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let args = ["--access-log", file.to_str().unwrap(), "--access-log-format", "json"];
    let ringhold = Ringhold::start_with(&one_replica(), &args).await;
    std::fs::rename(&file, folder.path().join("access.log.1")).unwrap();
    ringhold.signal(Signal::USR1);
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    while !file.exists() {
        assert!(tokio::time::Instant::now() < deadline, "no new file:\n{}", ringhold.story());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);
}
