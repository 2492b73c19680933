//! Clients that take their time, on purpose or not.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Fixture, Replica, eventually, read_head, until_eof};

/// Nothing here takes so long unless it is not cut off.
const PATIENCE: Duration = Duration::from_secs(60);
const TRICKLE: Duration = Duration::from_millis(20);

/// A proxy that wants ten kilobytes a second, and is patient otherwise.
async fn impatient(replica: &Replica) -> Fixture {
    Fixture::configured(
        &[replica.address],
        |_| {},
        |config| {
            config.min_client_rate = 10_000;
            config.min_client_rate_grace = Duration::from_millis(300);
        },
    )
    .await
}

/// Reads what is sent, and answers when all is there.
async fn reading() -> Replica {
    Replica::http(|request| async move {
        use http_body_util::BodyExt;
        let _ = request.into_body().collect().await;
        http::Response::new("done".into())
    })
    .await
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408() {
    let replica = reading().await;
    let fixture = impatient(&replica).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await;
    let (mut read, mut write) = client.stream.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(TRICKLE).await;
        }
    });
    let mut answer = vec![0; 64];
    tokio::time::timeout(PATIENCE, read.read_exact(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", answer.escape_ascii());
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    trickle.abort();
    assert!(!fixture.is_ejected(0), "that is not the replica's fault");
}

#[tokio::test]
async fn an_answer_that_is_taken_byte_by_byte_is_cut_off() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let fixture = impatient(&replica).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], fixture.port).into()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    // The kernel tells of room only when there is some; so the bytes have to be many, but still far too few.
    let take = async {
        while stream.read(&mut byte).await.is_ok_and(|count| count == 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, take).await.unwrap();
    eventually("the lease is back", || fixture.in_flight() == 0).await;
    eventually("the connection is gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn whoever_waits_for_a_replica_is_not_slow() {
    // It answers, takes and gives far slower than a client may be.
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let mut byte = [0];
        for _ in 0..30 {
            stream.read_exact(&mut byte).await.unwrap();
            tokio::time::sleep(TRICKLE).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\nConnection: close\r\n\r\n").await.unwrap();
        for _ in 0..30 {
            stream.write_all(b"x").await.unwrap();
            tokio::time::sleep(TRICKLE).await;
        }
    })
    .await;
    let fixture = impatient(&replica).await;
    let mut client = Client::connect(fixture.port).await;
    let body = "x".repeat(30);
    let response = client.request("POST", "/", &["Content-Length: 30"], &body).await;
    assert_eq!((response.status, response.body), (200, body));
}

#[tokio::test]
async fn who_is_refused_while_it_sends_gets_its_answer() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.limits.max_body_bytes = 10).await;
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: a/\r\nContent-Length: 800000\r\n\r\n".to_owned(),
        "POST / HTTP/1.2\r\nHost: a\r\nContent-Length: 800000\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(100_000)),
    ] {
        let mut client = Client::connect(fixture.port).await;
        client.send(&head).await;
        // Some of it arrives behind the refusal; a reset would take that from whoever reads only now.
        for _ in 0..8 {
            client.stream.write_all(&[b'x'; 100_000]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.stream.shutdown().await.unwrap();
        let answer = until_eof(&mut client.stream).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", answer.escape_ascii());
    }
    eventually("nobody is waited for", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn who_sends_for_ever_after_its_refusal_is_cut_off() {
    let a = Replica::named("a").await;
    let fixture = Fixture::with(&[a.address], |policy| policy.limits.max_body_bytes = 10).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000000\r\n\r\n").await;
    let mut sent = 0;
    while client.stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {
        sent += 64 * 1024;
    }
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken");
    let mut silent = Client::connect(fixture.port).await;
    silent.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000000\r\n\r\n").await;
    eventually("both are gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_replica_that_falls_silent_in_its_answer_is_blamed() {
    let silent = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let short = Duration::from_millis(200);
    let fixture = Fixture::with(&[silent.address], |policy| policy.timeouts.idle = short).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.response("GET").await.is_none());
    eventually("it is counted", || fixture.metrics().contains("code=\"200\",reason=\"BrokenResponse\"} 1")).await;
    assert!(!fixture.metrics().contains("ClientGone"), "{}", fixture.metrics());
}

#[tokio::test]
async fn for_a_client_that_takes_nothing_no_replica_is_blamed() {
    let large = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 800000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    })
    .await;
    let fixture = impatient(&large).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("it is counted", || fixture.metrics().contains("code=\"200\",reason=\"ClientGone\"} 1")).await;
    assert!(!fixture.metrics().contains("BrokenResponse"), "{}", fixture.metrics());
}
