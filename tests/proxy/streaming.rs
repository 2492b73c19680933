//! Bodies on their way: as they come, no faster than they are taken, and never a clean end after a break.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Fixture, Replica, eventually, read_head, until_eof};

#[tokio::test]
async fn a_chunk_arrives_before_the_next_is_sent() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let replica = Replica::raw(move |mut stream| {
        let gate = Arc::clone(&opened);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            for chunk in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
                stream.write_all(chunk.as_bytes()).await.unwrap();
                gate.notified().await;
            }
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.unwrap().contains("transfer-encoding: chunked"));
    for expected in ["one", "two", ""] {
        assert_eq!(client.chunk().await.unwrap(), expected);
        gate.notify_one();
    }
}

#[tokio::test]
async fn a_request_body_reaches_the_replica_before_it_is_complete() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            let mut bytes = [0; 64];
            loop {
                let count = stream.read(&mut bytes).await.unwrap();
                counter.fetch_add(count, SeqCst);
                if bytes[..count].ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    eventually("the first chunk is there", || seen.load(SeqCst) == 8).await;
    client.send("3\r\ntwo\r\n").await;
    eventually("the second chunk is there", || seen.load(SeqCst) == 16).await;
    client.send("0\r\n\r\n").await;
    assert_eq!(client.response("POST").await.unwrap().status, 200);
}

/// Writes until the other side takes no more for a while; returns how much it took.
async fn fill(stream: &mut tokio::net::TcpStream, limit: usize) -> usize {
    let block = vec![b'x'; 64 * 1024];
    let mut total = 0;
    while total < limit {
        match tokio::time::timeout(std::time::Duration::from_millis(300), stream.write(&block)).await {
            Ok(written) => total += written.unwrap(),
            Err(_) => break,
        }
    }
    total
}

const LARGE: usize = 256 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_replica_back() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            counter.store(fill(&mut stream, LARGE).await, SeqCst);
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the replica is held back", || taken.load(SeqCst) > 0).await;
    assert!(taken.load(SeqCst) < LARGE / 4, "{} bytes were taken", taken.load(SeqCst));
}

#[tokio::test]
async fn a_replica_that_does_not_read_holds_the_client_back() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let taken = fill(&mut client.stream, LARGE).await;
    assert!(taken < LARGE / 4, "{taken} bytes were taken");
}

#[tokio::test]
async fn what_a_replica_does_not_take_behind_its_answer_is_not_kept() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let short = std::time::Duration::from_millis(150);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    assert_eq!(client.response("POST").await.unwrap().body, "ok");
    let block = vec![b'x'; 64 * 1024];
    let cut = async { while client.stream.write_all(&block).await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), cut).await.expect("it is cut off");
}

#[tokio::test]
async fn the_rest_of_an_upload_goes_on_behind_the_answer_for_as_long_as_it_moves() {
    let all = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&all);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                counter.fetch_add(1, SeqCst);
            }
        }
    })
    .await;
    let short = std::time::Duration::from_millis(600);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n").await;
    assert_eq!(client.response("POST").await.unwrap().body, "ok");
    // In all it takes twice as long as it may rest.
    for sent in 1..=12 {
        tokio::time::sleep(short / 6).await;
        client.send("x").await;
        eventually("the replica has it", || all.load(SeqCst) == sent).await;
    }
    assert_eq!(client.get("/", &[]).await.body, "ok", "and the connection goes on");
}

