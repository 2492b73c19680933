//! Heads: the request's written, the response's read (RFC 9112 §2 to §6).

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::proxy::headers;
use crate::proxy::http1::HeadLimits;
use crate::proxy::http1::places::{self, MAX_BYTES, Places, Span};
use crate::proxy::message::{Fields, Request, Response};

/// A response's head.
#[derive(Debug)]
pub(in crate::proxy) struct Head {
    pub(super) status: StatusCode,
    /// The words after the status, where they are not the usual ones.
    pub(super) reason: Option<Bytes>,
    pub(super) headers: Fields,
    pub(super) framing: Framing,
    /// Whether the replica will take another request here.
    pub(super) keeps_alive: bool,
}

/// Where a response's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// What stands above the fields, and how much it is with them.
struct Line {
    length: usize,
    status: StatusCode,
    reason: Option<Span>,
    is_http_11: bool,
}

/// It is not HTTP/1, or could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invalid;

impl Head {
    pub(super) fn into_response<B>(self, body: B) -> Response<B> {
        let Self { status, reason, headers, framing: _, keeps_alive: _ } = self;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.set_reason(reason);
        response
    }
}

/// Writes a request's head.
pub(super) fn encode<B>(head: &Request<B>, out: &mut Vec<u8>) {
    let target = head.uri().path_and_query().map_or("/", |target| target.as_str());
    // An absolute target may lack a path (RFC 9112 §3.2.1).
    let root = if target.starts_with(['/', '*']) { "" } else { "/" };
    for part in [head.method().as_str(), " ", root, target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in head.headers().iter() {
        encode_field(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn encode_field(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    out.reserve(name.as_str().len() + value.len() + 4);
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Whether the request's body has to be sent in chunks: so says the head, where its length is not known.
pub(super) fn is_chunked(headers: &Fields) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
}

/// The trailers that the request announces.
pub(super) fn trailers(headers: &Fields) -> Vec<HeaderName> {
    let names = headers.get_all(TRAILER).flat_map(headers::members);
    names.filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

/// Takes the response's head if all of it is there. Its fields get the memory of the spare list.
pub(super) fn take(
    inbox: &mut BytesMut,
    method: &Method,
    limits: HeadLimits,
    spare: &mut Fields,
) -> Result<Option<Head>, Invalid> {
    if inbox.is_empty() {
        return Ok(None);
    }
    let most = limits.bytes.min(MAX_BYTES);
    let mut places = Places::default();
    let Some(line) = parse(&inbox[..inbox.len().min(most)], limits.fields, &mut places)? else {
        return if inbox.len() < most { Ok(None) } else { Err(Invalid) };
    };
    let bytes = inbox.split_to(line.length).freeze();
    let mut headers = std::mem::take(spare);
    places.put(&bytes, &mut headers, |_| {})?;
    let (framing, is_certain) = framing(line.status, line.is_http_11, &mut headers, method)?;
    let keeps_alive = line.is_http_11 && is_certain && framing != Framing::Close && !says_close(&headers);
    let reason = line.reason.map(|reason| bytes.slice(places::range(reason)));
    Ok(Some(Head { status: line.status, reason, headers, framing, keeps_alive }))
}

fn parse(bytes: &[u8], limit: usize, places: &mut Places) -> Result<Option<Line>, Invalid> {
    places.parse(bytes, limit, |slots| {
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, slots);
        let httparse::Status::Complete(length) = parsed.map_err(|_| Invalid)? else { return Ok(None) };
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Invalid)?;
        let reason = response.reason.filter(|reason| Some(*reason) != status.canonical_reason());
        let reason = reason.map(|reason| places::span(bytes, reason.as_bytes())).transpose()?;
        let line = Line { length, status, reason, is_http_11: response.version == Some(1) };
        Ok(Some((&*response.headers, line)))
    })
}

/// RFC 9112 §6.3, and whether the replica is certain to see it in the same way: one that says more of a body than counts
/// may yet send it, and what it sends late would be taken for the next response.
fn framing(
    status: StatusCode,
    is_http_11: bool,
    headers: &mut Fields,
    method: &Method,
) -> Result<(Framing, bool), Invalid> {
    if status.is_informational() {
        return Ok((Framing::None, true)); // whatever else it says
    }
    if !headers::normalize_length(headers) {
        return Err(Invalid);
    }
    let length: Option<u64> = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_chunked = is_chunked_alone(headers)?;
    if is_chunked && !is_http_11 {
        return Err(Invalid); // HTTP/1.0 knows no codings (§6.1): whoever sends this is not understood
    }
    let is_empty = status == StatusCode::NO_CONTENT;
    let is_unchanged = status == StatusCode::NOT_MODIFIED;
    // The length of what has not changed is that of what a GET would get (RFC 9110 §8.6).
    let claims_body =
        (is_chunked && (is_empty || is_unchanged)) || (is_empty && length.is_some_and(|length| length > 0));
    let has_two_ends = claims_body || (is_chunked && length.is_some());
    let framing = match length {
        _ if is_empty || is_unchanged || method == Method::HEAD => Framing::None,
        _ if is_chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    };
    Ok((framing, !has_two_ends))
}

/// Whether the body comes in chunks. Any other coding is one that would be lost here.
fn is_chunked_alone(headers: &Fields) -> Result<bool, Invalid> {
    let is_coded = headers.contains_key(TRANSFER_ENCODING);
    if headers::is_coding_supported(headers) { Ok(is_coded) } else { Err(Invalid) }
}

fn says_close(headers: &Fields) -> bool {
    headers.contains_key(CONNECTION) && headers::names(headers, &CONNECTION, "close")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 10 };

    /// Framing, whether another request may follow, and what is left behind the head.
    fn read(method: &Method, text: &str) -> Result<Option<(Framing, bool, String)>, Invalid> {
        let mut inbox = BytesMut::from(text);
        let head = take(&mut inbox, method, LIMITS, &mut Fields::default())?;
        let rest = String::from_utf8(inbox.to_vec()).expect("it is ASCII");
        Ok(head.map(|head| (head.framing, head.keeps_alive, rest)))
    }

    #[test]
    fn a_body_ends_where_rfc_9112_says() {
        let get = |head: &str| {
            read(&Method::GET, &format!("{head}\r\n\r\nx")).map(|read| read.map(|(end, alive, _)| (end, alive)))
        };
        for (head, framing, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3", Framing::Length(3), true),
            ("HTTP/1.1 200 \r\ncontent-length: 3\r\ncontent-length: 3, 3", Framing::Length(3), true),
            ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked", Framing::Chunked, false),
            ("HTTP/1.1 200 OK", Framing::Close, false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: a, Close", Framing::Length(3), false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive", Framing::Length(3), false),
            ("HTTP/1.1 204 No Content", Framing::None, true),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 0", Framing::None, true),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 3", Framing::None, false),
            ("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked", Framing::None, false),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 3", Framing::None, true),
            ("HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked", Framing::None, false),
            ("HTTP/1.1 103 Early Hints", Framing::None, true),
        ] {
            assert_eq!(get(head), Ok(Some((framing, keeps_alive))), "{head:?}");
        }
        assert_eq!(
            read(&Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"),
            Ok(Some((Framing::None, true, String::new())))
        );
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for head in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4",
            "HTTP/1.1 200 OK\r\ncontent-length: 3, 4",
            "HTTP/1.1 200 OK\r\ncontent-length: +3",
            "HTTP/1.1 200 OK\r\ncontent-length: 3,",
            "HTTP/1.1 200 OK\r\ncontent-length:",
            "HTTP/1.1 200 OK\r\ncontent-length: 0x3",
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: x",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
            "HTTP/1.1 200 OK\r\na : b",
            "HTTP/1.1 200 OK\r\n a: b",
            "HTTP/1.1 200 OK\r\na: b\r\n c",
            "HTTP/1.1 200 OK\r\na: \0",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 099 OK",
            "HTTP/2.0 200 OK",
            "200 OK",
        ] {
            assert_eq!(read(&Method::GET, &format!("{head}\r\n\r\n")), Err(Invalid), "{head:?}");
        }
        let fields = "a: b\r\n".repeat(LIMITS.fields + 1);
        assert_eq!(read(&Method::GET, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), Err(Invalid));
        assert_eq!(read(&Method::GET, &format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(LIMITS.bytes))), Err(Invalid));
    }

    #[test]
    fn half_a_head_is_left_where_it_is() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        for end in 0..whole.len() - 3 {
            assert_eq!(read(&Method::GET, &whole[..end]), Ok(None));
        }
        assert_eq!(read(&Method::GET, whole), Ok(Some((Framing::Length(3), true, "abc".to_owned()))));
    }
}
