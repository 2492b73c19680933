//! Manifests that change while they run.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Manifest, Ringhold, free_port, is_settled};

/// The PUT of the admin API.
async fn scale(ringhold: &Ringhold, body: &str) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let mut admin = Client::new(ringhold.admin);
    let (status, body) = admin.send("PUT", "/api/v1/loadbalancers/web/scale", &headers, body).await.unwrap();
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

fn accepted(shown: &Value) -> &Value {
    shown["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Accepted").unwrap()
}

#[tokio::test]
async fn a_broken_edit_is_reported_and_changes_nothing() {
    let manifest = Manifest::new(free_port());
    let ringhold = Ringhold::start(&manifest).await;
    let before = ringhold.settled().await;
    let broken = [
        ("replicas: [", "not YAML"),
        (&manifest.yaml().replace("replicas", "replicsa"), "spec.replicsa: no such field"),
        (&manifest.yaml().replace("replicas: 3", "replicas: -1"), "spec.replicas: -1: use a number from 0 to 65535"),
        ("", "holds no LoadBalancer"),
    ];
    for (text, said) in broken {
        ringhold.write(text);
        let line = ringhold.says(said).await;
        assert!(line.contains("the edit is not taken, what runs stays as it is"), "{line}");
    }
    let after = ringhold.settled().await;
    assert_eq!(before["replicas"], after["replicas"]);
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);

    let mut mended = manifest;
    mended.replicas = 1;
    ringhold.edit(&mended);
    ringhold.until("the mended edit is taken", |shown| is_settled(shown) && shown["desiredReplicas"] == 1).await;
}

#[tokio::test]
async fn a_removed_file_drains_and_stops_its_fleet_while_others_serve() {
    let folder = tempfile::tempdir().unwrap();
    let (keeps, goes) = (Manifest::new(free_port()), Manifest { name: "other", ..Manifest::new(free_port()) });
    std::fs::write(folder.path().join("keeps.yaml"), keeps.yaml()).unwrap();
    let file = folder.path().join("goes.yaml");
    std::fs::write(&file, goes.yaml()).unwrap();
    let path = folder.path().to_owned();
    let ringhold = Ringhold::start_on(folder, path, keeps.port);
    ringhold.settled().await;
    ringhold.until_of("other", "settled", is_settled).await;

    let port = goes.port;
    let slow = tokio::spawn(async move { Client::new(port).get("/slow?ms=700", &[]).await });
    ringhold.until_of("other", "the request runs", |shown| shown.to_string().contains(r#""inFlight":1"#)).await;
    std::fs::remove_file(&file).unwrap();
    ringhold.says("other  is removed").await;
    assert_eq!(slow.await.unwrap().unwrap().0, 200);
    ringhold.says("other-2 (other-2-").await;
    while ringhold.show("other").await.is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(Client::new(port).get("/home", &[]).await.is_err(), "the port is still open");
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);
}

#[tokio::test]
async fn several_load_balancers_share_a_port_by_hostname() {
    let port = free_port();
    let mut any = Manifest::new(port);
    any.replicas = 1;
    let mut shop = Manifest { name: "shop", ..any.clone() };
    let yaml = shop.yaml().replace(&format!("port: {port}"), &format!("port: {port}, hostnames: [shop.example]"));
    shop.replicas = 1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.yaml");
    std::fs::write(&file, format!("{}---\n{yaml}", any.yaml())).unwrap();
    let ringhold = Ringhold::start_on(folder, file, port);
    ringhold.settled().await;
    ringhold.until_of("shop", "settled", is_settled).await;
    for (host, name) in [("shop.example", "shop-0-"), ("SHOP.example:80", "shop-0-"), ("elsewhere.example", "web-0-")] {
        let (_, body) = ringhold.client().get("/home", &[("host", host)]).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(name), "{host}: {body:?}");
    }
}

