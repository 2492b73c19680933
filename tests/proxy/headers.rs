//! Heads, both ways.

use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture, Replica, get, read_head};

#[tokio::test]
async fn hop_by_hop_fields_do_not_reach_the_replica() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let fields = [
        "Connection: keep-alive, X-Secret",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic x",
        "X-Secret: 1",
        "TE: gzip, trailers",
        "Upgrade: h2c",
        "Authorization: Bearer y",
        "Accept: a/b",
    ];
    let seen = get(fixture.port, "/", &fields).await.body;
    assert!(seen.contains("connection: te\n") && !seen.contains("proxy-connection"), "{seen}");
    for gone in ["keep-alive:", "proxy-", "x-secret:", "upgrade:", "gzip"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    for kept in ["host: a.example\n", "authorization: Bearer y\n", "accept: a/b\n", "te: trailers\n"] {
        assert!(seen.contains(kept), "{kept} not in {seen}");
    }
}

#[tokio::test]
async fn a_connection_that_takes_away_what_is_not_its_own_is_refused() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    for field in
        ["Host", "Content-Length", "Authorization", "Cookie", "Forwarded", "X-Forwarded-For", "x-real-ip", "VIA"]
    {
        let response = get(fixture.port, "/", &[&format!("Connection: keep-alive, {field}")]).await;
        let closes = response.field("connection");
        let got = (response.status, response.field("x-ringhold-reason"), closes);
        assert_eq!(got, (400, Some("badconnection"), Some("close")), "{field}");
    }
    assert_eq!(mirror.requests(), 0);
}

#[tokio::test]
async fn hop_by_hop_fields_do_not_reach_the_client() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
                      Proxy-Connection: close\r\nX-Ringhold-Reason: NoRoute\r\nX-Outer: 2\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let response = get(fixture.port, "/", &[]).await;
    for gone in ["connection:", "x-inner:", "keep-alive:", "upgrade:", "x-ringhold-reason:"] {
        assert!(!response.head.contains(gone), "{gone} in {}", response.head);
    }
    assert_eq!((response.field("x-outer"), response.body.as_str()), (Some("2"), "ok"));
}

#[tokio::test]
async fn the_replica_learns_who_asked_from_us_and_nobody_else() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let fields = [
        "Host: shop.example:8080",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "X-Forwarded-Port: 4711",
        "Via: 1.0 fred",
    ];
    let seen = get(fixture.port, "/", &fields).await.body;
    for kept in [
        "host: shop.example:8080\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: shop.example:8080\n",
        "via: 1.0 fred\nvia: 1.1 ringhold\n",
    ] {
        assert!(seen.contains(kept), "{kept} not in {seen}");
    }
    assert!(!seen.contains("1.2.3.4") && !seen.contains("evil") && !seen.contains("4711"), "{seen}");
}

#[tokio::test]
async fn answers_without_body_are_left_as_they_are() {
    let replica = Replica::raw(|mut stream| async move {
        loop {
            let head = read_head(&mut stream).await;
            let answer = match head.split(' ').nth(1) {
                Some("/length") => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                Some("/none") => "HTTP/1.1 200 OK\r\n\r\n",
                Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/304-length") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n",
                Some("/304") => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                _ => return,
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for (method, target, status, length) in [
        ("HEAD", "/length", 200, Some("1234")),
        ("HEAD", "/none", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
        ("HEAD", "/304", 304, None),
        ("HEAD", "/304-length", 304, Some("1234")),
        // Of what a 200 would have, and nobody waits for it.
        ("GET", "/304-length", 304, Some("1234")),
    ] {
        let response = client.request(method, target, &[], "").await;
        assert_eq!((response.status, response.field("content-length")), (status, length), "{method} {target}");
        assert_eq!(response.field("transfer-encoding"), None, "{method} {target}");
    }
    assert_eq!(replica.connections(), 1, "each left its connection usable");
}

/// Answers with the framing fields and the body of the request that it got.
async fn framing() -> Replica {
    Replica::http(|request| async move {
        use http_body_util::BodyExt;
        let (head, body) = request.into_parts();
        let framing = ["content-length", "transfer-encoding"].map(|name| head.headers.get(name).cloned());
        let body = body.collect().await.unwrap().to_bytes();
        http::Response::new(format!("{framing:?} {body:?}").into())
    })
    .await
}

#[tokio::test]
async fn bodies_are_framed_anew_and_never_twice() {
    let replica = framing().await;
    let fixture = Fixture::start(&[replica.address]).await;
    for more in ["X: y", "Connection: transfer-encoding"] {
        let mut client = Client::connect(fixture.port).await;
        let fields = ["Content-Length: 99", "Transfer-Encoding: chunked", more];
        let both = client.request("POST", "/", &fields, "3\r\nabc\r\n0\r\n\r\n").await;
        assert_eq!((both.status, both.body.as_str()), (200, "[None, Some(\"chunked\")] b\"abc\""));
    }
    for (fields, body, status) in [
        (&["Content-Length: 3", "Content-Length: 4"][..], "abcd", 400),
        (&["Transfer-Encoding: gzip"][..], "abcd", 400),
        (&["Transfer-Encoding: chunked, gzip"][..], "0\r\n\r\n", 400),
        (&["Transfer-Encoding: gzip, chunked"][..], "0\r\n\r\n", 501),
        (&["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"][..], "0\r\n\r\n", 501),
    ] {
        let mut client = Client::connect(fixture.port).await;
        assert_eq!(client.request("POST", "/", fields, body).await.status, status, "{fields:?}");
        assert!(client.is_closed_now().await, "{fields:?}");
    }
    let mut client = Client::connect(fixture.port).await;
    client.send("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(client.response("POST").await.unwrap().status, 400);
    assert_eq!(replica.requests(), 2);
}

#[tokio::test]
async fn a_get_with_a_chunked_body_keeps_it() {
    let echo = Replica::http(|request| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        http::Response::new(http_body_util::Full::new(body))
    })
    .await;
    let fixture = Fixture::start(&[echo.address]).await;
    let mut client = Client::connect(fixture.port).await;
    let response = client.request("GET", "/", &["Transfer-Encoding: chunked"], "3\r\nabc\r\n0\r\n\r\n").await;
    assert_eq!(response.body, "abc");
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_client() {
    let replica = Replica::raw(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let answer = "HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nContent-Length: 3\r\n\
                          Transfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for _ in 0..2 {
        let response = client.get("/", &[]).await;
        assert_eq!((response.body.as_str(), response.field("content-length")), ("secret", None));
    }
}

#[tokio::test]
async fn lengths_that_differ_are_a_bad_response() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    assert_eq!(get(fixture.port, "/", &[]).await.status, 502);
}

#[tokio::test]
async fn a_response_coded_otherwise_than_in_chunks_is_a_bad_response() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nzz\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let response = get(fixture.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("badresponse")));
}
