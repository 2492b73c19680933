//! From HTTP/2 to HTTP/1.1 and back.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use tokio::io::AsyncWriteExt;

use super::client::whole;
use super::frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, block};
use super::{Frames, Http2, get};
use crate::support::{Fixture, Replica, eventually, read_head, until_eof};

const PROTOCOL_ERROR: u32 = 1;

/// Answers as it is told to, on each connection once, and keeps what it was asked.
async fn scripted(answer: &'static str) -> Replica {
    Replica::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_head_is_told_in_the_words_of_http1() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let request = Request::get("http://A.example:81/p?q=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("te", "trailers")
        .header("x-forwarded-for", "1.2.3.4")
        .header("accept", "*/*");
    let answer = client.ask(request.body(()).unwrap()).await;
    let mut lines: Vec<&str> = answer.body.lines().collect();
    lines.sort_unstable();
    let expected = [
        "GET /p?q=1",
        "accept: */*",
        "connection: te",
        "cookie: a=1; b=2; c=3",
        "host: A.example:81",
        "te: trailers",
        "via: 2.0 ringhold",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: A.example:81",
        "x-forwarded-proto: http",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn the_authority_is_the_host_and_must_not_differ_from_it() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    let head = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let cases: [(&[(&str, &str)], u16); 7] = [
        (&[(":authority", "a.example"), ("host", "A.example")], 200),
        (&[("host", "a.example")], 200),
        (&[(":authority", "a.example"), ("host", "b.example")], 400),
        (&[(":authority", "a.example"), ("host", "a.example:80")], 400),
        (&[(":authority", "a.example"), ("host", "a.example"), ("host", "a.example")], 400),
        (&[(":authority", "u@a.example")], 400),
        (&[], 400),
    ];
    for ((fields, expected), stream) in cases.into_iter().zip((1..).step_by(2)) {
        // Pseudo-fields come first.
        let (pseudo, rest): (Vec<_>, Vec<_>) = fields.iter().copied().partition(|(name, _)| name.starts_with(':'));
        let block = block(&[&head[..], &pseudo, &rest].concat());
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
        let answer = frames.next_of(HEADERS).await.unwrap();
        // Of the statuses the static table has these: indexed fields 8 and 12 (RFC 7541, appendix A).
        let status = match answer.payload.iter().find(|byte| **byte & 0xe0 != 0x20) {
            Some(0x88) => 200,
            Some(0x8c) => 400,
            other => panic!("{other:?} in {answer:?}"),
        };
        assert_eq!(status, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn a_head_that_http2_forbids_resets_its_stream_alone() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    let forbidden = [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
    ];
    for (field, stream) in forbidden.into_iter().zip((1..).step_by(2)) {
        frames.get(stream, &[field]).await;
        assert_eq!(frames.reset_of(stream).await, Some(PROTOCOL_ERROR), "{field:?}");
    }
    assert_eq!(mirror.requests(), 0);
    frames.get(99, &[]).await;
    assert_eq!(frames.next_of(HEADERS).await.unwrap().stream, 99);
}

#[tokio::test]
async fn a_name_or_value_that_could_be_read_otherwise_on_http1_never_gets_there() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let names = ["X-Upper", "x y", "x:y", "x\r\ny", "", ":late"];
    let values = ["a\r\nb: c", "a\nb", "a\0b"];
    let fields = names.map(|name| (name, "1")).into_iter().chain(values.map(|value| ("x", value)));
    for field in fields {
        let mut frames = Frames::connect(fixture.port).await;
        frames.get(1, &[field]).await;
        while let Some(frame) = frames.next().await {
            assert_ne!(frame.kind, HEADERS, "{field:?}");
            if [RST_STREAM, GOAWAY].contains(&frame.kind) {
                break;
            }
        }
    }
    for path in ["/a b", "/a\r\nx: y", "a", "", "http://b.example/"] {
        let mut frames = Frames::connect(fixture.port).await;
        let head = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", path)];
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&head)).await;
        while let Some(frame) = frames.next().await {
            if [RST_STREAM, GOAWAY, HEADERS].contains(&frame.kind) {
                break;
            }
        }
    }
    assert_eq!(mirror.requests(), 0);
}

async fn echo() -> Replica {
    use http_body_util::BodyExt;
    Replica::streaming(|request| async move {
        let announced = request.headers().get("transfer-encoding").cloned();
        let collected = request.into_body().collect().await;
        let Ok(collected) = collected else { return http::Response::new(http_body_util::Full::from("broken").boxed()) };
        let trailers = collected.trailers().cloned();
        let mut response = http::Response::new(http_body_util::Full::new(collected.to_bytes()).boxed());
        if let Some(coding) = announced {
            response.headers_mut().insert("x-coding", coding);
        }
        if let Some(value) = trailers.as_ref().and_then(|trailers| trailers.get("x-sum")) {
            response.headers_mut().insert("x-sum-was", value.clone());
        }
        response
    })
    .await
}

#[tokio::test]
async fn a_body_goes_on_with_its_length_or_in_chunks() {
    let echo = echo().await;
    let fixture = Fixture::start(&[echo.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let post = |length: Option<&str>| {
        let request = Request::post("http://a.example/");
        let request = if let Some(length) = length { request.header("content-length", length) } else { request };
        request.body(()).unwrap()
    };
    let answer = client.send(post(Some("2")), "hi").await;
    assert_eq!((answer.body.as_str(), answer.field("x-coding")), ("hi", None));
    let answer = client.send(post(None), "hi").await;
    assert_eq!((answer.body.as_str(), answer.field("x-coding")), ("hi", Some("chunked")));
}

#[tokio::test]
async fn a_length_that_is_not_the_datas_resets_the_stream_and_is_no_request() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = std::sync::Arc::clone(&seen);
    let replica = Replica::raw(move |mut stream| {
        let keep = std::sync::Arc::clone(&keep);
        async move {
            let bytes = until_eof(&mut stream).await.unwrap_or_default();
            keep.lock().unwrap().push(String::from_utf8(bytes).unwrap());
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    for (stream, data) in [(1, "abc"), (3, "abcdefgh")] {
        let head =
            [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", "5")];
        frames.send(HEADERS, END_HEADERS, stream, &block(&head)).await;
        frames.send(DATA, END_STREAM, stream, data.as_bytes()).await;
        assert_eq!(frames.reset_of(stream).await, Some(PROTOCOL_ERROR), "{data}");
    }
    eventually("both leases are back", || fixture.in_flight() == 0).await;
    eventually("what was begun is given up", || seen.lock().unwrap().len() == replica.connections()).await;
    for request in seen.lock().unwrap().iter().filter(|request| !request.is_empty()) {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(body.len() < 5, "never whole: {request}");
    }
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let echo = echo().await;
    let fixture = Fixture::start(&[echo.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    let request = Request::post("http://a.example/").header("trailer", "x-sum").body(()).unwrap();
    let (response, mut stream) = client.open(request, false).await;
    stream.send_data(Bytes::from("hi"), false).unwrap();
    stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))])).unwrap();
    let answer = whole(response).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.field("x-sum-was")), ("hi", Some("7")));

    let replica =
        scripted("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    let fixture = Fixture::start(&[replica.address]).await;
    let answer = Http2::connect(fixture.port).await.ask(get("http://a.example/")).await;
    assert_eq!((answer.body.as_str(), answer.field("transfer-encoding")), ("ok", None));
    assert_eq!(answer.trailers.unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn responses_lose_what_belongs_to_one_hop() {
    let replica = scripted(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\n\
         Upgrade: h2c\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let answer = Http2::connect(fixture.port).await.ask(get("http://a.example/")).await;
    let mut names: Vec<&str> =
        answer.headers.keys().map(http::HeaderName::as_str).filter(|name| *name != "date").collect();
    names.sort_unstable();
    assert_eq!((names, answer.body.as_str()), (vec!["content-length", "x-stays"], "ok"));
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for (method, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Some("9")),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Some("9")),
    ] {
        let replica = scripted(answer).await;
        let fixture = Fixture::start(&[replica.address]).await;
        let request = Request::builder().method(method).uri("http://a.example/").body(()).unwrap();
        let whole = Http2::connect(fixture.port).await.ask(request).await;
        assert_eq!((whole.body.as_str(), whole.field("content-length")), ("", length), "{method} {answer}");
        eventually("the lease is back", || fixture.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn our_own_words_fit_the_protocol() {
    let fixture = Fixture::start(&[]).await;
    let mut client = Http2::connect(fixture.port).await;
    for (method, is_empty) in [("GET", false), ("HEAD", true)] {
        let request = Request::builder().method(method).uri("http://a.example/").body(()).unwrap();
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.field("x-ringhold-reason")), (503, Some("NoReplica")));
        assert_eq!((answer.field("connection"), answer.body.is_empty()), (None, is_empty), "{method}");
    }
    // An answer before the body has been read: the stream ends, the connection does not.
    let answer = client.send(Request::post("http://a.example/").body(()).unwrap(), "never read").await;
    assert_eq!(answer.status, 503);
    assert_eq!(client.ask(get("http://a.example/")).await.status, 503);
}

#[tokio::test]
async fn interim_responses_do_not_get_in_the_way() {
    let replica = scripted(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let answer = Http2::connect(fixture.port).await.ask(get("http://a.example/")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut client = Http2::connect(fixture.port).await;
    for (method, uri) in [("CONNECT", "a.example:443"), ("TRACE", "http://a.example/")] {
        let answer = client.ask(Request::builder().method(method).uri(uri).body(()).unwrap()).await;
        assert_eq!((answer.status, answer.field("x-ringhold-reason")), (405, Some("MethodNotAllowed")), "{method}");
    }
    assert_eq!(client.ask(get("http://a.example/")).await.status, 200);
}

#[tokio::test]
async fn a_question_about_the_server_stays_one() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    for (stream, path) in [(1, "*"), (3, "/")] {
        let head = [(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a.example"), (":path", path)];
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(&head)).await;
        let body = String::from_utf8(frames.next_of(DATA).await.unwrap().payload).unwrap();
        assert!(body.starts_with(&format!("OPTIONS {path}\n")), "{body}");
    }
}

#[tokio::test]
async fn the_asterisk_is_a_target_for_options_alone() {
    let mirror = Replica::mirror().await;
    let fixture = Fixture::start(&[mirror.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    for (stream, method, requests) in [(1, "GET", 0), (3, "OPTIONS", 1), (5, "POST", 1)] {
        let head = [(":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", "*")];
        frames.send(HEADERS, END_STREAM | END_HEADERS, stream, &block(&head)).await;
        assert_eq!(frames.next_of(HEADERS).await.unwrap().stream, stream);
        assert_eq!(mirror.requests(), requests, "{method}");
    }
}
