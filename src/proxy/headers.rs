//! What a proxy changes on heads, both ways: hop-by-hop fields go (RFC 9110 §7.6.1), forwarding fields come.
//! Heads are changed in place.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, EXPECT,
    FORWARDED, HOST, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};

use crate::proxy::errors::{REASON_HEADER, Reason};
use crate::proxy::message::{Fields, Request};
use crate::proxy::origin::{Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REAL_IP};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that decide where a message goes, where it ends or who sent it. A Connection header may not take them away.
const NOT_NOMINABLE: [HeaderName; 11] = [
    HOST,
    CONTENT_LENGTH,
    AUTHORIZATION,
    COOKIE,
    FORWARDED,
    VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PROTO,
    X_REAL_IP,
];
/// Fields that CGI and its kin would take for ours if they came with a `_` for a `-`: they make one variable of both.
const NOT_ALIASABLE: [HeaderName; 10] = [
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PROTO,
    X_REAL_IP,
    REASON_HEADER,
];
/// Fields that mean nothing behind a body, except to who merges them into the head (RFC 9110 §6.5.1).
const NOT_TRAILING: [HeaderName; 16] = [
    CONNECTION,
    KEEP_ALIVE,
    TE,
    TRAILER,
    UPGRADE,
    EXPECT,
    RANGE,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CONTENT_TYPE,
    SET_COOKIE,
    LOCATION,
    TRANSFER_ENCODING,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
];

/// Which fields that ask for something a head has, found in one pass: most heads have hardly any, and to look for each of
/// them by its name would cost more than all else here.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    connection: bool,
    /// Any of those that belong to a connection, Connection itself aside.
    hop_by_hop: bool,
    length: bool,
    /// Any that says who asked.
    forwarded: bool,
    alias: bool,
    proxy_authorization: bool,
    proxy_authenticate: bool,
    reason: bool,
}

/// Prepares a request's head for the replica. Returns the protocol that the client wants to switch to.
///
/// # Errors
/// Connection names a field that is not a connection's.
pub(super) fn prepare_request(
    headers: &mut Fields,
    version: Version,
    origin: &Origin,
    scheme: &'static str,
) -> Result<Option<HeaderValue>, Reason> {
    let found = Found::of(headers);
    let upgrade = if found.hop_by_hop { wanted_upgrade(headers, version) } else { None };
    let keep_trailers = found.hop_by_hop && names(headers, &TE, "trailers");
    if found.connection && nominated(headers).any(|name| NOT_NOMINABLE.contains(&name)) {
        return Err(Reason::BadConnection);
    }
    if version == Version::HTTP_2 {
        prepare_http2(headers);
    } else {
        strip_hop_by_hop(headers, found);
    }
    if found.alias {
        headers.retain(|name| !is_alias(name));
    }
    if found.proxy_authorization {
        headers.remove(PROXY_AUTHORIZATION);
    }
    if found.length {
        // What is no length has been refused.
        let _ = normalize_length(headers);
    }
    if keep_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocol) = &upgrade {
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    origin.sign(headers, scheme, found.forwarded);
    let via = match version {
        Version::HTTP_2 => "2.0 ringhold",
        Version::HTTP_11 => "1.1 ringhold",
        _ => "1.0 ringhold",
    };
    headers.append(VIA, HeaderValue::from_static(via));
    Ok(upgrade)
}

/// Prepares a response's head for the client.
pub(super) fn prepare_response(headers: &mut Fields) {
    let found = Found::of(headers);
    strip_hop_by_hop(headers, found);
    if found.proxy_authenticate {
        headers.remove(PROXY_AUTHENTICATE);
    }
    if found.reason {
        // Says that an answer is ours.
        headers.remove(REASON_HEADER);
    }
}

