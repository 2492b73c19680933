//! Bytes of a replica's answer, and what the client sees of them.

use crate::raw::scripted::Scripted;
use crate::raw::scripted::Then::{Closes, Stays};

#[tokio::test]
async fn a_head_that_is_none_is_a_bad_response() {
    let scripted = Scripted::start().await;
    for head in [
        &b"hello"[..],
        b"HTTP/1.1",
        b"HTTP/1.1 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 X",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"ICY 200 OK",
        b"http/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200 OK\r\nX: a\0b",
        b"HTTP/1.1 200 OK\r\nX: a\rb",
        b"HTTP/1.1 200 OK\r\nX: a\x0b",
        b"HTTP/1.1 200 OK\r\nX\0: a",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b",
        b"HTTP/1.1 200 OK\r\nX: a\r\n\tb",
        b"HTTP/1.1 200 OK\r\n X: a",
        b"HTTP/1.1 200 OK\r\nX : a",
        b"HTTP/1.1 200 OK\r\n: a",
        b"HTTP/1.1 200 OK\r\nX Y: a",
        b"HTTP/1.1 200 OK\r\nX",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0",
    ] {
        scripted.refuses("GET", &[head, b"\r\n\r\n"].concat()).await;
    }
}

#[tokio::test]
async fn framing_that_may_be_read_in_two_ways_is_a_bad_response() {
    let scripted = Scripted::start().await;
    for framing in [
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5,6",
        "Content-Length: 5,",
        "Content-Length: ,5",
        "Content-Length: five",
        "Content-Length: 5;",
        "Content-Length: 18446744073709551616",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length:",
        "Transfer-Encoding:",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: x\r\nContent-Length: 5",
    ] {
        scripted.refuses("GET", format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\nhello").as_bytes()).await;
        // Here it frames nothing, and yet is none.
        scripted.refuses("HEAD", format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await;
        scripted.refuses("GET", format!("HTTP/1.1 304 Not Modified\r\n{framing}\r\n\r\n").as_bytes()).await;
    }
    scripted.refuses("GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_length_that_was_written_in_another_way_is_written_anew() {
    let scripted = Scripted::start().await;
    for length in [
        "Content-Length: 05",
        "Content-Length: 5, 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length:5,005",
        "Content-Length: 0000000000000000000000000005",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\nhello");
        scripted.shows("GET", answer.as_bytes(), Stays, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        let answer = format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n");
        scripted.shows("HEAD", answer.as_bytes(), Stays, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    }
    assert_eq!(scripted.replica.connections(), 1, "all parties agree where each answer ends");
}

#[tokio::test]
async fn chunks_are_written_anew() {
    let scripted = Scripted::start().await;
    let seen = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (framing, chunks) in [
        ("Transfer-Encoding: Chunked", "003\r\nabc\r\n00\r\n\r\n"),
        ("Transfer-Encoding:chunked\t", "3;a=\"b\r\nabc\r\n0;c\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 9", "3\r\nabc\r\n0\r\n\r\n"),
        ("Content-Length: 9\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nConnection: transfer-encoding", "3\r\nabc\r\n0\r\nX: y\r\n\r\n"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{chunks}");
        scripted.shows("GET", answer.as_bytes(), Stays, seen).await;
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_gets_chunks() {
    let scripted = Scripted::start().await;
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let answer = format!("{version} 200 OK\r\n\r\nwhole");
        let seen = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n";
        scripted.shows("GET", answer.as_bytes(), Closes, seen).await;
    }
}

#[tokio::test]
async fn a_body_breaks_where_its_chunks_do() {
    let scripted = Scripted::start().await;
    for chunks in [
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n\n",
        "3\r\nabc\r\n0\r\n\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let seen = scripted.seen("GET", answer.as_bytes(), Stays).await;
        let has_begun = seen.strip_prefix("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        // Never an end that looks like one, and nothing that is doubtful.
        assert!(seen.is_empty() || matches!(has_begun, Some("" | "3\r\nabc\r\n")), "{chunks:?}: {seen:?}");
    }
}

#[tokio::test]
async fn trailers_pass_unless_they_belong_to_the_head() {
    let scripted = Scripted::start().await;
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "Set-Cookie",
        "Location",
        "X-Ringhold-Reason",
        "Content-Type",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Via",
        "Trailer",
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum, {name}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{name}: 7\r\nX-Sum: 1\r\n\r\n"
        );
        let seen = format!(
            "HTTP/1.1 200 OK\r\ntrailer: X-Sum, {name}\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n"
        );
        scripted.shows("GET", answer.as_bytes(), Stays, &seen).await;
    }
}

#[tokio::test]
async fn lines_may_end_in_a_line_feed_alone_and_no_client_sees_that() {
    let scripted = Scripted::start().await;
    for answer in [
        "HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nok",
        "\r\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\n\r\nok",
    ] {
        let seen = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: y\r\n\r\nok";
        scripted.shows("GET", answer.as_bytes(), Stays, seen).await;
    }
}

#[tokio::test]
async fn words_of_a_status_line_pass() {
    let scripted = Scripted::start().await;
    for line in ["200 Fine", "299 What", "418 I'm a teapot", "599 "] {
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        let seen = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n");
        scripted.shows("GET", answer.as_bytes(), Stays, &seen).await;
    }
}

#[tokio::test]
async fn a_head_without_bounds_is_a_bad_response() {
    let scripted = Scripted::start().await;
    let head = |fields: String| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let lines = |text: &str| text.matches("\r\n").count();
    assert_eq!(lines(&scripted.seen("GET", head(fields(99)).as_bytes(), Stays).await), 102);
    scripted.refuses("GET", head(fields(100)).as_bytes()).await;
    let seen = scripted.seen("GET", head(format!("X: {}\r\n", "y".repeat(60_000))).as_bytes(), Stays).await;
    assert!(seen.len() > 60_000, "{seen}");
    scripted.refuses("GET", head(format!("X: {}\r\n", "y".repeat(66_000))).as_bytes()).await;
    // One that never ends.
    scripted.refuses("GET", format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(1_000_000)).as_bytes()).await;
}
