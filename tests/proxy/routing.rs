//! Which load balancer, and which of its replicas.

use std::sync::Arc;

use jiff::Timestamp;
use ringhold::model::{FleetId, FleetStatus, Observed, Ordinal};
use ringhold::routes::Placement;

use crate::support::{Client, Fixture, Replica, get, mk_replica};

#[tokio::test]
async fn equal_keys_stay_and_different_keys_spread() {
    let (a, b, c) = (Replica::named("a").await, Replica::named("b").await, Replica::named("c").await);
    let fixture = Fixture::start(&[a.address, b.address, c.address]).await;
    for (ordinal, name) in [(0, "a"), (1, "b"), (2, "c")] {
        let key = fixture.to(ordinal);
        for _ in 0..3 {
            assert_eq!(get(fixture.port, "/", &[&key]).await.body, name);
        }
    }
}

#[tokio::test]
async fn requests_of_one_connection_go_where_each_belongs_and_connections_to_replicas_are_reused() {
    let (a, b) = (Replica::named("a").await, Replica::named("b").await);
    let fixture = Fixture::start(&[a.address, b.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for _ in 0..5 {
        assert_eq!(client.get("/", &[&fixture.to(0)]).await.body, "a");
        assert_eq!(client.get("/", &[&fixture.to(1)]).await.body, "b");
    }
    assert_eq!((a.requests(), b.requests()), (5, 5));
    assert_eq!((a.connections(), b.connections()), (1, 1));
}

async fn hosts(fixture: &Fixture, list: &[(&str, &[&str], &Replica)]) {
    for (name, hostnames, replica) in list {
        let mut desired = fixture.desired.clone();
        desired.id = FleetId::local(name);
        Arc::make_mut(&mut desired.route).listener.hostnames =
            hostnames.iter().map(|host| (*host).to_owned()).collect();
        let mut one = mk_replica(0, 0, replica.address);
        one.uid = ringhold::model::ReplicaUid((*name).into());
        let observed = Observed { replicas: vec![one], ..Observed::default() };
        let placement = Placement::new(&desired, &observed, &[Ordinal(0)], Timestamp::now());
        fixture.publisher.publish(&desired.id, FleetStatus::default(), Some(&placement)).unwrap();
    }
}

#[tokio::test]
async fn the_host_chooses_the_load_balancer() {
    let (exact, wild, any) = (Replica::named("exact").await, Replica::named("wild").await, Replica::named("any").await);
    let fixture = Fixture::with(&[any.address], |_| {}).await;
    hosts(&fixture, &[("exact", &["shop.example"], &exact), ("wild", &["*.shop.example"], &wild)]).await;
    let body = async |host: &str| get(fixture.port, "/", &[&format!("Host: {host}")]).await.body;
    assert_eq!(body("shop.example").await, "exact");
    assert_eq!(body("SHOP.example:8080").await, "exact");
    assert_eq!(body("shop.example.").await, "exact");
    assert_eq!(body("a.b.shop.example").await, "wild");
    assert_eq!(body("other.example").await, "any");
    assert_eq!(body("[::1]:80").await, "any");
}

#[tokio::test]
async fn a_host_that_nobody_claims_is_not_found() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.listener.hostnames = vec!["a.example".to_owned()]).await;
    assert_eq!(get(fixture.port, "/", &["Host: a.example"]).await.status, 200);
    let response = get(fixture.port, "/", &["Host: b.example"]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (404, Some("noroute")));
    assert!(response.body.contains("spec.listener.hostnames"), "{}", response.body);
}

#[tokio::test]
async fn the_targets_authority_wins_over_host_and_is_forwarded() {
    let mirror = Replica::mirror().await;
    let fixture =
        Fixture::with(&[mirror.address], |policy| policy.listener.hostnames = vec!["a.example".to_owned()]).await;
    let response = get(fixture.port, "http://a.example:99/x?y=1", &["Host: b.example"]).await;
    assert!(response.body.starts_with("GET /x?y=1\n"), "{}", response.body);
    assert!(response.body.contains("host: a.example:99\n"), "{}", response.body);
    let without_path = get(fixture.port, "http://a.example", &["Host: b.example"]).await;
    assert!(without_path.body.starts_with("GET /\n"), "{}", without_path.body);
}

#[tokio::test]
async fn an_http_1_0_request_needs_no_host() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let response = client.response("GET").await.unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, "a"));
    assert!(response.head.starts_with("http/1.0"), "{}", response.head);
}

#[tokio::test]
async fn a_replica_gets_a_host_even_if_the_client_named_none() {
    let (dead, _guard) = crate::support::refusing();
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[dead, mirror.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("GET / HTTP/1.0\r\n{}\r\n\r\n", fixture.to(0))).await;
    let seen = client.response("GET").await.unwrap().body;
    assert!(seen.contains(&format!("host: {}\n", mirror.address)), "{seen}");
    assert!(seen.contains("via: 1.0 ringhold\n") && !seen.contains("x-forwarded-host"), "{seen}");
}
