//! What a client said, for whoever tells of it later.

use std::borrow::Cow;

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Version};

use crate::proxy::key::{self, Concealed};
use crate::proxy::message::Request;
use crate::proxy::trace::TRACEPARENT;

/// A request's head, as far as it is told of. Copied: the client's own bytes are the connection's read buffer, which has
/// to be free for the next head.
pub(in crate::proxy) struct Head {
    pub(in crate::proxy) method: Method,
    version: Version,
    bytes: Vec<u8>,
    /// Where host, target, user agent, referer and trace parent end.
    ends: [usize; 5],
}

// === impl Head ===

impl Head {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let field = |name: &HeaderName| headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let target = uri.path_and_query().map(|target| target.as_str().as_bytes());
        let parts = [
            authority.unwrap_or_else(|| field(&HOST)),
            // Of CONNECT the authority is all there is.
            target.or(authority).unwrap_or_default(),
            field(&USER_AGENT),
            field(&REFERER),
            field(&TRACEPARENT),
        ];
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ends = parts.map(|part| {
            bytes.extend_from_slice(part);
            bytes.len()
        });
        Self { method: request.method().clone(), version: request.version(), bytes, ends }
    }

    pub(in crate::proxy) fn host(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.part(0))
    }

    pub(in crate::proxy) fn target(&self, conceals: Concealed<'_>) -> Cow<'_, str> {
        key::conceal(conceals, String::from_utf8_lossy(self.part(1)))
    }

    pub(in crate::proxy) fn user_agent(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.part(2))
    }

    pub(in crate::proxy) fn referer(&self, conceals: Concealed<'_>) -> Cow<'_, str> {
        key::conceal(conceals, String::from_utf8_lossy(self.part(3)))
    }

    pub(super) fn trace_parent(&self) -> &[u8] {
        self.part(4)
    }

    /// As the request line has it.
    pub(in crate::proxy) fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_09 => "HTTP/0.9",
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_3 => "HTTP/3.0",
            _ => "HTTP/1.1",
        }
    }

    fn part(&self, index: usize) -> &[u8] {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[begin..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_as_it_came() {
        let request = http::Request::get("/x?y=1").header("host", "a").header("referer", "/before");
        let head = Head::of(&Request::from(request.body(()).unwrap()));
        assert_eq!([head.host(), head.target(Concealed::Nothing), head.user_agent()], ["a", "/x?y=1", ""]);
        assert_eq!((head.referer(Concealed::Nothing), head.trace_parent()), ("/before".into(), &b""[..]));
        let request = http::Request::get("http://b:80/").header("host", "a").body(()).unwrap();
        let head = Head::of(&Request::from(request));
        assert_eq!([head.host(), head.target(Concealed::Nothing)], ["b:80", "/"]);
    }
}
