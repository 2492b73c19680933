//! Who asked, and what a replica is told of it.
//!
//! Nothing is believed that a client says of its origin, unless its address lies in a trusted range: then it is a proxy,
//! and speaks for those behind it. How many there are does not matter: X-Forwarded-For is read from its end as long as
//! it names trusted proxies, and the first who is none has asked.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST};
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::proxy::headers::members;
use crate::proxy::message::Fields;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The other side of a connection.
pub(super) struct Origin {
    /// Its address as text.
    peer: HeaderValue,
    /// It is a proxy that speaks for others.
    is_trusted: bool,
    /// Whether replicas get `Forwarded`, too.
    tells_forwarded: bool,
}

// === impl Origin ===

impl Origin {
    pub(super) fn new(peer: IpAddr, trusted: &[IpNet], tells_forwarded: bool) -> Self {
        let peer = peer.to_canonical();
        Self { peer: text(peer), is_trusted: is_in(trusted, peer), tells_forwarded }
    }

    pub(super) fn peer(&self) -> &HeaderValue {
        &self.peer
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// The address of whoever asked, as text: the key of `sourceIp`.
    pub(super) fn source(&self, headers: &Fields, trusted: &[IpNet]) -> Cow<'_, HeaderValue> {
        if !self.is_trusted {
            return Cow::Borrowed(&self.peer);
        }
        let mut source = None;
        for member in headers.get_all(X_FORWARDED_FOR).rev().flat_map(|value| members(value).rev()) {
            // Behind what is no address nobody can be trusted.
            let Some(address) = address(member) else { break };
            source = Some(address);
            if !is_in(trusted, address) {
                break;
            }
        }
        source.map_or(Cow::Borrowed(&self.peer), |address| Cow::Owned(text(address)))
    }

    /// Tells the replica who asked, and of whom, and how. What a trusted proxy says stays, with this hop behind it.
    /// `is_told`: whether the head says anything of that already.
    pub(super) fn sign(&self, headers: &mut Fields, scheme: &'static str, is_told: bool) {
        let host = headers.get(HOST).cloned();
        if self.is_trusted {
            append(headers, X_FORWARDED_FOR, &self.peer);
            headers.insert_new(X_FORWARDED_PROTO, || HeaderValue::from_static(scheme));
            if let Some(host) = &host {
                headers.insert_new(X_FORWARDED_HOST, || host.clone());
            }
        } else {
            if is_told {
                for name in [FORWARDED, X_FORWARDED_HOST, X_FORWARDED_PORT, X_REAL_IP] {
                    headers.remove(name);
                }
            }
            headers.insert(X_FORWARDED_FOR, self.peer.clone());
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
            if let Some(host) = &host {
                headers.insert(X_FORWARDED_HOST, host.clone());
            }
        }
        if self.tells_forwarded
            && let Some(element) = self.element(host.as_ref(), scheme)
        {
            append(headers, FORWARDED, &element);
        }
    }

    /// This hop in the words of RFC 7239.
    fn element(&self, host: Option<&HeaderValue>, scheme: &str) -> Option<HeaderValue> {
        let peer = self.peer.to_str().ok()?;
        // An IPv6 address has colons, which no token has (§6).
        let mut element = if peer.contains(':') { format!("for=\"[{peer}]\"") } else { format!("for={peer}") };
        if let Some(host) = host {
            // A valid Host has neither quotes nor backslashes.
            let host = host.to_str().ok()?;
            let quote = if host.bytes().all(is_token) { "" } else { "\"" };
            element.push_str(&format!(";host={quote}{host}{quote}"));
        }
        element.push_str(";proto=");
        element.push_str(scheme);
        HeaderValue::from_str(&element).ok()
    }
}

/// Puts a member behind those that are there, all in one field.
fn append(headers: &mut Fields, name: HeaderName, member: &HeaderValue) {
    let all = headers.get_all(&name).chain([member]).map(HeaderValue::as_bytes);
    let all: Vec<&[u8]> = all.filter(|value| !value.is_empty()).collect();
    // Nothing is joined that was no field before.
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
        headers.insert(name, joined);
    }
}

