//! A request's head, read (RFC 9112 §3 to §6).

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Uri, Version};

use crate::proxy::errors::Reason;
use crate::proxy::headers;
use crate::proxy::http1::HeadLimits;
use crate::proxy::http1::head::{Framing, Invalid};
use crate::proxy::http1::places::{self, MAX_BYTES, Places, Span};
use crate::proxy::message::{Fields, Request};

/// A request's head, and what it says of the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) framing: Framing,
    /// Whether the client takes another response here.
    pub(super) keeps_alive: bool,
    /// Its body comes once it is told to go on (RFC 9110 §10.1.1).
    pub(super) expects_continue: bool,
    /// Whether it reads trailers (RFC 9110 §10.1.4).
    pub(super) takes_trailers: bool,
}

/// What stands above the fields, and how much it is with them.
struct Line {
    length: usize,
    method: Method,
    target: Span,
    is_http_11: bool,
}

/// Which fields are there that say something of the connection.
#[derive(Default)]
struct Seen {
    connection: bool,
    length: bool,
    coding: bool,
    expect: bool,
    te: bool,
}

/// Takes the request's head if all of it is there. Its fields get the memory of the spare list.
///
/// # Errors
/// It is no head of HTTP/1, or more than one may be; nothing that follows it can be understood.
pub(super) fn take(inbox: &mut BytesMut, limits: HeadLimits, spare: &mut Fields) -> Result<Option<Head>, Reason> {
    if inbox.is_empty() {
        return Ok(None);
    }
    let most = limits.bytes.min(MAX_BYTES);
    let mut places = Places::default();
    let mut is_too_many = false;
    let parsed = parse(&inbox[..inbox.len().min(most)], limits.fields, &mut places, &mut is_too_many);
    let bad = |_: Invalid| if is_too_many { Reason::TooManyFields } else { Reason::BadRequest };
    let Some(line) = parsed.map_err(bad)? else {
        return if inbox.len() < most { Ok(None) } else { Err(Reason::HeadTooLarge) };
    };
    let Line { length, method, target, is_http_11 } = line;
    // What is behind it is rare, and cutting costs more than moving on.
    let bytes = if length == inbox.len() { std::mem::take(inbox).freeze() } else { inbox.split_to(length).freeze() };
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice(places::range(target))).map_err(|_| Reason::BadRequest)?;
    *request.method_mut() = method;
    *request.version_mut() = if is_http_11 { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = std::mem::take(spare);
    let map = request.headers_mut();
    let mut seen = Seen::default();
    places.put(&bytes, map, |name| seen.note(name)).map_err(|_| Reason::BadRequest)?;
    let framing = framing(&seen, map, is_http_11).map_err(|_| Reason::BadRequest)?;
    let says = |word| seen.connection && headers::names(map, &CONNECTION, word);
    let keeps_alive = if is_http_11 { !says("close") } else { says("keep-alive") && !says("close") };
    // Who reads both a length and chunks may have another end in mind (RFC 9112 §6.3).
    let has_two_ends = seen.coding && seen.length;
    let is_continue = |expected: &HeaderValue| expected.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let head = Head {
        framing,
        keeps_alive: keeps_alive && !has_two_ends,
        expects_continue: seen.expect && is_http_11 && map.get_all(EXPECT).any(is_continue),
        takes_trailers: seen.te && headers::names(map, &TE, "trailers"),
        request,
    };
    Ok(Some(head))
}

fn parse(bytes: &[u8], limit: usize, places: &mut Places, is_too_many: &mut bool) -> Result<Option<Line>, Invalid> {
    places.parse(bytes, limit, |slots| {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, slots).map_err(|error| {
            *is_too_many = error == httparse::Error::TooManyHeaders;
            Invalid
        })?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let method = request.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()).ok_or(Invalid)?;
        let target = places::span(bytes, request.path.ok_or(Invalid)?.as_bytes())?;
        let line = Line { length, method, target, is_http_11: request.version == Some(1) };
        Ok(Some((&*request.headers, line)))
    })
}

