//! Keys: what the simplest reading of a request says its key is, is its key; and a cookie that we set is one when it comes
//! back.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderName, HeaderValue, Uri};

use crate::model::{CookieKey, KeySource, Limits, Listener, Retries, RoutePolicy, TargetProtocol, Timeouts};
use crate::proxy::key::{self, Keys};
use crate::proxy::message::Fields;
use crate::proxy::metrics::Source;
use crate::proxy::origin::Origin;
use crate::ring::{KeyHash, KeyHasher, RingSpec};

/// Names of headers, cookies and parameters, with some that want decoding.
const NAMES: [&str; 4] = ["id", "x-user-id", "a+b", "ü b"];
const CLIENT: &str = "192.0.2.7";
const PROXY: &str = "10.0.0.7";
/// Where proxies are that speak for clients.
const TRUSTED: [&str; 2] = ["10.0.0.0/8", "2001:db8::/32"];
const HASHES: [KeyHash; 3] = [KeyHash::SipHash, KeyHash::Xxh3, KeyHash::Crc32];

/// `sources` says which sources there are, `text` is a target in a line and then fields, each in a line.
pub(super) fn check(sources: u8, hash: u8, text: &[u8]) {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Some(Ok(uri)) = lines.next().map(Uri::try_from) else { return };
    let mut headers = Fields::default();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]))
        else {
            continue;
        };
        headers.append(name, value);
    }
    let trusted = TRUSTED.map(|range| range.parse().expect("it is a range"));
    let peer = if hash & 0x80 == 0 { CLIENT } else { PROXY };
    let origin = Origin::new(peer.parse().expect("it is an address"), &trusted, false);
    let hasher = KeyHasher::new(b"0123456789abcdef");
    let policy = policy(sources, HASHES[usize::from(hash) % HASHES.len()]);
    let of = |headers: &Fields| {
        let keys = Keys { hasher: &hasher, keep: true };
        key::of(&policy, headers, &uri, &origin.source(headers, &trusted), keys)
    };
    let found = of(&headers);
    let is_hash = |key: &[u8]| found.hash == hasher.hash(policy.key_hash, key);
    assert!(found.value.as_ref().is_none_or(|key| is_hash(key) && key.len() <= text.len().max(45)));

    let expected = policy.hash_key.iter().find_map(|source| naive(source, &headers, &uri, peer));
    match (found.source, &found.set_cookie) {
        (Source::Random | Source::None, None) => {
            assert!(expected.is_none_or(|expected| expected == Naive::Random), "no key, where there is one");
        }
        (Source::NewCookie, Some(set_cookie)) => {
            assert_eq!(expected, Some(Naive::NewCookie));
            // What a browser makes of it (RFC 6265 §5.2): the text up to the first semicolon.
            let set_cookie = set_cookie.as_bytes();
            let pair = set_cookie.split(|byte| *byte == b';').next().unwrap_or_default();
            headers.append(COOKIE, HeaderValue::from_bytes(pair).expect("it was a value"));
            let again = of(&headers);
            assert_eq!((again.hash, again.source, again.set_cookie), (found.hash, Source::Cookie, None));
        }
        (_, None) => {
            let Some(Naive::Key(expected)) = expected else {
                panic!("a key by {:?}, where there is none", found.source)
            };
            assert_eq!(found.value.as_deref(), Some(&expected[..]), "not the key");
            headers.append(HeaderName::from_static("x-beside"), HeaderValue::from_static("1"));
            let again = of(&headers);
            assert_eq!((again.hash, again.source), (found.hash, found.source), "another field changes the key");
        }
        (source, Some(cookie)) => panic!("{source:?} sets a cookie: {cookie:?}"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Naive {
    Key(Vec<u8>),
    NewCookie,
    Random,
}

/// The key by this source, read in the plainest way.
fn naive(source: &KeySource, headers: &Fields, uri: &Uri, peer: &str) -> Option<Naive> {
    let values = |name: &HeaderName| {
        let values = headers.get_all(name).map(|value| value.as_bytes().to_vec());
        values.collect::<Vec<_>>().into_iter()
    };
    match source {
        KeySource::Header(name) => values(name).find(|value| !value.is_empty()).map(Naive::Key),
        KeySource::Cookie(CookieKey { name, .. }) => {
            let pairs: Vec<u8> = values(&COOKIE).collect::<Vec<_>>().join(&b';');
            for pair in pairs.split(|byte| *byte == b';') {
                let mut sides = pair.splitn(2, |byte| *byte == b'=');
                let (Some(key), Some(value)) = (sides.next(), sides.next()) else { continue };
                if key.trim_ascii() == name.as_bytes() && !value.trim_ascii().is_empty() {
                    return Some(Naive::Key(value.trim_ascii().to_vec()));
                }
            }
            Some(Naive::NewCookie)
        }
        KeySource::Query(name) => {
            let text = uri.to_string();
            let query = text.split_once('?').map_or("", |(_, query)| query);
            for pair in query.split('&') {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                if form_decoded(key) == name.as_bytes() && !value.is_empty() {
                    return Some(Naive::Key(form_decoded(value)));
                }
            }
            None
        }
        KeySource::Path { segments } => {
            let path = uri.path().as_bytes();
            let most = segments.map_or(usize::MAX, |segments| segments.get() as usize);
            let mut slashes = 0;
            let is_within = |(at, byte): (usize, &u8)| {
                slashes += usize::from(at > 0 && *byte == b'/');
                slashes < most
            };
            let end = path.iter().enumerate().map(is_within).position(|within| !within).unwrap_or(path.len());
            Some(Naive::Key(path[..end].to_vec()))
        }
        KeySource::SourceIp => {
            let told: Vec<u8> = values(&HeaderName::from_static("x-forwarded-for")).collect::<Vec<_>>().join(&b',');
            let told = (peer == PROXY && headers.contains_key(HeaderName::from_static("x-forwarded-for")))
                .then(|| String::from_utf8_lossy(&told));
            Some(Naive::Key(asked_by(told.as_deref(), peer).into_bytes()))
        }
        KeySource::Random => Some(Naive::Random),
    }
}

/// From the end of what proxies have told, the first that is no proxy of ours.
fn asked_by(told: Option<&str>, peer: &str) -> String {
    let mut nearest = peer.to_owned();
    for member in told.into_iter().flat_map(|told| told.split(',').rev()) {
        let member = member.trim_matches(|letter: char| letter.is_ascii_whitespace());
        let host = match member.rsplit_once(':') {
            Some((host, port)) if host.parse::<Ipv4Addr>().is_ok() || host.ends_with(']') => {
                let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
                if !is_port {
                    break;
                }
                host
            }
            _ => member,
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Ok(address) = host.parse::<IpAddr>() else { break };
        nearest = address.to_canonical().to_string();
        if !nearest.starts_with("10.") && !nearest.starts_with("2001:db8:") {
            break;
        }
    }
    nearest
}

/// As forms are (WHATWG URL, application/x-www-form-urlencoded parsing): byte by byte.
fn form_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut decoded) = (text.as_bytes(), Vec::new());
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, digit(rest.first()), digit(rest.get(1))) {
            (b'+', ..) => decoded.push(b' '),
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                bytes = &rest[2..];
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}

/// Two sources, and last one that always yields.
fn policy(sources: u8, key_hash: KeyHash) -> RoutePolicy {
    let name = NAMES[usize::from(sources >> 3) % NAMES.len()];
    let token = HeaderName::from_bytes(name.as_bytes()).unwrap_or(HeaderName::from_static("id"));
    let query = KeySource::Query(name.to_owned());
    let header = KeySource::Header(token.clone());
    let cookie =
        CookieKey { name: token.to_string(), ttl: Duration::from_secs(u64::from(sources)), path: "/".to_owned() };
    let hash_key = match sources % 8 {
        0 => vec![header],
        1 => vec![KeySource::Cookie(cookie)],
        2 => vec![query],
        3 => vec![KeySource::Path { segments: None }],
        4 => vec![KeySource::Path { segments: NonZeroU32::new(u32::from(sources >> 5)) }],
        5 if sources & 0x20 == 0 => vec![header, query, KeySource::SourceIp],
        5 => vec![KeySource::SourceIp],
        6 => vec![query, KeySource::Cookie(cookie)],
        _ => vec![header, KeySource::Random],
    };
    let second = Duration::from_secs(1);
    RoutePolicy {
        listener: Listener { port: 80, hostnames: Vec::new(), tls: None },
        hash_key,
        key_hash,
        ring: RingSpec::Rendezvous { slots: 2 },
        weights: std::collections::BTreeMap::new(),
        bounded_load: None,
        timeouts: Timeouts { connect: second, response_header: second, idle: second },
        retries: Retries { attempts: 0, budget_percent: 0 },
        limits: Limits { max_concurrent_per_replica: 0, max_body_bytes: 0 },
        replica_tls: None,
        target_protocol: TargetProtocol::Http1,
    }
}
