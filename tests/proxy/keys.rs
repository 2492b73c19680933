//! Every source of a key.

use std::num::NonZeroU32;
use std::time::Duration;

use ringhold::model::{CookieKey, KeySource};

use crate::support::{Fixture, Replica, get};

struct Fleet {
    fixture: Fixture,
    _replicas: Vec<Replica>,
}

/// Sixteen replicas, so that equal answers are no accident.
async fn fleet(sources: Vec<KeySource>) -> Fleet {
    const NAMES: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    let mut replicas = Vec::new();
    for name in NAMES {
        replicas.push(Replica::named(name).await);
    }
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let fixture = Fixture::with(&addresses, |policy| policy.hash_key = sources).await;
    Fleet { fixture, _replicas: replicas }
}

impl Fleet {
    async fn get(&self, target: &str, fields: &[&str]) -> String {
        get(self.fixture.port, target, fields).await.body
    }
}

fn cookie(ttl: u64) -> KeySource {
    KeySource::Cookie(CookieKey { name: "ring".to_owned(), ttl: Duration::from_secs(ttl), path: "/app".to_owned() })
}

#[tokio::test]
async fn a_query_parameter_is_decoded() {
    let fleet = fleet(vec![KeySource::Query("user".to_owned())]).await;
    let home = fleet.get("/?user=ann%20lee", &[]).await;
    assert_eq!(fleet.get("/other?x=1&user=ann+lee&user=bob", &[]).await, home);
    let others: Vec<String> = {
        let mut bodies = Vec::new();
        for number in 0..8 {
            bodies.push(fleet.get(&format!("/?user={number}"), &[]).await);
        }
        bodies
    };
    assert!(others.iter().any(|other| *other != home));
}

#[tokio::test]
async fn a_path_can_be_a_key_whole_or_by_its_first_segments() {
    let fleet = fleet(vec![KeySource::Path { segments: NonZeroU32::new(2) }]).await;
    let home = fleet.get("/tenant/ann/x?q=1", &[]).await;
    for target in ["/tenant/ann", "/tenant/ann/", "/tenant/ann/y/z"] {
        assert_eq!(fleet.get(target, &[]).await, home);
    }
}

#[tokio::test]
async fn the_clients_address_is_a_key_whatever_its_port() {
    let fleet = fleet(vec![KeySource::SourceIp]).await;
    let home = fleet.get("/", &[]).await;
    for _ in 0..4 {
        assert_eq!(fleet.get("/", &["X-Forwarded-For: 10.1.2.3"]).await, home);
    }
}

#[tokio::test]
async fn without_a_key_requests_spread_and_are_counted() {
    let fleet = fleet(vec![KeySource::Header("x-user-id".parse().unwrap())]).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..40 {
        seen.insert(fleet.get("/", &["X-User-Id: "]).await);
    }
    assert!(seen.len() > 4, "{seen:?}");
    let metrics = fleet.fixture.metrics();
    assert!(metrics.contains("ringhold_key_source_total{source=\"none\"} 40"), "{metrics}");
}

#[tokio::test]
async fn the_first_source_that_yields_a_key_wins() {
    let fleet = fleet(vec![
        KeySource::Header("x-user-id".parse().unwrap()),
        KeySource::Query("user".to_owned()),
        KeySource::Random,
    ])
    .await;
    let home = fleet.get("/?user=bob", &["X-User-Id: ann"]).await;
    assert_eq!(fleet.get("/?user=eve", &["X-User-Id: ann"]).await, home);
    // The same bytes are the same key, whatever their source.
    assert_eq!(fleet.get("/?user=ann", &[]).await, home);
}

#[tokio::test]
async fn a_missing_cookie_is_set_and_is_already_the_key() {
    let fleet = fleet(vec![cookie(3600)]).await;
    let first = get(fleet.fixture.port, "/", &["Cookie: other=1"]).await;
    let set = first.field("set-cookie").unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "httponly; samesite=lax; path=/app; max-age=3600");
    for _ in 0..3 {
        let again = get(fleet.fixture.port, "/", &[&format!("Cookie: a=b; {pair}")]).await;
        assert_eq!((&again.body, again.field("set-cookie")), (&first.body, None));
    }
    assert_ne!(get(fleet.fixture.port, "/", &[]).await.field("set-cookie"), Some(set));
}

#[tokio::test]
async fn a_cookie_is_set_only_where_no_earlier_source_gave_a_key() {
    let fleet = fleet(vec![KeySource::Header("x-user-id".parse().unwrap()), cookie(0)]).await;
    assert_eq!(get(fleet.fixture.port, "/", &["X-User-Id: ann"]).await.field("set-cookie"), None);
    let set = get(fleet.fixture.port, "/", &[]).await;
    assert!(!set.field("set-cookie").unwrap().contains("max-age"), "{}", set.head);
}

#[tokio::test]
async fn of_several_values_the_first_that_is_not_empty_is_the_key() {
    let fleet = fleet(vec![KeySource::Header("x-user-id".parse().unwrap()), KeySource::Query("user".to_owned())]).await;
    let home = fleet.get("/", &["X-User-Id: ann"]).await;
    for _ in 0..3 {
        assert_eq!(fleet.get("/", &["X-User-Id:", "X-User-Id: ann"]).await, home);
        assert_eq!(fleet.get("/?user=&user=ann", &[]).await, home);
    }
}
