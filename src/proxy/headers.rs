//! What a proxy changes on heads, both ways: hop-by-hop fields go (RFC 9110 §7.6.1), forwarding fields come.
//! Heads are changed in place.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::proxy::errors::REASON_HEADER;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Fields that a Connection header may not take away: they decide where a message goes, where it ends or who sent it.
const NOT_NOMINABLE: [HeaderName; 5] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, AUTHORIZATION, FORWARDED];

/// Prepares a request's head for the replica. Returns the protocol that the client wants to switch to.
pub(super) fn prepare_request(headers: &mut HeaderMap, version: Version, peer: &HeaderValue) -> Option<HeaderValue> {
    let upgrade = wanted_upgrade(headers, version);
    let keep_trailers = headers.contains_key(TE) && names(headers, &TE, "trailers");
    if version == Version::HTTP_2 {
        prepare_http2(headers);
    } else {
        strip_hop_by_hop(headers);
    }
    headers.remove(PROXY_AUTHORIZATION);
    if keep_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocol) = &upgrade {
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    forwarded(headers, version, peer);
    upgrade
}

/// Prepares a response's head for the client.
pub(super) fn prepare_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
    // Says that an answer is ours.
    headers.remove(REASON_HEADER);
}

/// Whether the body has no transfer coding but `chunked`, once: another would be lost, for each hop codes anew.
pub(super) fn is_coding_supported(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Says of a request without known length that it has a body, which hyper would not assume of a GET.
pub(super) fn set_chunked(headers: &mut HeaderMap) {
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(members)
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .filter(|name| !NOT_NOMINABLE.contains(name))
            .collect();
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(TE);
    headers.remove(UPGRADE);
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // It decided where the body ended; a length beside it is an error or an attack (RFC 9112 §6.3).
        headers.remove(CONTENT_LENGTH);
    } else {
        // Only chunks can have trailers; hyper passes on those that are announced.
        headers.remove(TRAILER);
    }
}

/// HTTP/2 has no hop-by-hop fields but TE: whoever sends others gets its stream reset (RFC 9113 §8.2.2).
fn prepare_http2(headers: &mut HeaderMap) {
    headers.remove(TE);
    if headers.contains_key(CONTENT_LENGTH) {
        // Goes on without chunks, so without trailers.
        headers.remove(TRAILER);
    }
    join_cookies(headers);
}

/// A cookie may come in crumbs, for the compression's sake; HTTP/1 knows one field only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
}

/// Nothing that the client says about its origin is believed: there are no trusted peers yet.
fn forwarded(headers: &mut HeaderMap, version: Version, peer: &HeaderValue) {
    headers.remove(FORWARDED);
    headers.remove(X_FORWARDED_PORT);
    headers.remove(X_REAL_IP);
    headers.insert(X_FORWARDED_FOR, peer.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match headers.get(HOST).cloned() {
        Some(host) => headers.insert(X_FORWARDED_HOST, host),
        None => headers.remove(X_FORWARDED_HOST),
    };
    let via = match version {
        Version::HTTP_2 => "2.0 ringhold",
        Version::HTTP_11 => "1.1 ringhold",
        _ => "1.0 ringhold",
    };
    headers.append(VIA, HeaderValue::from_static(via));
}

fn wanted_upgrade(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let wanted = version == Version::HTTP_11 && names(headers, &CONNECTION, "upgrade");
    // h2c is a hop of its own (RFC 9113 §3.1): never tunnelled, or a client could reach past every rule here.
    let h2c = members(protocol).any(|token| token.eq_ignore_ascii_case(b"h2c"));
    (wanted && !h2c).then(|| protocol.clone())
}

fn names(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    headers.get_all(field).iter().flat_map(members).any(|name| name.eq_ignore_ascii_case(token.as_bytes()))
}

/// The members of a list (RFC 9110 §5.6.1).
fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn nominated_fields_go_except_those_that_frame_route_or_authenticate() {
        let mut headers = map(&[
            ("connection", "x-secret, Host, content-length,authorization , forwarded"),
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("host", "a"),
            ("content-length", "3"),
            ("authorization", "b"),
            ("accept", "c"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a"), ("content-length", "3"), ("authorization", "b"), ("accept", "c")]));
    }

    #[test]
    fn only_trailers_survive_of_te() {
        let peer = HeaderValue::from_static("10.0.0.7");
        let mut headers = map(&[("te", "gzip, Trailers")]);
        prepare_request(&mut headers, Version::HTTP_11, &peer);
        assert_eq!(headers["te"], "trailers");
        let mut headers = map(&[("te", "gzip")]);
        prepare_request(&mut headers, Version::HTTP_11, &peer);
        assert!(!headers.contains_key("te"));
    }

    #[test]
    fn an_upgrade_must_be_nominated_and_is_never_h2c() {
        let peer = HeaderValue::from_static("10.0.0.7");
        let wanted = |fields| prepare_request(&mut map(fields), Version::HTTP_11, &peer);
        assert_eq!(
            wanted(&[("connection", "Upgrade"), ("upgrade", "websocket")]),
            Some(HeaderValue::from_static("websocket"))
        );
        assert_eq!(wanted(&[("upgrade", "websocket")]), None);
        assert_eq!(wanted(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]), None);
    }
}
