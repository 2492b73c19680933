//! Proxies before this one, and what they say of whoever asked.

use ringhold::model::KeySource;

use crate::support::{Fixture, Replica, get};

const SAID: [&str; 6] = [
    "X-Forwarded-For: 9.9.9.9, 1.1.1.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example",
    "X-Forwarded-Port: 443",
    "X-Real-IP: 1.1.1.1",
    "Forwarded: for=1.1.1.1",
];

async fn behind(trusted: &str, forwarded: bool) -> (Fixture, Replica) {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::configured(
        &[mirror.address],
        |_| {},
        |config| {
            config.trusted_proxies = vec![trusted.parse().unwrap()];
            config.forwarded = forwarded;
        },
    )
    .await;
    (fixture, mirror)
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let (fixture, _mirror) = behind("127.0.0.0/8", false).await;
    let seen = get(fixture.port, "/", &SAID).await.body;
    for kept in [
        "x-forwarded-for: 9.9.9.9, 1.1.1.1, 127.0.0.1\n",
        "x-forwarded-proto: https\n",
        "x-forwarded-host: shop.example\n",
        "x-forwarded-port: 443\n",
        "x-real-ip: 1.1.1.1\n",
        "forwarded: for=1.1.1.1\n",
    ] {
        assert!(seen.contains(kept), "{kept} not in {seen}");
    }
}

#[tokio::test]
async fn everybody_else_is_not() {
    let (fixture, _mirror) = behind("10.0.0.0/8", true).await;
    let seen = get(fixture.port, "/", &SAID).await.body;
    for ours in [
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: a.example\n",
        "\nforwarded: for=127.0.0.1;host=a.example;proto=http\n",
    ] {
        assert!(seen.contains(ours), "{ours} not in {seen}");
    }
    assert!(!seen.contains("1.1.1.1") && !seen.contains("443") && !seen.contains("shop"), "{seen}");
}

#[tokio::test]
async fn forwarded_grows_behind_a_trusted_proxy() {
    let (fixture, _mirror) = behind("127.0.0.1/32", true).await;
    let seen = get(fixture.port, "/", &SAID).await.body;
    assert!(seen.contains("\nforwarded: for=1.1.1.1, for=127.0.0.1;host=a.example;proto=http\n"), "{seen}");
}

#[tokio::test]
async fn the_key_of_a_source_ip_is_the_address_of_whoever_asked() {
    let replicas = [Replica::named("0").await, Replica::named("1").await, Replica::named("2").await];
    let addresses = replicas.each_ref().map(|replica| replica.address);
    for (trusted, expects_spread) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let fixture = Fixture::configured(
            &addresses,
            |policy| policy.hash_key = vec![KeySource::SourceIp],
            |config| config.trusted_proxies = vec![trusted.parse().unwrap()],
        )
        .await;
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..30 {
            let honest = get(fixture.port, "/", &[&format!("X-Forwarded-For: 1.1.1.{number}")]).await.body;
            // What the client itself wrote before its own address changes nothing.
            let forged = get(fixture.port, "/", &[&format!("X-Forwarded-For: 2.2.2.2, 1.1.1.{number}")]).await.body;
            assert_eq!(honest, forged);
            seen.insert(honest);
        }
        assert_eq!(seen.len() > 1, expects_spread, "{trusted}: {seen:?}");
    }
}
