//! Whose request this is: the rules for Host and the request target (RFC 9112 §3.2, §3.3).

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Uri, Version};

use crate::proxy::errors::Reason;
use crate::proxy::message::Request;

/// A name of 253 bytes (RFC 1035 §2.3.4), its root dot and a port. Every suffix of it may be looked up.
const MAX_LENGTH: usize = 260;

/// Brings the request to origin form with one valid Host. The target's authority wins over the header; on HTTP/2 it has
/// no user, and they must agree (RFC 9113 §8.3.1).
///
/// # Errors
/// Host is missing on HTTP/1.1, there is more than one, it is none, it is not the authority of HTTP/2, or the target is
/// for CONNECT, or for OPTIONS and this is not.
pub(super) fn normalize<B>(request: &mut Request<B>) -> Result<(), Reason> {
    let is_http2 = request.version() == Version::HTTP_2;
    {
        let mut hosts = request.headers().get_all(HOST);
        let (first, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return Err(Reason::BadHost);
        }
        match first {
            Some(host) if !is_valid(host) => return Err(Reason::BadHost),
            None if is_http2 && request.uri().authority().is_some() => {}
            None if request.version() >= Version::HTTP_11 => return Err(Reason::BadHost),
            _ => {}
        }
    }
    if let Some(authority) = request.uri().authority() {
        // Authority form is for CONNECT alone (RFC 9112 §3.2.3), and that has been refused.
        let target = request.uri().path_and_query().ok_or(Reason::BadTarget)?;
        let host = HeaderValue::from_str(without_userinfo(authority)).map_err(|_| Reason::BadHost)?;
        if !is_valid(&host) {
            return Err(Reason::BadHost);
        }
        if is_http2 && (authority.as_str() != host || !is_same(request.headers().get(HOST), &host)) {
            return Err(Reason::BadHost);
        }
        // Without a path this asks of the server as a whole (RFC 9112 §3.2.4). With the root as its path it looks the
        // same here, and rarely means anything else.
        let asks_of_server = !is_http2 && target == "/" && request.method() == Method::OPTIONS;
        let target = if asks_of_server { PathAndQuery::from_static("*") } else { target.clone() };
        request.headers_mut().insert(HOST, host);
        *request.uri_mut() = Uri::from(target);
    }
    // Asterisk form is for OPTIONS alone (RFC 9112 §3.2.4, RFC 9113 §8.3.1).
    if request.uri().path() == "*" && request.method() != Method::OPTIONS {
        return Err(Reason::BadTarget);
    }
    Ok(())
}

/// The host that chooses the route: without port, without brackets' contents changed; empty on HTTP/1.0 without Host.
pub(super) fn name(host: Option<&HeaderValue>) -> &str {
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or("");
    // A valid one has a port behind its last colon, or it ends with a bracket.
    let digits = host.bytes().rev().take_while(u8::is_ascii_digit).count();
    let end = host[..host.len() - digits].strip_suffix(':').map_or(host.len(), str::len);
    // One trailing dot makes a name absolute and means the same (RFC 1034 §3.1).
    host[..end].strip_suffix('.').unwrap_or(&host[..end])
}

fn is_valid(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    if bytes.len() > MAX_LENGTH {
        return false;
    }
    // The common case without the full grammar: letters, digits, dots, hyphens and a port.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let end = bytes.iter().position(|byte| !plain(byte)).unwrap_or(bytes.len());
    match bytes.get(end) {
        None => end > 0,
        Some(b':') => end > 0 && bytes[end + 1..].iter().all(u8::is_ascii_digit),
        _ => !bytes.contains(&b'@') && Authority::try_from(bytes).is_ok(),
    }
}

/// Whether a header, where there is one, names the same host.
fn is_same(header: Option<&HeaderValue>, host: &HeaderValue) -> bool {
    header.is_none_or(|header| header.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

fn without_userinfo(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(host: &'static str) -> HeaderValue {
        HeaderValue::from_static(host)
    }

    #[test]
    fn ports_brackets_and_the_root_dot_do_not_choose_the_route() {
        for (host, expected) in
            [("a.example", "a.example"), ("a.example.:80", "a.example"), ("[::1]:5000", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(name(Some(&value(host))), expected);
        }
        assert_eq!(name(None), "");
    }

    #[test]
    fn targets_come_to_origin_form() {
        let normal = |method: Method, target: &str| {
            let mut request = Request::new(());
            *request.method_mut() = method;
            *request.uri_mut() = target.parse().expect("it is a target");
            request.headers_mut().insert(HOST, value("b"));
            normalize(&mut request).map(|()| (request.uri().to_string(), request.headers().get(HOST).cloned().unwrap()))
        };
        let good = |target: &str, host| Ok((target.to_owned(), value(host)));
        assert_eq!(normal(Method::GET, "/x"), good("/x", "b"));
        assert_eq!(normal(Method::GET, "http://u@a:80/x?y"), good("/x?y", "a:80"));
        assert_eq!(normal(Method::GET, "http://a"), good("/", "a"));
        assert_eq!(normal(Method::OPTIONS, "http://a"), good("*", "a"));
        assert_eq!(normal(Method::OPTIONS, "http://a/x"), good("/x", "a"));
        assert_eq!(normal(Method::GET, "a:80"), Err(Reason::BadTarget));
        assert_eq!(normal(Method::OPTIONS, "*"), good("*", "b"));
        assert_eq!(normal(Method::GET, "*"), Err(Reason::BadTarget));
        assert_eq!(normal(Method::GET, "http://a,b/"), good("/", "a,b"));
        assert_eq!(normal(Method::GET, &format!("http://{}/", "a".repeat(261))), Err(Reason::BadHost));
    }

    #[test]
    fn the_asterisk_is_for_options_alone_on_http2_as_well() {
        let normal = |method: Method| {
            let target = Uri::builder().scheme("http").authority("a").path_and_query("*").build();
            let mut request = Request::new(());
            *request.version_mut() = Version::HTTP_2;
            *request.method_mut() = method;
            *request.uri_mut() = target.expect("it is a target");
            normalize(&mut request).map(|()| request.uri().to_string())
        };
        assert_eq!(normal(Method::GET), Err(Reason::BadTarget));
        assert_eq!(normal(Method::OPTIONS), Ok("*".to_owned()));
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        for host in ["", ":80", "a b", "a/b", "user@a", "a:b", "a,b/c", "a:80:90"] {
            assert!(!is_valid(&value(host)), "{host}");
        }
        let long = |length: usize| HeaderValue::from_str(&"a.".repeat(length / 2)).expect("it is ASCII");
        assert!(is_valid(&long(260)) && !is_valid(&long(262)));
        for host in ["a", "a_b.example", "[::1]:80", "10.0.0.1:80", "a:"] {
            assert!(is_valid(&value(host)), "{host}");
        }
    }
}
