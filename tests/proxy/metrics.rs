//! The scrape.

use std::io::Write;
use std::num::NonZeroUsize;

use crate::support::{Client, Fixture, Replica, eventually, get, mk_replica, read_head, refusing};

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
    eventually("all are counted", || {
        fixture.metrics().contains(&format!("_seconds_count{{{fleet},class=\"2xx\",reason=\"\"}} 10"))
    })
    .await;
    eventually("the others are closed", || fixture.handle.metrics().client_connections() == 1).await;
    let metrics = fixture.metrics();
    for line in [
        format!("ringhold_requests_total{{{fleet},code=\"200\",reason=\"\"}} 10"),
        format!("ringhold_picks_total{{{fleet},ordinal=\"0\"}} 10"),
        format!("ringhold_ring_picks_total{{{fleet},first=\"Taken\"}} 10"),
        format!("ringhold_ring_picks_total{{{fleet},first=\"OverBound\"}} 0"),
        format!("ringhold_ring_doubtful_picks_total{{{fleet},despite=\"Ejected\"}} 0"),
        "ringhold_key_source_total{source=\"header\"} 10".to_owned(),
        "ringhold_requests_total{namespace=\"\",loadbalancer=\"\",code=\"405\",reason=\"MethodNotAllowed\"} 1"
            .to_owned(),
        format!("ringhold_sent_bytes_total{{{fleet}}} 10"),
        format!("ringhold_received_bytes_total{{{fleet}}} 0"),
        "ringhold_client_connections 1".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} not in\n{metrics}");
    }
    assert!(!metrics.contains("127.0.0.1") && !metrics.contains("uid-"), "{metrics}");
    drop(client);
    eventually("the connection is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

/// hyper finds the head and the end of the connection in one look.
#[tokio::test]
async fn who_leaves_right_after_the_head_is_counted() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    for _ in 0..500 {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", fixture.port)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    }
    let counted = |metrics: &str| {
        let requests = metrics.lines().filter(|line| line.starts_with("ringhold_requests_total{"));
        requests.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap()).sum::<u32>()
    };
    eventually("all are counted", || counted(&fixture.metrics()) == 500).await;
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test]
async fn heads_that_nobody_can_read_are_counted_as_they_are_answered() {
    let replica = Replica::named("a").await;
    let fixture = Fixture::start(&[replica.address]).await;
    let (large, many) = ("x".repeat(80_000), "X-Y: 1\r\n".repeat(120));
    for (head, status) in [
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
    ] {
        let mut client = Client::connect(fixture.port).await;
        client.send(&head).await;
        assert_eq!(client.response("GET").await.unwrap().status, status);
    }
    let unrouted = "ringhold_requests_total{namespace=\"\",loadbalancer=\"\"";
    for series in [
        ",code=\"400\",reason=\"BadRequest\"} 2",
        ",code=\"431\",reason=\"HeadTooLarge\"} 1",
        ",code=\"431\",reason=\"TooManyFields\"} 1",
    ] {
        eventually(series, || fixture.metrics().contains(&format!("{unrouted}{series}"))).await;
    }
    drop(Client::connect(fixture.port).await);
    eventually("all have gone", || fixture.handle.metrics().client_connections() == 0).await;
    assert_eq!(fixture.metrics().matches(unrouted).count(), 3, "who leaves without a word is nothing of that");
}

#[tokio::test]
async fn picks_are_counted_by_what_became_of_the_first_candidate() {
    let (a, (dead, _guard)) = (Replica::named("a").await, refusing());
    let fixture = Fixture::start(&[a.address, dead]).await;
    let (to_a, to_dead) = (fixture.to(0), fixture.to(1));
    // Refused, tried elsewhere, and skipped from then on.
    for key in [&to_a, &to_dead, &to_dead] {
        assert_eq!(get(fixture.port, "/", &[key]).await.body, "a");
    }
    let mut unready = mk_replica(1, 0, dead);
    unready.address = None;
    fixture.publish(&[mk_replica(0, 0, a.address), unready]);
    assert_eq!(get(fixture.port, "/", &[&to_dead]).await.body, "a");
    let metrics = fixture.metrics();
    let picks: Vec<&str> = metrics.lines().filter(|line| line.starts_with("ringhold_ring_picks_total{")).collect();
    let fleet = "namespace=\"default\",loadbalancer=\"web\"";
    let expected =
        [("Taken", 2), ("NotReady", 1), ("Failed", 1), ("Ejected", 1), ("Ramping", 0), ("OverBound", 0), ("Full", 0)];
    let expected =
        expected.map(|(first, count)| format!("ringhold_ring_picks_total{{{fleet},first=\"{first}\"}} {count}"));
    assert_eq!(picks, expected);
    assert!(!metrics.contains("despite=\"Ejected\"} 1"), "{metrics}");
}

#[tokio::test]
async fn who_is_taken_for_want_of_a_better_one_is_counted() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    fixture.route().seats()[0].upstream.as_ref().unwrap().eject();
    assert_eq!(get(fixture.port, "/", &[]).await.body, "a");
    let metrics = fixture.metrics();
    assert!(metrics.contains("first=\"Taken\"} 1") && metrics.contains("despite=\"Ejected\"} 1"), "{metrics}");
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
    eventually("it is counted", || fixture.metrics().contains("code=\"499\",reason=\"ClientGone\"} 1")).await;
    assert!(!fixture.metrics().contains("code=\"2"), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_retry_is_counted_only_where_somebody_is_left_to_try() {
    let (dead, _guard) = refusing();
    let fixture = Fixture::start(&[dead]).await;
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
    assert!(fixture.metrics().contains("kind=\"unsent\"} 0"), "{}", fixture.metrics());
}