/// Whether the body has no transfer coding but `chunked`, once: another would be lost, for each hop codes anew.
pub(super) fn is_coding_supported(headers: &Fields) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING);
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Whether the request expects nothing but `100-continue` (RFC 9110 §10.1.1).
pub(super) fn is_expectation_known(headers: &Fields) -> bool {
    headers.get_all(EXPECT).all(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// What goes to a replica as HTTP/1.1, as the same on HTTP/2 (RFC 9113 §8.2.2, §8.3.1).
pub(super) fn to_http2<H, B>(head: &Request<H>, scheme: Scheme, body: B) -> http::Request<B> {
    let mut request = http::Request::new(body);
    request.method_mut().clone_from(head.method());
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().reserve(head.headers().len());
    for (name, value) in head.headers().iter() {
        if ![CONNECTION, TRANSFER_ENCODING, HOST].contains(name) {
            request.headers_mut().append(name, value.clone());
        }
    }
    let host = head.headers().get(HOST);
    let mut target = head.uri().clone().into_parts();
    target.scheme = Some(scheme);
    target.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Ok(target) = Uri::from_parts(target) {
        *request.uri_mut() = target;
    }
    request
}

/// Says of an answer on HTTP/2 what HTTP/1 would say of one that may have trailers.
pub(super) fn from_http2(headers: &mut Fields) {
    headers.remove(TRANSFER_ENCODING);
    if headers.contains_key(TRAILER) && !headers.contains_key(CONTENT_LENGTH) {
        set_chunked(headers);
    }
}

/// Says of a message without known length that it has a body.
pub(super) fn set_chunked(headers: &mut Fields) {
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

/// Removes what a body's end can't say.
pub(super) fn prepare_trailers(trailers: &mut HeaderMap) {
    let passes_not = |name: &&HeaderName| {
        NOT_TRAILING.contains(name) || NOT_NOMINABLE.contains(name) || is_alias(name) || **name == REASON_HEADER
    };
    while let Some(name) = trailers.keys().find(passes_not).cloned() {
        trailers.remove(name);
    }
}

/// Writes Content-Length in the one way that nobody reads otherwise: once, without leading zeros. False if it is no
/// length, or more than one.
#[must_use]
pub(super) fn normalize_length(headers: &mut Fields) -> bool {
    {
        let mut values = headers.get_all(CONTENT_LENGTH);
        let Some(first) = values.next() else { return true };
        if values.next().is_none() && is_plain(first.as_bytes()) {
            return true;
        }
    }
    let length = only_length(headers);
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    length.is_some()
}

/// What all values and members of Content-Length say, if they say the same.
fn only_length(headers: &Fields) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).flat_map(members).map(|member| {
        let digits = std::str::from_utf8(member).ok().filter(|text| !text.starts_with('+'));
        digits.and_then(|digits| digits.parse::<u64>().ok())
    });
    let length = lengths.next().flatten();
    length.filter(|_| lengths.all(|other| other == length))
}

/// A number that fits 64 bits whatever its digits are.
fn is_plain(digits: &[u8]) -> bool {
    let is_short = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_short && (digits[0] != b'0' || digits.len() == 1)
}

fn is_alias(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let same = |(left, right): (&u8, &u8)| left == right || (*left, *right) == (b'_', b'-');
    let aliases = |ours: &HeaderName| {
        let ours = ours.as_str().as_bytes();
        ours.len() == name.len() && name.iter().zip(ours).all(same)
    };
    name.contains(&b'_') && NOT_ALIASABLE.iter().any(aliases)
}

/// What Connection names and is not removed in any case.
fn nominated(headers: &Fields) -> impl Iterator<Item = HeaderName> {
    const REMOVED: [&str; 5] = ["close", "keep-alive", "te", "transfer-encoding", "upgrade"];
    let is_removed = |name: &&[u8]| REMOVED.iter().any(|removed| name.eq_ignore_ascii_case(removed.as_bytes()));
    let members = headers.get_all(CONNECTION).flat_map(members);
    members.filter(move |name| !is_removed(name)).filter_map(|name| HeaderName::from_bytes(name).ok())
}

/// Whether the replica switches to nothing that the client has not offered (RFC 9110 §7.8).
pub(super) fn is_offered(offered: &HeaderValue, chosen: &HeaderValue) -> bool {
    members(chosen).all(|chosen| members(offered).any(|offered| offered.eq_ignore_ascii_case(chosen)))
}

fn strip_hop_by_hop(headers: &mut Fields, found: Found) {
    if found.connection {
        let nominated: Vec<HeaderName> = nominated(headers).filter(|name| !NOT_NOMINABLE.contains(name)).collect();
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if !found.hop_by_hop {
        return;
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(TE);
    headers.remove(UPGRADE);
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // It decided where the body ended; a length beside it is an error or an attack (RFC 9112 §6.3).
        headers.remove(CONTENT_LENGTH);
    } else {
        // Only chunks can have trailers, and only those pass that are announced.
        headers.remove(TRAILER);
    }
}

impl Found {
    fn of(headers: &Fields) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => found.connection = true,
                "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {
                    found.hop_by_hop = true;
                }
                "content-length" => found.length = true,
                "forwarded" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-proto"
                | "x-real-ip" => found.forwarded = true,
                "proxy-authorization" => found.proxy_authorization = true,
                "proxy-authenticate" => found.proxy_authenticate = true,
                "x-ringhold-reason" => found.reason = true,
                other => found.alias |= other.contains('_'),
            }
        }
        found
    }
}

