//! A request's key: the first source that yields one wins, and after the last a random key does.
//!
//! An empty value yields none: whoever forgot to fill in a header should not share one replica with all others who did.
//! Of several values in one source the first that is not empty counts.

use std::borrow::Cow;
use std::num::NonZeroU32;

use cookie::{Cookie, SameSite};
use http::header::COOKIE;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode;

use crate::model::{CookieKey, KeySource, RoutePolicy};
use crate::proxy::message::Fields;
use crate::proxy::metrics::Source;
use crate::ring::KeyHasher;
use crate::routes::Route;

/// What a request's key is, as far as the proxy goes on with it.
#[derive(Debug)]
pub(super) struct Key {
    /// What the ring takes.
    pub(super) hash: u64,
    /// Where it came from.
    pub(super) source: Source,
    /// The key itself, for whoever has asked to see it.
    pub(super) value: Option<Box<[u8]>>,
    /// To be set on the response.
    pub(super) set_cookie: Option<HeaderValue>,
}

/// What of a query is not shown: keys may be secrets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Concealed<'p> {
    Nothing,
    /// What this policy takes keys from.
    Keys(&'p RoutePolicy),
    /// Nobody knows what is a key: the request was refused before anybody looked whose it is.
    All,
}

/// How keys are hashed, and whether they are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'worker> {
    pub(super) hasher: &'worker KeyHasher,
    pub(super) keep: bool,
}

// === impl Concealed ===

impl<'p> Concealed<'p> {
    /// For a request to this route, or to none.
    pub(super) fn of(route: Option<&'p Route>) -> Self {
        route.map_or(Self::All, |route| Self::Keys(&route.policy))
    }
}

/// Finds the key. `source_ip` is the address of whoever asked, as text.
pub(super) fn of(policy: &RoutePolicy, headers: &Fields, uri: &Uri, source_ip: &HeaderValue, keys: Keys<'_>) -> Key {
    let hash = |key: &[u8]| keys.hasher.hash(policy.key_hash, key);
    let found =
        |key: &[u8], source| Key { hash: hash(key), source, value: keys.keep.then(|| key.into()), set_cookie: None };
    for source in &policy.hash_key {
        match source {
            KeySource::Header(name) => {
                if let Some(value) = headers.get_all(name).find(|value| !value.is_empty()) {
                    return found(value.as_bytes(), Source::Header);
                }
            }
            KeySource::Cookie(cookie) => {
                if let Some(value) = cookie_value(headers, &cookie.name) {
                    return found(value, Source::Cookie);
                }
                let value = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
                if let Some(set_cookie) = set_cookie(cookie, &value) {
                    return Key { set_cookie: Some(set_cookie), ..found(value.as_bytes(), Source::NewCookie) };
                }
            }
            KeySource::Query(name) => {
                if let Some(value) = uri.query().and_then(|query| query_value(query, name)) {
                    return found(&value, Source::Query);
                }
            }
            KeySource::Path { segments } => return found(path(uri.path(), *segments).as_bytes(), Source::Path),
            KeySource::SourceIp => return found(source_ip.as_bytes(), Source::PeerIp),
            KeySource::Random => return random(Source::Random),
        }
    }
    random(Source::None)
}

fn random(source: Source) -> Key {
    Key { hash: fastrand::u64(..), source, value: None, set_cookie: None }
}

/// The target or address without the values in its query that are not to be shown.
pub(super) fn conceal<'t>(what: Concealed<'_>, text: Cow<'t, str>) -> Cow<'t, str> {
    let is_key = |key: &str| {
        let is_it = |source: &KeySource| matches!(source, KeySource::Query(name) if *decode(key) == *name.as_bytes());
        match what {
            Concealed::Nothing => false,
            Concealed::Keys(policy) => policy.hash_key.iter().any(is_it),
            Concealed::All => true,
        }
    };
    let Some((path, query)) = text.split_once('?') else { return text };
    let pairs =
        || query.split('&').map(|pair| pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value))));
    if !pairs().any(|(key, value)| value.is_some() && is_key(key)) {
        return text;
    }
    let shown = pairs().map(|(key, value)| match value {
        Some(_) if is_key(key) => format!("{key}=-"),
        Some(value) => format!("{key}={value}"),
        None => key.to_owned(),
    });
    format!("{path}?{}", shown.collect::<Vec<_>>().join("&")).into()
}

