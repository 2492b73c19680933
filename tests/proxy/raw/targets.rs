//! Request lines: method, target, version, and the Host that belongs to them.

use crate::raw::Watched;

#[tokio::test]
async fn what_is_no_request_line_is_refused() {
    let watched = Watched::start().await;
    for line in [
        // Versions. HTTP/0.9 had none, and 2.0 is spoken otherwise.
        &b"GET /"[..],
        b"GET / ",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / HTTP/2",
        b"GET / HTTP/3",
        b"GET / http/1.1",
        b"GET / Http/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.1\t",
        b"GET / HTTP/1.1x",
        b"GET / HTTP/11",
        b"GET / HTTP/01.1",
        b"GET / HTTP/1.01",
        b"GET / HTTP/1,1",
        b"GET / HTTP /1.1",
        b"GET / HTTP/1.1 HTTP/1.1",
        b"GET / HTTPS/1.1",
        b"GET / ICY/1.1",
        b"GET / HTTP/-1.1",
        b"GET / HTTP/1.1\0",
        // Blanks.
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET /a\tb HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET\x0b/ HTTP/1.1",
        b"GET HTTP/1.1",
        // Methods.
        b"G T / HTTP/1.1",
        b"G\0T / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"\xffET / HTTP/1.1",
        b"GET\r / HTTP/1.1",
        b"/ HTTP/1.1",
        b"\"GET\" / HTTP/1.1",
        b"GET: / HTTP/1.1",
        // Targets.
        b"GET /\0 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET /\x01 HTTP/1.1",
        b"GET /a\\b<c> HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET a/b HTTP/1.1",
        b"GET ?x HTTP/1.1",
        b"GET ../x HTTP/1.1",
        b"GET http:// HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://a b/ HTTP/1.1",
        b"GET http://a:b/ HTTP/1.1",
        b"GET http:a HTTP/1.1",
        b"GET //[/ HTTP/1.1\r\nX",
        b"GET @ HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
        // For others than these methods.
        b"GET a:80 HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"POST * HTTP/1.1",
        b"OPTIONS *x HTTP/1.1",
    ] {
        watched.refuses(400, &[line, b"\r\nHost: a\r\n\r\n"].concat()).await;
    }
}

#[tokio::test]
async fn targets_arrive_as_they_are() {
    let watched = Watched::start().await;
    for target in [
        "//b/c",
        "/../../etc/passwd",
        "/%2e%2e/%2f",
        "/%00%0d%0a",
        "/a;b=c",
        "/?a=b?c",
        "/?",
        "/%",
        "/%zz",
        "/a|b",
        "/\u{e9}",
        "/a\"b",
        "/:80",
        "/@b",
        "/http://b/",
        "/?x=http://b/",
    ] {
        let sent = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        watched.passes(sent.as_bytes(), &format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }
    // A fragment is never sent (RFC 9112 §3.2); who sends one is understood without it.
    watched.passes(b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn methods_are_told_apart_by_case() {
    let watched = Watched::start().await;
    for method in ["get", "Post", "GPOST", "PURGE", "M-SEARCH", "connect", "Trace"] {
        let sent = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        watched.passes(sent.as_bytes(), &format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn the_authority_of_the_target_wins_over_host() {
    let watched = Watched::start().await;
    for (line, host) in [
        ("GET http://a/x?y HTTP/1.1", "b"),
        ("GET HTTP://a/x?y HTTP/1.1", "b"),
        ("GET http://u:p@a/x?y HTTP/1.1", "a"),
        ("GET https://a/x?y HTTP/1.1", "b:80"),
        ("GET http://a/x?y#z HTTP/1.1", "b"),
    ] {
        let sent = format!("{line}\r\nHost: {host}\r\n\r\n");
        watched.passes(sent.as_bytes(), "GET /x?y HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    watched.passes(b"GET http://a?y HTTP/1.1\r\nHost: b\r\n\r\n", "GET /?y HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_host_that_is_none_or_not_alone_is_refused() {
    let watched = Watched::start().await;
    for host in [
        "",
        "Host: a\r\nHost: a",
        "Host: a\r\nhost: b",
        "Host: a\r\nX: y\r\nHost: a",
        "Host:",
        "Host: ",
        "Host: a b",
        "Host: a/b",
        "Host: a\\b",
        "Host: u@a",
        "Host: a?b",
        "Host: a#b",
        "Host: a:b",
        "Host: a:80:90",
        "Host: [::1",
        "Host: ::1",
        "Host: a\u{e9}",
        "Host: http://a",
        "Host: a, b",
        "Host: <a>",
        "Host: a%zz",
        "Host : a",
    ] {
        let sent = format!("GET / HTTP/1.1\r\n{host}\r\n{}", if host.is_empty() { "" } else { "\r\n" });
        watched.refuses(400, sent.as_bytes()).await;
        // The target's authority does not excuse it (RFC 9112 §3.2).
        let sent = sent.replace("GET /", "GET http://a/");
        watched.refuses(400, sent.as_bytes()).await;
    }
}