/// HTTP/2 has no hop-by-hop fields but TE: whoever sends others gets its stream reset (RFC 9113 §8.2.2).
fn prepare_http2(headers: &mut Fields) {
    headers.remove(TE);
    if headers.contains_key(CONTENT_LENGTH) {
        // Goes on without chunks, so without trailers.
        headers.remove(TRAILER);
    }
    join_cookies(headers);
}

/// A cookie may come in crumbs, for the compression's sake; HTTP/1 knows one field only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut Fields) {
    if headers.get_all(COOKIE).nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).map(HeaderValue::as_bytes).collect();
    if let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
}

fn wanted_upgrade(headers: &Fields, version: Version) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let wanted = version == Version::HTTP_11 && names(headers, &CONNECTION, "upgrade");
    // h2c is a hop of its own (RFC 9113 §3.1): never tunnelled, or a client could reach past every rule here.
    let h2c = members(protocol).any(|token| token.eq_ignore_ascii_case(b"h2c"));
    (wanted && !h2c).then(|| protocol.clone())
}

pub(super) fn names(headers: &Fields, field: &HeaderName, token: &str) -> bool {
    headers.get_all(field).flat_map(members).any(|name| name.eq_ignore_ascii_case(token.as_bytes()))
}

/// The members of a list (RFC 9110 §5.6.1).
pub(super) fn members(value: &HeaderValue) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin::new([10, 0, 0, 7].into(), &[], false)
    }

    #[test]
    fn nominated_fields_go_except_those_that_frame_route_or_authenticate() {
        let mut headers = Fields::of(&[
            ("connection", "x-secret, Host, content-length,authorization , forwarded"),
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("host", "a"),
            ("content-length", "3"),
            ("authorization", "b"),
            ("accept", "c"),
        ]);
        let found = Found::of(&headers);
        strip_hop_by_hop(&mut headers, found);
        assert_eq!(
            headers,
            Fields::of(&[("host", "a"), ("content-length", "3"), ("authorization", "b"), ("accept", "c")])
        );
    }

    #[test]
    fn a_request_whose_connection_names_such_a_field_is_refused() {
        for name in NOT_NOMINABLE {
            let mut headers = Fields::of(&[("host", "a"), ("connection", "keep-alive")]);
            headers.append(CONNECTION, HeaderValue::from_str(&format!("x , {name}")).unwrap());
            let prepared = prepare_request(&mut headers, Version::HTTP_11, &origin(), "http");
            assert_eq!(prepared, Err(Reason::BadConnection), "{name}");
        }
    }

    #[test]
    fn a_length_is_written_in_one_way() {
        let normal = |values: &[&'static str]| {
            let mut headers = Fields::default();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            normalize_length(&mut headers).then(|| headers.get_all(CONTENT_LENGTH).cloned().collect::<Vec<_>>())
        };
        assert_eq!(normal(&[]), Some(vec![]));
        for same in [&["5"][..], &["05"], &["5", "5"], &["5,5"], &["5 , 005", "5"], &["00000000000000000000000005"]] {
            assert_eq!(normal(same), Some(vec![HeaderValue::from_static("5")]), "{same:?}");
        }
        for plain in ["0", "9999999999999999999", "18446744073709551615"] {
            assert_eq!(normal(&[plain]), Some(vec![HeaderValue::from_static(plain)]));
        }
        for wrong in [&[""][..], &["5,"], &["+5"], &["-5"], &["5", "6"], &["5,6"], &["x"], &["5", ""], &["0x5"]] {
            assert_eq!(normal(wrong), None, "{wrong:?}");
        }
        assert_eq!(normal(&["18446744073709551616"]), None);
    }

    #[test]
    fn only_trailers_survive_of_te() {
        let mut headers = Fields::of(&[("te", "gzip, Trailers")]);
        prepare_request(&mut headers, Version::HTTP_11, &origin(), "http").unwrap();
        assert_eq!(headers.get(TE), Some(&HeaderValue::from_static("trailers")));
        let mut headers = Fields::of(&[("te", "gzip")]);
        prepare_request(&mut headers, Version::HTTP_11, &origin(), "http").unwrap();
        assert!(!headers.contains_key(TE));
    }

    #[test]
    fn an_upgrade_must_be_nominated_and_is_never_h2c() {
        let wanted = |fields| prepare_request(&mut Fields::of(fields), Version::HTTP_11, &origin(), "http").unwrap();
        assert_eq!(
            wanted(&[("connection", "Upgrade"), ("upgrade", "websocket")]),
            Some(HeaderValue::from_static("websocket"))
        );
        assert_eq!(wanted(&[("upgrade", "websocket")]), None);
        assert_eq!(wanted(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]), None);
    }
}