/// The cookie's value as sent, over all Cookie headers (RFC 6265 §4.2.1, quotes and all).
fn cookie_value<'h>(headers: &'h Fields, name: &str) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
        })
        .find_map(|(key, value)| (key == name.as_bytes() && !value.is_empty()).then_some(value))
}

fn set_cookie(key: &CookieKey, value: &str) -> Option<HeaderValue> {
    let mut cookie = Cookie::build((key.name.as_str(), value))
        .path(key.path.as_str())
        .http_only(true)
        .same_site(SameSite::Lax)
        .build();
    if !key.ttl.is_zero() {
        cookie.set_max_age(cookie::time::Duration::try_from(key.ttl).ok());
    }
    HeaderValue::from_str(&cookie.to_string()).ok()
}

/// The first parameter with this name that is not empty, decoded as forms are: `+` is a space.
fn query_value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!value.is_empty() && *decode(key) == *name.as_bytes()).then(|| decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).into();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).collect())
}

/// The path as sent, or its first so many segments.
fn path(path: &str, segments: Option<NonZeroU32>) -> &str {
    let Some(segments) = segments else { return path };
    let count = usize::try_from(segments.get()).unwrap_or(usize::MAX);
    let end = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).nth(count - 1);
    &path[..end.unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded_as_forms_are() {
        let value = |query| query_value(query, "a b").map(|value| String::from_utf8_lossy(&value).into_owned());
        assert_eq!(value("x=1&a+b=c%2Bd+e&a+b=2"), Some("c+d e".to_owned()));
        assert_eq!(value("a%20b=1"), Some("1".to_owned()));
        assert_eq!(value("ab=1"), None);
        assert_eq!(value("a+b&a+b=&a+b=1"), Some("1".to_owned()));
        assert_eq!(value("a+b"), None);
    }

    #[test]
    fn while_nobody_knows_what_is_a_key_no_value_is_shown() {
        let shown = |what, text| conceal(what, Cow::Borrowed(text)).into_owned();
        assert_eq!(shown(Concealed::All, "/x?a=1&b&c=%20=2#d"), "/x?a=-&b&c=-");
        assert_eq!(shown(Concealed::All, "/x?a"), "/x?a");
        assert_eq!(shown(Concealed::Nothing, "/x?a=1"), "/x?a=1");
    }

    #[test]
    fn a_path_key_takes_the_first_segments() {
        let first = |text, n| path(text, NonZeroU32::new(n));
        assert_eq!(first("/t/ann/x", 1), "/t");
        assert_eq!(first("/t/ann/x", 2), "/t/ann");
        assert_eq!(first("/t/ann/x", 9), "/t/ann/x");
        assert_eq!(first("/t/ann/x", 0), "/t/ann/x");
        assert_eq!(first("*", 1), "*");
    }

    #[test]
    fn a_cookie_is_found_in_any_header_by_its_whole_name() {
        let mut headers = Fields::default();
        headers.append(COOKIE, HeaderValue::from_static("xid=1; id =; a=b"));
        headers.append(COOKIE, HeaderValue::from_static("c=d;id=two=2"));
        assert_eq!(cookie_value(&headers, "id"), Some(&b"two=2"[..]));
        assert_eq!(cookie_value(&headers, "i"), None);
    }

    #[test]
    fn a_session_cookie_has_no_age() {
        let key = |ttl| CookieKey { name: "r".to_owned(), ttl, path: "/p".to_owned() };
        let text = |ttl| set_cookie(&key(ttl), "v").map(|value| format!("{value:?}"));
        assert_eq!(text(std::time::Duration::ZERO), Some("\"r=v; HttpOnly; SameSite=Lax; Path=/p\"".to_owned()));
        assert_eq!(
            text(std::time::Duration::from_secs(3600)),
            Some("\"r=v; HttpOnly; SameSite=Lax; Path=/p; Max-Age=3600\"".to_owned())
        );
    }
}