#[tokio::test]
async fn an_upload_goes_on_while_its_client_takes_nothing_of_the_answer() {
    let all = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&all);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            let (mut read, mut write) = stream.into_split();
            let answer = async {
                write.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
                let chunk = format!("10000\r\n{}\r\n", "y".repeat(0x10000));
                while write.write_all(chunk.as_bytes()).await.is_ok() {}
            };
            let taken = async {
                let mut block = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = read.read(&mut block).await {
                    counter.fetch_add(count, SeqCst);
                }
            };
            tokio::join!(answer, taken);
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    // It reads nothing of what fills every buffer on the way.
    let block = vec![b'x'; LARGE / 64];
    for _ in 0..64 {
        client.stream.write_all(&block).await.unwrap();
    }
    eventually("the replica has all of it", || all.load(SeqCst) == LARGE).await;
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let echo = Replica::http(|request| async move {
        use http_body_util::BodyExt;
        http::Response::new(http_body_util::Full::new(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let fixture = Fixture::start(&[echo.address]).await;
    let body: String = (0..300_000).map(|number| char::from(b'a' + u8::try_from(number % 26).unwrap())).collect();
    let mut client = Client::connect(fixture.port).await;
    for _ in 0..3 {
        let response = client.request("POST", "/", &["Content-Length: 300000"], &body).await;
        assert!(response.body == body, "{} bytes", response.body.len());
    }
    assert_eq!(echo.connections(), 1);
}

async fn breaking(answer: &'static str) -> Replica {
    Replica::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_replica_that_breaks_off_breaks_the_response() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
    ] {
        let replica = breaking(answer).await;
        let fixture = Fixture::start(&[replica.address]).await;
        let mut client = Client::connect(fixture.port).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response("GET").await, None, "{answer:?}");
        assert_eq!(fixture.in_flight(), 0);
        assert!(
            fixture.metrics().contains("ringhold_broken_responses_total{namespace=\"default\",loadbalancer=\"web\"} 1")
        );
    }
}

#[tokio::test]
async fn a_client_that_knows_no_chunks_sees_a_break_as_a_reset() {
    let replica = breaking("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let end = until_eof(&mut client.stream).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_response_without_length_ends_with_its_connection() {
    let replica = breaking("HTTP/1.1 200 OK\r\n\r\nwhole").await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    for _ in 0..2 {
        assert_eq!(client.get("/", &[]).await.body, "whole");
    }
}

#[tokio::test]
async fn trailers_that_are_announced_pass() {
    let replica = breaking(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
    )
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, te\r\n\r\n").await;
    let text = String::from_utf8(until_eof(&mut client.stream).await.unwrap()).unwrap().to_ascii_lowercase();
    assert!(text.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (arrived, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&arrived), Arc::clone(&left));
    let replica = Replica::raw(move |mut stream| {
        let (arrived, left) = counters.clone();
        async move {
            read_head(&mut stream).await;
            arrived.fetch_add(1, SeqCst);
            read_head(&mut stream).await;
            left.fetch_add(1, SeqCst);
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is there", || arrived.load(SeqCst) == 1).await;
    assert_eq!(fixture.in_flight(), 1);
    drop(client);
    eventually("the replica knows", || left.load(SeqCst) == 1).await;
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    assert!(!fixture.is_ejected(0));
}

#[tokio::test]
async fn expect_continue_is_answered_when_the_body_is_wanted() {
    let echo = Replica::http(|request| async move {
        use http_body_util::BodyExt;
        http::Response::new(http_body_util::Full::new(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let fixture = Fixture::start(&[echo.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("http/1.1 100"));
    client.send("hi").await;
    assert_eq!(client.response("POST").await.unwrap().body, "hi");
    // Who does not wait has a connection that goes on, too.
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi").await;
        let response = client.response("POST").await.unwrap();
        assert_eq!((response.body.as_str(), response.field("connection")), ("hi", None));
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_response_ends_it() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            while stream.write_all(b"4\r\nmore\r\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
            counter.fetch_add(1, SeqCst);
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.chunk().await.unwrap().get(..4), Some("more"));
    assert_eq!(fixture.in_flight(), 1);
    drop(client);
    eventually("the replica can't write any more", || ended.load(SeqCst) == 1).await;
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut client = Client::connect(fixture.port).await;
    let requests: String = (0..5).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(&requests).await;
    for number in 0..5 {
        let body = client.response("GET").await.unwrap().body;
        assert!(body.starts_with(&format!("GET /{number}\n")), "{body}");
    }
}

#[tokio::test]
async fn the_asterisk_target_is_forwarded() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut client = Client::connect(fixture.port).await;
    assert!(client.request("OPTIONS", "*", &[], "").await.body.starts_with("OPTIONS *\n"));
}

#[tokio::test]
async fn a_stalled_response_breaks_after_the_idle_time() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let short = std::time::Duration::from_millis(150);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response("GET").await, None);
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_the_end_of_a_response_is_cut_off() {
    let replica = Replica::http(|request| async move {
        let length: usize = request.uri().path()[1..].parse().unwrap();
        http::Response::new(vec![b'x'; length].into())
    })
    .await;
    let short = std::time::Duration::from_millis(300);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    // Of one of these, the sockets take all but what fits into the proxy's own buffer.
    let mut clients = Vec::new();
    for length in (0..96).map(|number| number * 64 * 1024) {
        let mut client = Client::connect(fixture.port).await;
        client.send(&format!("GET /{length} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        clients.push(client);
    }
    eventually("all are there", || fixture.handle.metrics().client_connections() > 0).await;
    eventually("all are gone", || fixture.handle.metrics().client_connections() == 0).await;
}

/// Sends a part of a body without known length, and then nothing.
async fn stalling() -> Replica {
    Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_client_that_knows_no_chunks_sees_a_stall_as_a_reset() {
    let replica = stalling().await;
    let short = std::time::Duration::from_millis(150);
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let end = until_eof(&mut client.stream).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_client_that_knows_no_chunks_sees_a_cut_as_a_reset() {
    let replica = stalling().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(fixture.handle.shutdown(std::time::Duration::from_millis(100)).await, 1);
    let end = until_eof(&mut client.stream).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
}
