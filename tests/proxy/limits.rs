//! What is refused.

use std::time::Duration;

use crate::support::{Client, Fixture, Replica, eventually, get, read_head};

#[tokio::test]
async fn a_full_replica_passes_on_to_the_next_and_then_to_nobody() {
    let slow = || {
        Replica::raw(|mut stream| async move {
            read_head(&mut stream).await;
            read_head(&mut stream).await;
        })
    };
    let (a, b) = (slow().await, slow().await);
    let fixture = Fixture::with(&[a.address, b.address], |policy| policy.limits.max_concurrent_per_replica = 1).await;
    let key = fixture.to(0);
    let ask = async || {
        let mut client = Client::connect(fixture.port).await;
        client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n")).await;
        client
    };
    let _first = ask().await;
    eventually("the first is at its home", || a.connections() == 1).await;
    let _second = ask().await;
    eventually("the second is at the next", || b.connections() == 1).await;
    let third = get(fixture.port, "/", &[&key]).await;
    assert_eq!((third.status, third.field("x-ringhold-reason")), (503, Some("allreplicasfull")));
}

#[tokio::test]
async fn a_long_body_is_refused_before_it_is_forwarded() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.limits.max_body_bytes = 10).await;
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.request("POST", "/", &["Content-Length: 10"], "0123456789").await.status, 200);
    let response = client.request("POST", "/", &["Content-Length: 11"], "").await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (413, Some("bodytoolarge")));
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn a_chunked_body_is_refused_once_it_is_too_long() {
    let replica = Replica::http(|request| async move {
        use http_body_util::BodyExt;
        let _ = request.into_body().collect().await;
        http::Response::new("done".into())
    })
    .await;
    let fixture = Fixture::with(&[replica.address], |policy| policy.limits.max_body_bytes = 10).await;
    let mut client = Client::connect(fixture.port).await;
    let chunked = ["Transfer-Encoding: chunked"];
    assert_eq!(client.request("POST", "/", &chunked, "a\r\n0123456789\r\n0\r\n\r\n").await.status, 200);
    let response = client.request("POST", "/", &chunked, "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (413, Some("bodytoolarge")));
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test]
async fn too_many_or_too_long_fields_are_a_431() {
    let a = Replica::named("a").await;
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.max_header_bytes = 16 * 1024).await;
    let many: Vec<String> = (0..101).map(|number| format!("x-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(get(fixture.port, "/", &many).await.status, 431);
    let long = format!("x: {}", "y".repeat(17 * 1024));
    assert_eq!(get(fixture.port, "/", &[&long]).await.status, 431);
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn a_long_target_is_a_414() {
    let a = Replica::named("a").await;
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.max_target_bytes = 100).await;
    assert_eq!(get(fixture.port, &format!("/{}", "x".repeat(99)), &[]).await.status, 200);
    let response = get(fixture.port, &format!("/{}", "x".repeat(100)), &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (414, Some("uritoolong")));
}

#[tokio::test]
async fn anything_but_one_valid_host_is_a_400() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    for hosts in ["Host: a\r\nHost: a\r\n", "", "Host: a b\r\n", "Host: a/b\r\n", "Host: u@a\r\n", "Host:\r\n"] {
        let mut client = Client::connect(fixture.port).await;
        client.send(&format!("GET / HTTP/1.1\r\n{hosts}\r\n")).await;
        assert_eq!(client.response("GET").await.unwrap().status, 400, "{hosts:?}");
    }
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    for (method, target) in [("CONNECT", "a.example:443"), ("TRACE", "/")] {
        let mut client = Client::connect(fixture.port).await;
        let response = client.request(method, target, &[], "").await;
        assert_eq!((response.status, response.field("x-ringhold-reason")), (405, Some("methodnotallowed")));
        assert!(response.field("allow").is_some());
    }
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off() {
    let a = Replica::named("a").await;
    let short = Duration::from_millis(200);
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.header_read_timeout = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\n").await;
    let (mut read, mut write) = client.stream.into_split();
    let trickle = async {
        use tokio::io::AsyncWriteExt;
        while write.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let closed = async {
        use tokio::io::AsyncReadExt;
        let _ = read.read(&mut [0]).await;
    };
    tokio::select! {
        () = trickle => {}
        () = closed => {}
    }
    eventually("the connection is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.timeouts.idle = Duration::from_millis(150)).await;
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.get("/", &[]).await.status, 200);
    assert!(client.is_closed_now().await);
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let a = Replica::named("a").await;
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.max_connections_per_worker = 1).await;
    let mut first = Client::connect(fixture.port).await;
    assert_eq!(first.get("/", &[]).await.body, "a");
    let mut second = Client::connect(fixture.port).await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.get("/", &[]).await.body, "a");
    assert_eq!(fixture.handle.metrics().client_connections(), 1);
    drop(first);
    assert_eq!(second.response("GET").await.unwrap().body, "a");
}

#[tokio::test]
async fn a_host_longer_than_any_name_is_a_400() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let response = get(fixture.port, "/", &[&format!("Host: {}", "a.".repeat(200))]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (400, Some("badhost")));
}

