//! What one connection carries: each request once, in order, and none behind the last.

use crate::raw::{HIDDEN, Watched};

#[tokio::test]
async fn nothing_behind_a_request_to_close_is_a_request() {
    let watched = Watched::start().await;
    for close in [
        "Connection: close",
        "Connection: Close",
        "Connection: x, close, y",
        "Connection: keep-alive, close",
        "Connection: keep-alive\r\nConnection: close",
        "Connection: close\r\nConnection: keep-alive",
    ] {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\n{close}\r\n\r\n");
        watched.passes_last(sent.as_bytes(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    watched.passes_last(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", SEEN_OF_1_0).await;
    watched
        .passes_last(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
            "POST / HTTP/1.1\r\ncontent-length: 2\r\nhost: a\r\n\r\nhi",
        )
        .await;
}

const SEEN_OF_1_0: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn http_1_0_may_ask_to_keep_its_connection() {
    let watched = Watched::start().await;
    let sent = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    watched.passes(sent, SEEN_OF_1_0).await;
}

#[tokio::test]
async fn a_request_is_found_though_it_comes_byte_by_byte() {
    use tokio::io::AsyncWriteExt;
    let watched = Watched::start().await;
    let sent = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n";
    let mut client = crate::support::Client::connect(watched.fixture.port).await;
    for byte in sent.iter().chain(HIDDEN) {
        client.stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        assert_eq!(client.response("POST").await.unwrap().status, 200);
    }
    let seen = watched.recorder.take();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let data: String = seen[0].split("\r\n").filter(|line| "abc".contains(line)).collect();
    assert_eq!((data.as_str(), seen[1].as_str()), ("abc", "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"));
}
