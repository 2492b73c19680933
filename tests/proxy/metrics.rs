//! The scrape.

use std::num::NonZeroUsize;

use crate::support::{Client, Fixture, Replica, eventually, get, read_head, refusing};

#[tokio::test]
async fn the_scrape_sums_all_workers_with_closed_labels() {
    let a = Replica::named("a").await;
    let two = NonZeroUsize::new(2).unwrap();
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.workers = two).await;
    for _ in 0..10 {
        assert_eq!(get(fixture.port, "/", &["X-User-Id: ann"]).await.status, 200);
    }
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.request("TRACE", "/", &[], "").await.status, 405);
    let fleet = "namespace=\"default\",loadbalancer=\"web\"";
    eventually("all are counted", || fixture.metrics().contains(&format!("_seconds_count{{{fleet}}} 10"))).await;
    eventually("the others are closed", || fixture.handle.metrics().client_connections() == 1).await;
    let metrics = fixture.metrics();
    for line in [
        format!("ringhold_requests_total{{{fleet},class=\"2xx\"}} 10"),
        format!("ringhold_picks_total{{{fleet},ordinal=\"0\"}} 10"),
        "ringhold_key_source_total{source=\"header\"} 10".to_owned(),
        "ringhold_errors_total{namespace=\"\",loadbalancer=\"\",reason=\"MethodNotAllowed\"} 1".to_owned(),
        "ringhold_client_connections 1".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} not in\n{metrics}");
    }
    assert!(!metrics.contains("127.0.0.1") && !metrics.contains("uid-"), "{metrics}");
    drop(client);
    eventually("the connection is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_load_balancer_that_is_gone_leaves_the_scrape() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    assert_eq!(get(fixture.port, "/", &[]).await.status, 200);
    fixture.publisher.withdraw(&fixture.desired.id);
    eventually("it is gone", || !fixture.metrics().contains("loadbalancer=\"web\"")).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_counts_as_cancelled() {
    let silent = Replica::raw(|mut stream| async move { while !read_head(&mut stream).await.is_empty() {} }).await;
    let fixture = Fixture::start(&[silent.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is there", || fixture.in_flight() == 1).await;
    drop(client);
    eventually("it is counted", || fixture.metrics().contains("class=\"cancelled\"} 1")).await;
    assert!(!fixture.metrics().contains("xx\"}"), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_retry_is_counted_only_where_somebody_is_left_to_try() {
    let (dead, _guard) = refusing();
    let fixture = Fixture::start(&[dead]).await;
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
    assert!(fixture.metrics().contains("kind=\"unsent\"} 0"), "{}", fixture.metrics());
}