#[tokio::test]
async fn a_target_for_connect_is_refused_of_others() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let response = get(fixture.port, "a.example:80", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (400, Some("badtarget")));
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_is_the_last() {
    let fixture = Fixture::start(&[]).await;
    for (length, closes) in [("Content-Length: 9", Some("close")), ("Content-Length: 0", None)] {
        for host in ["Host: a", "Host: a/"] {
            let mut client = Client::connect(fixture.port).await;
            let response = client.request("POST", "/", &[length, host], "").await;
            let expected = if response.status == 400 { Some("close") } else { closes };
            assert_eq!(response.field("connection"), expected, "{host}, {length}: {}", response.status);
        }
    }
}

#[tokio::test]
async fn a_connection_ends_in_order_after_its_last_request() {
    let a = Replica::named("a").await;
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.max_requests_per_connection = 3).await;
    let mut client = Client::connect(fixture.port).await;
    for closes in [None, None, Some("close")] {
        let response = client.get("/", &[]).await;
        assert_eq!((response.status, response.field("connection")), (200, closes));
    }
    assert!(client.is_closed_now().await);
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_a_trusted_proxy_any_number() {
    let a = Replica::named("a").await;
    let limit = |config: &mut ringhold::proxy::ProxyConfig| config.max_connections_per_client = 2;
    let fixture = Fixture::configured(&[a.address], |_| {}, limit).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(fixture.port).await;
        assert_eq!(client.get("/", &[]).await.body, "a");
        clients.push(client);
    }
    assert!(Client::connect(fixture.port).await.is_closed_now().await);
    assert!(fixture.metrics().contains("ringhold_refused_connections_total 1"), "{}", fixture.metrics());
    drop(clients.pop());
    eventually("a place is free", || fixture.handle.metrics().client_connections() == 1).await;
    assert_eq!(get(fixture.port, "/", &[]).await.body, "a");

    let trusting = |config: &mut ringhold::proxy::ProxyConfig| {
        limit(config);
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    };
    let fixture = Fixture::configured(&[a.address], |_| {}, trusting).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(fixture.port).await;
        assert_eq!(client.get("/", &[]).await.body, "a");
        clients.push(client);
    }
}

#[tokio::test]
async fn more_requests_than_a_worker_may_have_are_a_503() {
    let slow = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::configured(&[slow.address], |_| {}, |config| config.max_requests_per_worker = 1).await;
    let mut first = Client::connect(fixture.port).await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the first is there", || fixture.in_flight() == 1).await;
    for _ in 0..3 {
        let response = get(fixture.port, "/", &[]).await;
        assert_eq!((response.status, response.field("x-ringhold-reason")), (503, Some("overloaded")));
        assert_eq!(response.field("retry-after"), Some("1"));
    }
    drop(first);
    eventually("the first is gone", || fixture.in_flight() == 0).await;
    let mut next = Client::connect(fixture.port).await;
    next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("another has its place", || fixture.in_flight() == 1).await;
}

#[tokio::test]
async fn an_expectation_that_nobody_knows_is_a_417() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    for expected in ["200-ok", "", "100-continue, x"] {
        let response = get(fixture.port, "/", &[&format!("Expect: {expected}")]).await;
        assert_eq!((response.status, response.field("x-ringhold-reason")), (417, Some("expectationfailed")));
    }
    assert_eq!(a.requests(), 0);
    assert_eq!(get(fixture.port, "/", &["Expect: 100-Continue"]).await.status, 200);
}
