//! Lines of a head: what is no line is refused, and what is one is written anew.

use crate::raw::Watched;

#[tokio::test]
async fn what_is_no_field_is_refused() {
    let watched = Watched::start().await;
    for field in [
        // Names.
        &b"X Y: z"[..],
        b"X\0: z",
        b"X\r: z",
        b"X\x7f: z",
        b"(x): z",
        b"\"x\": z",
        b"x@y: z",
        b"x{}: z",
        b"[x]: z",
        b"x,y: z",
        b"x/y: z",
        b"\xc3\xa9: z",
        b"x",
        b": z",
        b" : z",
        b"=x: z",
        // Values.
        b"X: \0",
        b"X: a\0b",
        b"X: a\rb",
        b"X: a\r",
        b"X: \x01",
        b"X: \x7f",
        b"X: \x1b[2J",
        b"X: a\x0bb",
        b"X: a\x08",
        // Obsolete folding, and whatever else begins with a blank.
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b"X: a\r\n \r\n",
        b"X:\r\n b",
        b" X: a",
        b"\tX: a",
        b"X: a\n b",
    ] {
        for sent in [
            [b"GET / HTTP/1.1\r\nHost: a\r\n", field, b"\r\n\r\n"].concat(),
            [b"GET / HTTP/1.1\r\n", field, b"\r\nHost: a\r\n\r\n"].concat(),
        ] {
            watched.refuses(400, &sent).await;
        }
    }
}

#[tokio::test]
async fn odd_fields_arrive_as_they_are() {
    let watched = Watched::start().await;
    for (field, seen) in [
        ("X:a", "x: a"),
        ("X: \t a \t", "x: a"),
        ("X:", "x: "),
        ("X: a: b", "x: a: b"),
        ("X:Y : z", "x: Y : z"),
        ("X: a, b\r\nx: c", "x: a, b\r\nx: c"),
        ("X: GET / HTTP/1.1", "x: GET / HTTP/1.1"),
        ("X: a%0d%0aY: b", "x: a%0d%0aY: b"),
        ("X: a\\r\\nY: b", "x: a\\r\\nY: b"),
        ("X: \u{e9}\u{10a}\u{560d}", "x: \u{e9}\u{10a}\u{560d}"),
        ("X: \u{2028}", "x: \u{2028}"),
        ("!#$%&'*+-.^`|~1: a", "!#$%&'*+-.^`|~1: a"),
    ] {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        watched.passes(sent.as_bytes(), &seen_with(seen)).await;
    }
}

/// Fields are ordered by name in what the replica has seen.
fn seen_with(field: &str) -> String {
    if field < "host" {
        format!("GET / HTTP/1.1\r\n{field}\r\nhost: a\r\n\r\n")
    } else {
        format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")
    }
}

#[tokio::test]
async fn lines_may_end_in_a_line_feed_alone_and_no_replica_sees_that() {
    // RFC 9112 §2.2 allows it of a head. Whatever the line says, all behind us read it as we did.
    let watched = Watched::start().await;
    for sent in [
        &b"GET / HTTP/1.1\nHost: a\nX: y\n\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\n",
    ] {
        watched.passes(sent, "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n").await;
    }
    watched
        .passes_last(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nx: y\r\n\r\n0\r\n\r\n",
        )
        .await;
}

#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let watched = Watched::start().await;
    for before in ["\r\n", "\r\n\r\n\r\n", "\n", "\n\r\n\n"] {
        let sent = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\n{before}");
        watched.passes(sent.as_bytes(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    for before in ["\r", " ", "\t", "\0", "\r\n ", "\r\r\n", "\u{feff}"] {
        let sent = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        watched.refuses(400, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn names_that_cgi_takes_for_ours_do_not_arrive() {
    let watched = Watched::start().await;
    for name in [
        "X_Forwarded_For",
        "x_forwarded-for",
        "X-Forwarded_Proto",
        "X_Forwarded_Host",
        "X_FORWARDED_PORT",
        "X_Real_IP",
        "Content_Length",
        "Content_length",
        "Transfer_Encoding",
        "Proxy_Authorization",
        "Proxy_Connection",
    ] {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 10.0.0.1\r\n{name}: 10.0.0.2\r\n\r\n");
        watched.passes(sent.as_bytes(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    watched
        .passes(
            b"GET / HTTP/1.1\r\nHost: a\r\nX_Api_Key: 1\r\nX_Forwarded: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx_api_key: 1\r\nx_forwarded: 2\r\n\r\n",
        )
        .await;
}
