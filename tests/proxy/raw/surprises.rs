//! Answers that nobody asked for, or not yet, or not any more: none may reach the next request.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::raw::scripted::Scripted;
use crate::raw::scripted::Then::Stays;
use crate::support::{Client, Fixture, Replica, eventually, get, read_head};

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

#[tokio::test]
async fn of_two_answers_to_one_request_the_second_is_nobodys() {
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        // Their bodies are none, so they are the next answer's beginning.
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let scripted = Scripted::start().await;
        scripted.tell(format!("{first}{EVIL}").as_bytes());
        let mut client = Client::connect(scripted.fixture.port).await;
        for connections in 1..=3 {
            let response = client.get("/", &["Host: a"]).await;
            assert!(response.status < 400 && !response.body.contains("evil"), "{first:?}: {response:?}");
            assert_eq!(scripted.replica.connections(), connections, "{first:?}");
        }
    }
}

#[tokio::test]
async fn after_an_answer_that_says_more_of_a_body_than_counts_nobody_is_asked_again() {
    for (doubtful, status) in [
        ("HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n", 204),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
    ] {
        // The body that it has spoken of comes late.
        let replica = Replica::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(doubtful.as_bytes()).await.unwrap();
            if !read_head(&mut stream).await.is_empty() {
                stream.write_all(EVIL.as_bytes()).await.unwrap();
            }
        })
        .await;
        let fixture = Fixture::start(&[replica.address]).await;
        let mut client = Client::connect(fixture.port).await;
        for connections in 1..=3 {
            let response = client.get("/", &["Host: a"]).await;
            assert_eq!((response.status, response.body.as_str()), (status, ""), "{doubtful:?}");
            assert_eq!(replica.connections(), connections, "{doubtful:?}");
        }
    }
}

#[tokio::test]
async fn a_body_behind_the_answer_to_a_head_is_nobodys() {
    let scripted = Scripted::start().await;
    scripted.tell(EVIL.as_bytes());
    let mut client = Client::connect(scripted.fixture.port).await;
    for connections in 1..=3 {
        let response = client.request("HEAD", "/", &["Host: a"], "").await;
        assert_eq!((response.status, response.field("content-length")), (200, Some("4")));
        assert_eq!(scripted.replica.connections(), connections);
    }
}

#[tokio::test]
async fn an_answer_on_an_idle_connection_is_nobodys() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(EVIL.as_bytes()).await.unwrap();
        // The proxy has closed.
        assert_eq!(read_head(&mut stream).await, "");
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    for connections in 1..=3 {
        assert_eq!(get(fixture.port, "/", &[]).await.body, "ok");
        assert_eq!(replica.connections(), connections);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn an_answer_before_the_request_is_complete_leaves_the_rest_a_body() {
    let scripted = Scripted::start().await;
    scripted.tell(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\n\r\nno");
    let mut client = Client::connect(scripted.fixture.port).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /").await;
    let response = client.response("POST").await.unwrap();
    assert_eq!((response.status, response.body.as_str()), (413, "no"));
    eventually("the lease is back", || scripted.fixture.in_flight() == 0).await;
    client.send("hidden HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // The rest goes where it belongs. Nobody is asked again on that connection.
    scripted.tell(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.get("/", &["Host: a"]).await.body, "ok");
    assert_eq!(scripted.replica.connections(), 2);
}

#[tokio::test]
async fn interim_answers_pass_but_for_those_that_were_asked_of_us() {
    let scripted = Scripted::start().await;
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for (interim, passed) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", ""),
        (
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n",
        ),
        ("HTTP/1.1 199 X\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n", "HTTP/1.1 199 X\r\n\r\n"),
        (
            "HTTP/1.1 103 Early Hints\r\nConnection: X-Secret\r\nX-Secret: 1\r\nX: y\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n",
        ),
    ] {
        let answer = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let seen = scripted.seen("GET", answer.as_bytes(), Stays).await;
        let lines = seen.split_inclusive("\r\n");
        let said = lines.filter(|line| !line.starts_with("date: ") && *line != "connection: close\r\n");
        assert_eq!(said.collect::<String>(), format!("{passed}{last}"));
    }
    assert_eq!(scripted.replica.connections(), 1);
}

#[tokio::test]
async fn of_very_many_interim_answers_some_pass() {
    let scripted = Scripted::start().await;
    let answer =
        format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 103 X\r\nX: y\r\n\r\n".repeat(10_000));
    let seen = scripted.seen("GET", answer.as_bytes(), Stays).await;
    assert!(seen.contains("HTTP/1.1 200 OK\r\n") && seen.ends_with("\r\n\r\nok"));
    assert!((1..=10_000).contains(&seen.matches("HTTP/1.1 103 X\r\nx: y\r\n\r\n").count()));
}

#[tokio::test]
async fn an_interim_answer_comes_at_once_and_only_to_who_knows_what_it_is() {
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = Mutex::new(Some(gone));
    let replica = Replica::raw(move |mut stream| {
        let gone = gone.lock().unwrap().take();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await.unwrap();
            if let Some(gone) = gone {
                gone.await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap(), "http/1.1 103 early hints\r\nlink: </x>\r\n\r\n");
    go.send(()).unwrap();
    assert_eq!(client.response("GET").await.unwrap().body, "ok");
    let mut old = Client::connect(fixture.port).await;
    old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(old.head().await.unwrap().starts_with("http/1.0 200 ok"));
}

#[tokio::test]
async fn a_storm_of_interim_answers_is_a_bad_response() {
    let storm = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let interim = b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(1_000);
        while stream.write_all(&interim).await.is_ok() {}
    })
    .await;
    let fixture = Fixture::start(&[storm.address]).await;
    let response = get(fixture.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("badresponse")));
    assert_eq!(storm.connections(), 1, "nobody else is sent into it");
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn a_trickle_of_interim_answers_ends_with_the_time_for_an_answer() {
    let trickle = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let short = Duration::from_millis(300);
    let fixture = Fixture::with(&[trickle.address], |policy| policy.timeouts.response_header = short).await;
    let response = get(fixture.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (504, Some("responsetimeout")));
}

#[tokio::test]
async fn a_switch_to_what_nobody_offered_is_a_bad_response() {
    let scripted = Scripted::start().await;
    for (offered, chosen) in [
        ("websocket", "Upgrade: h2c\r\n"),
        ("websocket", "Upgrade: websocket, x\r\n"),
        ("websocket", "Upgrade: websocketx\r\n"),
        ("websocket", "Upgrade:\r\n"),
        ("websocket", ""),
    ] {
        scripted.tell(format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{chosen}\r\n").as_bytes());
        let fields = ["Connection: upgrade", &format!("Upgrade: {offered}")];
        let response = get(scripted.fixture.port, "/", &fields).await;
        assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("badresponse")), "{chosen:?}");
    }
    for (offered, chosen) in [("websocket", "WebSocket"), ("x, websocket", "websocket"), ("a/1, b/2", "b/2, a/1")] {
        scripted.tell(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {chosen}\r\n\r\n").as_bytes());
        let fields = ["Connection: upgrade", &format!("Upgrade: {offered}")];
        assert_eq!(get(scripted.fixture.port, "/", &fields).await.status, 101, "{chosen:?}");
    }
}