fn is_in(ranges: &[IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// An address as proxies write it: alone, or with a port.
fn address(member: &[u8]) -> Option<IpAddr> {
    let member = std::str::from_utf8(member).ok()?;
    let bare = member.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(member);
    // A zone (RFC 4007 §11) means something on one machine only, and is read nowhere else here.
    let with_port =
        || member.parse().ok().filter(|_: &SocketAddr| !member.contains('%')).map(|with_port| with_port.ip());
    let address = bare.parse().ok().or_else(with_port);
    address.map(|address| address.to_canonical())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn text(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).expect("addresses are written in visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "2001:db8::/32"].map(|range| range.parse().unwrap()).to_vec()
    }

    fn origin(peer: &str, tells_forwarded: bool) -> Origin {
        Origin::new(peer.parse().unwrap(), &trusted(), tells_forwarded)
    }

    #[test]
    fn whoever_is_nearest_and_no_trusted_proxy_has_asked() {
        let source = |peer: &str, lines: &[&'static str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            origin(peer, false).source(&Fields::of(&lines), &trusted()).to_str().unwrap().to_owned()
        };
        for (peer, lines, expected) in [
            ("10.0.0.1", &["1.1.1.1"][..], "1.1.1.1"),
            ("10.0.0.1", &["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["9.9.9.9, 1.1.1.1 , 10.0.0.2,10.0.0.3"], "1.1.1.1"),
            ("10.0.0.1", &["9.9.9.9, 1.1.1.1", "10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["1.1.1.1:4711"], "1.1.1.1"),
            ("10.0.0.1", &["[2002::1]:4711"], "2002::1"),
            ("10.0.0.1", &["[2002::1]"], "2002::1"),
            ("10.0.0.1", &["2002::1"], "2002::1"),
            ("10.0.0.1", &["1.1.1.1, 2001:db8::7"], "1.1.1.1"),
            ("10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["1.1.1.1, [2001:db8::%1]:80"], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, 2001:db8::%1"], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("2001:db8::1", &["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // Who is not trusted speaks for nobody.
            ("9.9.9.9", &["1.1.1.1"], "9.9.9.9"),
            ("::ffff:9.9.9.9", &["1.1.1.1"], "9.9.9.9"),
        ] {
            assert_eq!(source(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_a_trusted_proxy_says_stays_and_this_hop_is_added() {
        let said = [
            ("host", "a"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
        ];
        let mut headers = Fields::of(&said);
        origin("10.0.0.1", false).sign(&mut headers, "http", true);
        let mut expected = Fields::of(&said);
        expected.insert(X_FORWARDED_FOR, HeaderValue::from_static("9.9.9.9, 1.1.1.1, 10.0.0.1"));
        assert_eq!(headers, expected);

        let mut headers = Fields::of(&said);
        origin("9.9.9.9", false).sign(&mut headers, "http", true);
        let ours = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "a")];
        assert_eq!(headers, Fields::of(&[&[("host", "a")], &ours[..]].concat()));
    }

    #[test]
    fn where_a_trusted_proxy_says_nothing_we_do() {
        let mut headers = Fields::of(&[("host", "a")]);
        origin("10.0.0.1", false).sign(&mut headers, "http", true);
        let ours = [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "a")];
        assert_eq!(headers, Fields::of(&[&[("host", "a")], &ours[..]].concat()));
    }

    #[test]
    fn forwarded_is_written_as_rfc_7239_wants_it() {
        let forwarded = |peer: &str, fields: &[(&'static str, &'static str)]| {
            let mut headers = Fields::of(fields);
            origin(peer, true).sign(&mut headers, "http", true);
            assert_eq!(headers.get_all(FORWARDED).count(), 1);
            headers.get(FORWARDED).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(forwarded("9.9.9.9", &[("host", "a.example")]), "for=9.9.9.9;host=a.example;proto=http");
        assert_eq!(forwarded("9.9.9.9", &[("host", "a:80")]), "for=9.9.9.9;host=\"a:80\";proto=http");
        assert_eq!(forwarded("2002::1", &[("host", "[::1]:80")]), "for=\"[2002::1]\";host=\"[::1]:80\";proto=http");
        assert_eq!(forwarded("9.9.9.9", &[("forwarded", "for=x")]), "for=9.9.9.9;proto=http");
        assert_eq!(
            forwarded("10.0.0.1", &[("host", "a"), ("forwarded", "for=x;by=y"), ("forwarded", "for=z")]),
            "for=x;by=y, for=z, for=10.0.0.1;host=a;proto=http"
        );
    }
}
