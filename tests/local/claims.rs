//! Ports and hosts that several LoadBalancers ask for, over time.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::harness::{Manifest, Ringhold, free_port, is_settled};

fn mk_manifest(name: &'static str, port: u16) -> Manifest {
    Manifest { name, replicas: 1, ..Manifest::new(port) }
}

/// A folder with one file for each manifest.
fn folder(manifests: &[&Manifest]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    manifests.iter().for_each(|manifest| put(&path, manifest));
    (folder, path)
}

fn put(folder: &Path, manifest: &Manifest) {
    let next = folder.join("next");
    std::fs::write(&next, manifest.yaml()).unwrap();
    std::fs::rename(&next, folder.join(format!("{}.yaml", manifest.name))).unwrap();
}

fn accepted(shown: &Value) -> &Value {
    shown["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Accepted").unwrap()
}

/// Waits until requests on this port reach this LoadBalancer.
async fn serves(port: u16, name: &str) {
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        let answer = Client::new(port).get("/home", &[]).await;
        if answer.as_ref().is_ok_and(|(_, body)| String::from_utf8_lossy(body).contains(&format!("{name}-0-"))) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{name} does not serve port {port}: {answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn of_two_that_ask_for_one_port_at_the_start_the_first_has_it() {
    let port = free_port();
    let (folder, path) = folder(&[&mk_manifest("alpha", port), &mk_manifest("beta", port)]);
    let ringhold = Ringhold::start_on(folder, path, port);
    let refused = |shown: &Value| accepted(shown)["reason"] == "ListenerConflict";
    ringhold.until_of("beta", "refused", refused).await;
    ringhold.until_of("alpha", "settled", is_settled).await;
    serves(port, "alpha").await;
}

#[tokio::test]
async fn two_swap_their_ports_in_one_edit() {
    let (mut alpha, mut beta) = (mk_manifest("alpha", free_port()), mk_manifest("beta", free_port()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.yaml");
    let both = |one: &Manifest, two: &Manifest| format!("{}---\n{}", one.yaml(), two.yaml());
    std::fs::write(&file, both(&alpha, &beta)).unwrap();
    let ringhold = Ringhold::start_on(folder, file, alpha.port);
    ringhold.until_of("alpha", "settled", is_settled).await;
    ringhold.until_of("beta", "settled", is_settled).await;
    std::mem::swap(&mut alpha.port, &mut beta.port);
    ringhold.write(&both(&alpha, &beta));
    serves(alpha.port, "alpha").await;
    serves(beta.port, "beta").await;
    assert!(!ringhold.story().contains("not taken"), "{}", ringhold.story());
}

#[tokio::test]
async fn one_whose_move_is_refused_keeps_the_port_it_has() {
    let mut zeta = mk_manifest("zeta", free_port());
    let port = zeta.port;
    let (folder, path) = folder(&[&zeta]);
    let ringhold = Ringhold::start_on(folder, path.clone(), port);
    ringhold.until_of("zeta", "settled", is_settled).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    zeta.port = taken.local_addr().unwrap().port();
    put(&path, &zeta);
    put(&path, &mk_manifest("beta", port));
    ringhold.until_of("zeta", "refused", |shown| accepted(shown)["reason"] == "PortInUse").await;
    ringhold.until_of("beta", "refused", |shown| accepted(shown)["reason"] == "ListenerConflict").await;
    serves(port, "zeta").await;
}

#[tokio::test]
async fn one_that_comes_back_while_it_drains_takes_nothing_from_who_followed_it() {
    let port = free_port();
    let (alpha, beta) = (mk_manifest("alpha", port), mk_manifest("beta", port));
    let (folder, path) = folder(&[&alpha]);
    let ringhold = Ringhold::start_on(folder, path.clone(), port);
    ringhold.until_of("alpha", "settled", is_settled).await;
    let slow = tokio::spawn(async move { Client::new(port).get("/slow?ms=2500", &[]).await });
    ringhold.until_of("alpha", "the request runs", |shown| shown.to_string().contains(r#""inFlight":1"#)).await;

    std::fs::remove_file(path.join("alpha.yaml")).unwrap();
    ringhold.says("alpha  is removed").await;
    put(&path, &beta);
    serves(port, "beta").await;
    put(&path, &alpha);
    ringhold.until_of("alpha", "refused", |shown| accepted(shown)["reason"] == "ListenerConflict").await;
    serves(port, "beta").await;
    assert_eq!(slow.await.unwrap().unwrap().0, 200);
    serves(port, "beta").await;

    std::fs::remove_file(path.join("beta.yaml")).unwrap();
    serves(port, "alpha").await;
}

#[tokio::test]
async fn a_refused_edit_changes_no_health_setting_either() {
    let mut manifest = mk_manifest("web", free_port());
    let ringhold = Ringhold::start(&manifest).await;
    let kept = manifest.port;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    manifest.port = taken.local_addr().unwrap().port();
    ringhold.write(&manifest.yaml().replace("periodSeconds: 1", "periodSeconds: 1, failureThreshold: 1, path: /nope"));
    ringhold.until("refused", |shown| accepted(shown)["reason"] == "PortInUse").await;
    // Probes come once a second and one failure would do.
    let since = tokio::time::Instant::now();
    while since.elapsed() < std::time::Duration::from_millis(2_200) {
        assert_eq!(Client::new(kept).get("/home", &[]).await.unwrap().0, 200, "{}", ringhold.story());
    }
    assert!(!ringhold.story().contains("does not answer its health check"), "{}", ringhold.story());
}
