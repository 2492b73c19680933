//! Failures told apart, without a word about what lies behind.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture, Replica, get, read_head, refusing, until_eof};

#[tokio::test]
async fn a_refused_connection_is_a_502() {
    let (address, _guard) = refusing();
    let fixture = Fixture::start(&[address]).await;
    let response = get(fixture.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("connectfailed")));
    assert_eq!(response.field("content-type"), Some("application/json"));
    assert_eq!(response.body, "{\"error\":\"no replica could be reached\",\"reason\":\"ConnectFailed\"}\n");
    assert!(fixture.metrics().contains("reason=\"ConnectFailed\"} 1"), "{}", fixture.metrics());
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_a_502() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let response = get(fixture.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("upstreamreset")));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_502() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"220 smtp.example ready\r\n\r\n").await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let response = get(fixture.port, "/", &["Accept: text/html"]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (502, Some("badresponse")));
    assert_eq!(response.body, "the replica's answer is not valid HTTP (BadResponse)\n");
}

#[tokio::test]
async fn an_empty_fleet_is_a_503() {
    let fixture = Fixture::start(&[]).await;
    let response = get(fixture.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (503, Some("noreplica")));
    assert_eq!(response.field("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_a_504_or_goes_elsewhere() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Nobody accepts, and once its queue is full the kernel answers no one any more.
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    let spare = Replica::named("spare").await;
    let quick = Duration::from_millis(100);
    let alone = Fixture::with(&[address], |policy| policy.timeouts.connect = quick).await;
    let response = get(alone.port, "/", &[]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (504, Some("connecttimeout")));
    let fixture = Fixture::with(&[address, spare.address], |policy| policy.timeouts.connect = quick).await;
    assert_eq!(get(fixture.port, "/", &[&fixture.to(0)]).await.body, "spare");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_504_and_is_not_asked_for_again() {
    let silent = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        read_head(&mut stream).await;
    })
    .await;
    let spare = Replica::named("spare").await;
    let fixture = Fixture::with(&[silent.address, spare.address], |policy| {
        policy.timeouts.response_header = Duration::from_millis(150);
    })
    .await;
    let response = get(fixture.port, "/", &[&fixture.to(0)]).await;
    assert_eq!((response.status, response.field("x-ringhold-reason")), (504, Some("responsetimeout")));
    assert_eq!(spare.requests(), 0);
    assert_eq!(fixture.in_flight(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        read_head(&mut stream).await;
    })
    .await;
    let fixture = Fixture::with(&[replica.address], |policy| policy.timeouts.idle = Duration::from_millis(150)).await;
    let mut client = Client::connect(fixture.port).await;
    let response = client.request("POST", "/", &["Content-Length: 9"], "part").await;
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
}

#[tokio::test]
async fn an_error_in_answer_to_a_head_has_no_body_and_its_length() {
    let fixture = Fixture::start(&[]).await;
    let mut client = Client::connect(fixture.port).await;
    let full = client.get("/", &[]).await;
    let head = client.request("HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.field("x-ringhold-reason")), (503, Some("noreplica")));
    assert_eq!(head.field("content-length"), full.field("content-length"));
    // Whatever stood behind the head would be taken for this answer.
    assert_eq!(client.get("/", &[]).await, full);
}

#[tokio::test]
async fn an_error_on_http_1_0_ends_its_connection() {
    let fixture = Fixture::start(&[]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.0\r\nAccept: text/plain\r\n\r\n").await;
    let all = String::from_utf8(until_eof(&mut client.stream).await.unwrap()).unwrap();
    assert!(all.starts_with("HTTP/1.0 503 ") && all.ends_with("\r\n\r\nno replica is ready (NoReplica)\n"), "{all}");
    assert!(!all.to_ascii_lowercase().contains("chunked"), "{all}");
}
