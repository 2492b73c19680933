//! A response's head, written, and where its body ends (RFC 9112 §4 to §6).

use std::cell::RefCell;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::SizeHint;

use crate::proxy::http1::head;
use crate::proxy::message::Response;

/// Bytes of a date (RFC 9110 §5.6.7).
const DATE_BYTES: usize = 29;

thread_local! {
    /// The date of this second, as text.
    static NOW: RefCell<(u64, [u8; DATE_BYTES])> = const { RefCell::new((0, [0; DATE_BYTES])) };
}

/// What the request has said that its response depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_http_11: bool,
    pub(super) keeps_alive: bool,
    pub(super) takes_trailers: bool,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// There is none, whatever the head says of one.
    None,
    /// So many bytes more.
    Length(u64),
    Chunked,
    /// Up to the connection's end.
    Close,
}

/// Writes the head of a response whose body has this size; returns how its body is written, and whether another response
/// may follow.
pub(super) fn encode(response: &Response<()>, asked: &Asked, size: &SizeHint, out: &mut Vec<u8>) -> (Coding, bool) {
    let Asked { is_head, is_http_11, .. } = *asked;
    let status = response.status();
    encode_line(response, is_http_11, out);
    let (mut keeps_alive, mut length, mut has_date) = (asked.keeps_alive, None, false);
    for (name, value) in response.headers().iter() {
        if *name == CONNECTION {
            keeps_alive &= value != "close";
            if status != StatusCode::SWITCHING_PROTOCOLS {
                continue;
            }
        } else if *name == CONTENT_LENGTH {
            // It must not have one (RFC 9110 §8.6).
            if status.is_informational() || status == StatusCode::NO_CONTENT {
                continue;
            }
            length = parse(value);
        } else if *name == TRANSFER_ENCODING {
            continue;
        } else if *name == DATE {
            has_date = true;
        }
        head::encode_field(name, value, out);
    }
    let coding = if is_head || is_bodiless(status) { Coding::None } else { coding(length, size, is_http_11) };
    if length.is_none() {
        match (coding, size.exact()) {
            (Coding::Length(length), _) => encode_length(length, out),
            // To a HEAD what a GET would get is told, where it is known.
            (Coding::None, Some(length)) if length > 0 && is_head => encode_length(length, out),
            (Coding::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            (Coding::None | Coding::Close, _) => {}
        }
    }
    keeps_alive &= coding != Coding::Close;
    if keeps_alive != is_http_11 && status != StatusCode::SWITCHING_PROTOCOLS {
        out.extend_from_slice(if keeps_alive { b"connection: keep-alive\r\n" } else { b"connection: close\r\n" });
    }
    if !has_date {
        encode_date(out);
    }
    out.extend_from_slice(b"\r\n");
    (coding, keeps_alive)
}

/// Writes an interim response.
pub(super) fn encode_interim(response: &Response<()>, out: &mut Vec<u8>) {
    encode_line(response, true, out);
    for (name, value) in response.headers().iter() {
        head::encode_field(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The trailers that a response announces to who reads them.
pub(super) fn trailers(response: &Response<()>, asked: &Asked, coding: Coding) -> Vec<HeaderName> {
    if coding == Coding::Chunked && asked.takes_trailers { head::trailers(response.headers()) } else { Vec::new() }
}

fn encode_line(response: &Response<()>, is_http_11: bool, out: &mut Vec<u8>) {
    let version: &[u8] = if is_http_11 { b"HTTP/1.1 " } else { b"HTTP/1.0 " };
    for part in [version, response.status().as_str().as_bytes(), b" ", response.reason(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Whether responses of this status never have a body (RFC 9112 §6.3).
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn coding(length: Option<u64>, size: &SizeHint, is_http_11: bool) -> Coding {
    match length.or_else(|| size.exact()) {
        Some(length) => Coding::Length(length),
        None if is_http_11 => Coding::Chunked,
        None => Coding::Close,
    }
}

fn parse(length: &HeaderValue) -> Option<u64> {
    length.to_str().ok()?.parse().ok()
}

fn encode_length(length: u64, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "content-length: {length}\r\n");
}

/// Whoever hands on a response without a date gives it one (RFC 9110 §6.6.1).
fn encode_date(out: &mut Vec<u8>) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|(at, text)| {
        if *at != second {
            *at = second;
            // It is as long as it is.
            let _ = write!(&mut text[..], "{}", httpdate::HttpDate::from(now));
        }
        for part in [b"date: ", &text[..], b"\r\n"] {
            out.extend_from_slice(part);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { is_head: false, is_http_11: true, keeps_alive: true, takes_trailers: false };

    /// The head without its date, how the body is written, and whether another response may follow.
    fn written(response: http::response::Builder, asked: Asked, size: &SizeHint) -> (String, Coding, bool) {
        let mut out = Vec::new();
        let response = Response::from(response.body(()).expect("it is one"));
        let (coding, keeps_alive) = encode(&response, &asked, size, &mut out);
        let text = String::from_utf8(out).expect("it is ASCII");
        let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
        (lines.collect(), coding, keeps_alive)
    }

    #[test]
    fn a_body_is_framed_as_its_size_and_the_client_allow() {
        let ok = || http::Response::builder();
        let (known, unknown) = (SizeHint::with_exact(3), SizeHint::default());
        let old = Asked { is_http_11: false, ..ASKED };
        let head = Asked { is_head: true, ..ASKED };
        let length = |text: &str, rest: &str| format!("HTTP/1.1 {text}\r\ncontent-length: 3\r\n{rest}\r\n");
        assert_eq!(written(ok(), ASKED, &known), (length("200 OK", ""), Coding::Length(3), true));
        assert_eq!(
            written(ok().header("content-length", 3), ASKED, &unknown),
            (length("200 OK", ""), Coding::Length(3), true)
        );
        assert_eq!(
            written(ok(), ASKED, &unknown),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), Coding::Chunked, true)
        );
        assert_eq!(
            written(ok(), old, &unknown),
            ("HTTP/1.0 200 OK\r\n\r\n".to_owned(), Coding::Close, false),
            "an old client is told nothing, for it expects nothing else"
        );
        assert_eq!(written(ok(), head, &known), (length("200 OK", ""), Coding::None, true));
        assert_eq!(written(ok(), head, &SizeHint::with_exact(0)).0, "HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(
            written(ok().status(304).header("content-length", 3), ASKED, &unknown),
            (length("304 Not Modified", ""), Coding::None, true)
        );
        assert_eq!(
            written(ok().status(204).header("content-length", 0), ASKED, &SizeHint::with_exact(0)),
            ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Coding::None, true)
        );
    }

    #[test]
    fn a_connection_that_ends_is_said_to() {
        let size = SizeHint::with_exact(0);
        let ends = |response, asked| {
            let (head, _, keeps_alive) = written(response, asked, &size);
            (head.contains("connection: close\r\n"), head.contains("connection: keep-alive\r\n"), keeps_alive)
        };
        let old = Asked { is_http_11: false, ..ASKED };
        assert_eq!(ends(http::Response::builder(), ASKED), (false, false, true));
        assert_eq!(ends(http::Response::builder().header("connection", "close"), ASKED), (true, false, false));
        assert_eq!(ends(http::Response::builder(), Asked { keeps_alive: false, ..ASKED }), (true, false, false));
        assert_eq!(ends(http::Response::builder(), old), (false, true, true));
        assert_eq!(ends(http::Response::builder(), Asked { keeps_alive: false, ..old }), (false, false, false));
        let switching = http::Response::builder().status(101).header("connection", "upgrade").header("upgrade", "x");
        assert_eq!(
            written(switching, ASKED, &size).0,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
        );
    }

    #[test]
    fn a_date_is_told_once_and_of_now() {
        let date = |response: http::response::Builder| {
            let mut out = Vec::new();
            let response = Response::from(response.body(()).expect("it is one"));
            encode(&response, &ASKED, &SizeHint::with_exact(0), &mut out);
            let text = String::from_utf8(out).expect("it is ASCII");
            text.lines().filter_map(|line| line.strip_prefix("date: ")).map(str::to_owned).collect::<Vec<_>>()
        };
        let theirs = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(date(http::Response::builder().header("date", theirs)), [theirs]);
        for _ in 0..2 {
            let [ours] = &date(http::Response::builder())[..] else { panic!("there is one") };
            let told = httpdate::parse_http_date(ours).expect("it is a date");
            let age = SystemTime::now().duration_since(told).expect("it has been");
            assert!(age.as_secs() < 5, "{ours}");
        }
    }
}