/// RFC 9112 §6.3.
fn framing(seen: &Seen, map: &mut Fields, is_http_11: bool) -> Result<Framing, Invalid> {
    if seen.coding {
        // HTTP/1.0 knows no codings (§6.1), and a body has to end where its last coding says.
        let last = map.get_all(TRANSFER_ENCODING).next_back().and_then(|value| headers::members(value).next_back());
        let ends = is_http_11 && last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        return if ends { Ok(Framing::Chunked) } else { Err(Invalid) };
    }
    if !seen.length {
        return Ok(Framing::None);
    }
    if !headers::normalize_length(map) {
        return Err(Invalid);
    }
    let length: Option<u64> = map.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // Some count bytes in signed numbers, and would see a negative one.
    length.filter(|length| *length <= i64::MAX as u64).map(Framing::Length).ok_or(Invalid)
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, name: &HeaderName) {
        self.connection |= *name == CONNECTION;
        self.length |= *name == CONTENT_LENGTH;
        self.coding |= *name == TRANSFER_ENCODING;
        self.expect |= *name == EXPECT;
        self.te |= *name == TE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 10 };

    fn read(text: &str) -> Result<Option<(Head, String)>, Reason> {
        let mut inbox = BytesMut::from(text);
        let head = take(&mut inbox, LIMITS, &mut Fields::default())?;
        Ok(head.map(|head| (head, String::from_utf8(inbox.to_vec()).expect("it is ASCII"))))
    }

    #[test]
    fn a_head_says_where_its_body_ends_and_what_becomes_of_the_connection() {
        let said = |head: &str| {
            let (head, rest) = read(&format!("{head}\r\n\r\nrest")).expect("it is one").expect("it is whole");
            assert_eq!(rest, "rest");
            (head.framing, head.keeps_alive)
        };
        for (head, framing, keeps_alive) in [
            ("GET / HTTP/1.1", Framing::None, true),
            ("GET / HTTP/1.1\r\nConnection: x, Close", Framing::None, false),
            ("GET / HTTP/1.0", Framing::None, false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive", Framing::None, true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive, close", Framing::None, false),
            ("POST / HTTP/1.1\r\nContent-Length: 3", Framing::Length(3), true),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 03", Framing::Length(3), true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked", Framing::Chunked, true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3", Framing::Chunked, false),
        ] {
            assert_eq!(said(head), (framing, keeps_alive), "{head:?}");
        }
    }

    #[test]
    fn wishes_are_those_of_http_11_alone() {
        let said = |head: &str| {
            let (head, _) = read(&format!("{head}\r\n\r\n")).expect("it is one").expect("it is whole");
            (head.expects_continue, head.takes_trailers)
        };
        assert_eq!(said("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nTE: gzip, trailers"), (true, true));
        assert_eq!(said("POST / HTTP/1.0\r\nExpect: 100-continue\r\nTE: gzip"), (false, false));
        assert_eq!(said("POST / HTTP/1.1\r\nExpect: x"), (false, false));
    }

    #[test]
    fn what_is_no_request_is_refused_for_a_reason() {
        let (long, many) = ("x".repeat(LIMITS.bytes), "a: b\r\n".repeat(LIMITS.fields + 1));
        for (head, reason) in [
            ("GET / HTTP/1.1\r\na : b".to_owned(), Reason::BadRequest),
            ("GET / HTTP/1.1\r\na: b\r\n c".to_owned(), Reason::BadRequest),
            ("GET / HTTP/2.0".to_owned(), Reason::BadRequest),
            ("GET  / HTTP/1.1".to_owned(), Reason::BadRequest),
            ("G@T / HTTP/1.1".to_owned(), Reason::BadRequest),
            ("GET /".to_owned(), Reason::BadRequest),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4".to_owned(), Reason::BadRequest),
            ("POST / HTTP/1.1\r\nContent-Length: 9223372036854775808".to_owned(), Reason::BadRequest),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip".to_owned(), Reason::BadRequest),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked".to_owned(), Reason::BadRequest),
            (format!("GET / HTTP/1.1\r\na: {long}"), Reason::HeadTooLarge),
            (format!("GET / HTTP/1.1\r\n{many}"), Reason::TooManyFields),
        ] {
            assert_eq!(read(&format!("{head}\r\n\r\n")).err(), Some(reason), "{head:?}");
        }
        // However it arrives.
        assert_eq!(read(&"x".repeat(LIMITS.bytes)).err(), Some(Reason::HeadTooLarge));
        assert!(read("GET / HTTP/1.1\r\na: b\r\n").expect("it may become one").is_none());
    }
}