#[tokio::test]
async fn a_port_and_host_that_somebody_has_are_refused_to_the_newer() {
    let port = free_port();
    let older = Manifest { replicas: 1, ..Manifest::new(port) };
    let newer = Manifest { name: "newer", ..older.clone() };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("older.yaml");
    std::fs::write(&file, older.yaml()).unwrap();
    let path = folder.path().to_owned();
    let ringhold = Ringhold::start_on(folder, path.clone(), port);
    ringhold.settled().await;

    std::fs::write(path.join("a-newer.yaml"), newer.yaml()).unwrap();
    let refused = |shown: &Value| accepted(shown)["reason"] == "ListenerConflict";
    let shown = ringhold.until_of("newer", "refused", refused).await;
    assert_eq!(accepted(&shown)["status"], "False");
    assert_eq!(
        accepted(&shown)["message"],
        format!(
            "spec.listener: port {port} for any host belongs to LoadBalancer web, which had it first; choose another port \
             or name your hosts in spec.listener.hostnames"
        )
    );
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);

    std::fs::remove_file(&file).unwrap();
    ringhold.until_of("newer", "it gets the port once the older is gone", is_settled).await;
    let (_, body) = ringhold.client().get("/home", &[]).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("newer-0-"), "{body:?}");
}

#[tokio::test]
async fn an_edit_to_a_port_in_use_keeps_the_old_port() {
    let mut manifest = Manifest { replicas: 1, ..Manifest::new(free_port()) };
    let ringhold = Ringhold::start(&manifest).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    manifest.port = taken.local_addr().unwrap().port();
    ringhold.edit(&manifest);
    let shown = ringhold.until("refused", |shown| accepted(shown)["reason"] == "PortInUse").await;
    assert_eq!(
        accepted(&shown)["message"],
        format!(
            "spec.listener.port: port {} is in use by another process; stop that process or choose another port",
            manifest.port
        )
    );
    assert_eq!(ringhold.client().get("/home", &[]).await.unwrap().0, 200);
    drop(taken);
    ringhold.until("taken once the port is free", |shown| accepted(shown)["status"] == "True").await;
    assert_eq!(Client::new(manifest.port).get("/home", &[]).await.unwrap().0, 200);
}

#[tokio::test]
async fn scaling_by_the_api_holds_until_the_file_says_another_size() {
    let mut manifest = Manifest { replicas: 1, ..Manifest::new(free_port()) };
    let ringhold = Ringhold::start(&manifest).await;
    assert_eq!(scale(&ringhold, r#"{"replicas": 2}"#).await.0, 200);
    ringhold.until("two", |shown| is_settled(shown) && shown["readyReplicas"] == 2).await;

    manifest.version = 2;
    ringhold.edit(&manifest);
    ringhold.settled_at(3).await;
    assert_eq!(ringhold.settled().await["readyReplicas"], 2);

    manifest.replicas = 3;
    ringhold.edit(&manifest);
    ringhold.until("three", |shown| is_settled(shown) && shown["readyReplicas"] == 3).await;

    manifest.spec = "ring: {slots: 3}".to_owned();
    ringhold.edit(&manifest);
    ringhold.says("spec.ring.slots: 3").await;
    assert_eq!(
        scale(&ringhold, r#"{"replicas": 1}"#).await.0,
        200,
        "a refused edit does not keep what runs from scaling"
    );
    ringhold.until("one", |shown| is_settled(shown) && shown["readyReplicas"] == 1).await;

    let (status, answer) = scale(&ringhold, r#"{"replicas": -1}"#).await;
    assert_eq!((status, &answer["error"]), (400, &json!("replicas: -1: use a number from 0 to 65535")));
}

#[tokio::test]
async fn the_route_question_names_the_replica_that_answers() {
    let ringhold = Ringhold::start(&Manifest::new(free_port())).await;
    for key in ["ann", "bob", "eve"] {
        let (_, body) = ringhold.client().get("/whoami", &[("X-User-Id", key)]).await.unwrap();
        let whoami: Value = serde_json::from_slice(&body).unwrap();
        let path = format!("/api/v1/loadbalancers/web/route?key={key}");
        let (_, body) = Client::new(ringhold.admin).get(&path, &[]).await.unwrap();
        let route: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(route["taken"], whoami["name"], "{route:#}");
        assert_eq!(route["candidates"].as_array().unwrap().len(), 3);
        assert_eq!(route["candidates"][0]["verdict"], "Taken");
    }
}
