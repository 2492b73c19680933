//! What is noted of a request for those who look at it: for now, the access log. Where nobody looks, a sight is one word
//! that stays empty, and its hooks do nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Version};
use jiff::Timestamp;

use crate::proxy::access_log::{Line, Log};
use crate::proxy::connection::Client;
use crate::proxy::key::{self, Key};
use crate::proxy::outcome::Ended;
use crate::proxy::routing::Routed;
use crate::routes::{Upstream, Verdict};

/// The W3C's name for where a request belongs.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who looks at one worker's requests.
pub(super) struct Sights {
    log: Option<Log>,
}

/// What is seen of one request. Ends with [`Sight::end`].
pub(super) struct Sight(Option<Box<Notes>>);

/// In a box, so that a request that nobody looks at carries a word of it.
struct Notes {
    began: Timestamp,
    /// Logged however it ends.
    sampled: bool,
    method: Method,
    version: Version,
    head: Head,
    routed: Option<Rc<Routed>>,
    key_source: Option<&'static str>,
    key: Option<Box<[u8]>>,
    tries: u32,
    /// When the last one began, and by whom it was taken.
    last: Option<(Instant, Arc<Upstream>, Verdict)>,
    answered_after: Option<Duration>,
}

/// What a client said, copied: its own bytes are the connection's read buffer, which has to be free for the next head.
struct Head {
    bytes: Vec<u8>,
    /// Where host, target, user agent, referer and trace parent end.
    ends: [usize; 5],
}

// === impl Sights ===

impl Sights {
    pub(super) fn new(log: Option<Log>) -> Self {
        Self { log }
    }

    /// A request has come.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> Sight {
        let Some(log) = &self.log else { return Sight(None) };
        let sampled = log.config.sample.takes_one();
        Sight((sampled || log.config.all_errors).then(|| Box::new(Notes::new(request, sampled))))
    }

    /// Whether somebody wants to see keys themselves.
    pub(super) fn want_keys(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.config.keys)
    }

    /// Lets go of what waits to be written.
    pub(super) fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
    }
}

// === impl Sight ===

impl Sight {
    /// The request belongs to this LoadBalancer, and this is its key.
    pub(super) fn on_key(&mut self, routed: &Rc<Routed>, key: &mut Key) {
        if let Some(notes) = &mut self.0 {
            notes.routed = Some(Rc::clone(routed));
            notes.key_source = Some(key.source.as_str());
            notes.key = key.value.take();
        }
    }

    /// A try begins, at this replica.
    pub(super) fn on_try(&mut self, upstream: &Arc<Upstream>, first: Verdict) {
        if let Some(notes) = &mut self.0 {
            notes.tries += 1;
            notes.last = Some((Instant::now(), Arc::clone(upstream), first));
        }
    }

    /// Another begins, at the same one.
    pub(super) fn on_try_again(&mut self) {
        if let Some(notes) = &mut self.0 {
            notes.tries += 1;
            if let Some((began, ..)) = &mut notes.last {
                *began = Instant::now();
            }
        }
    }

    /// A response's head has come.
    pub(super) fn on_answer(&mut self) {
        if let Some(notes) = &mut self.0 {
            notes.answered_after = notes.last.as_ref().map(|(began, ..)| began.elapsed());
        }
    }

    /// Moves on with what goes on after the response: a tunnel.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// The response is over.
    pub(super) fn end(&mut self, client: &Client, ended: &Ended) {
        let Some(notes) = self.0.take() else { return };
        if let (Some(routed), Some(latency)) = (&notes.routed, notes.answered_after) {
            routed.metrics.upstream_latency.get_or_init(Box::default).add(latency);
        }
        if let Some(log) = &client.worker.sights.log
            && (notes.sampled || ended.is_failure())
        {
            log.write(&notes.line(&client.peer, ended, log.config.keys));
        }
    }
}

// === impl Notes ===

impl Notes {
    fn new<B>(request: &Request<B>, sampled: bool) -> Self {
        Self {
            began: Timestamp::now(),
            sampled,
            method: request.method().clone(),
            version: request.version(),
            head: Head::of(request),
            routed: None,
            key_source: None,
            key: None,
            tries: 0,
            last: None,
            answered_after: None,
        }
    }

    fn line<'a>(&'a self, peer: &'a HeaderValue, ended: &Ended, shows_keys: bool) -> Line<'a> {
        let Ended { status, outcome, bytes_in, bytes_out, took } = *ended;
        let [host, target, user_agent, referer, trace_parent] = self.head.parts();
        let policy = self.routed.as_ref().map(|routed| &*routed.route.policy).filter(|_| !shows_keys);
        let conceal = |text| key::conceal(policy, String::from_utf8_lossy(text));
        let id = self.routed.as_ref().map(|routed| &routed.route.id);
        let (upstream, first) = self.last.as_ref().map(|(_, upstream, first)| (upstream, *first)).unzip();
        Line {
            time: self.began,
            client: peer.to_str().unwrap_or(""),
            method: self.method.as_str(),
            host: String::from_utf8_lossy(host),
            target: conceal(target),
            protocol: protocol(self.version),
            status,
            reason: outcome.reason(),
            bytes_in,
            bytes_out,
            duration: took,
            upstream: self.answered_after,
            namespace: id.map(|id| &*id.namespace),
            load_balancer: id.map(|id| &*id.name),
            ordinal: upstream.map(|upstream| upstream.ordinal.0),
            replica: upstream.map(|upstream| upstream.name.as_str()),
            tries: self.tries,
            key_source: self.key_source,
            key: self.key.as_deref().filter(|_| shows_keys).map(String::from_utf8_lossy),
            first_candidate: first.map(Verdict::as_str),
            user_agent: String::from_utf8_lossy(user_agent),
            referer: conceal(referer),
            trace_id: trace_id(trace_parent),
        }
    }
}

// === impl Head ===

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
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
        Self { bytes, ends }
    }

    fn parts(&self) -> [&[u8]; 5] {
        let mut begin = 0;
        self.ends.map(|end| &self.bytes[std::mem::replace(&mut begin, end)..end])
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Of a valid trace parent (W3C Trace Context §3.2): version, trace, span and flags in lower-case hexadecimal.
fn trace_id(parent: &[u8]) -> Option<&str> {
    let parent = str::from_utf8(parent).ok()?;
    let mut parts = parent.split('-');
    let mut next = |length| {
        let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        parts.next().filter(|part| part.len() == length).filter(is_hex)
    };
    let (version, trace, span, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let is_last = parts.next().is_none();
    let names = |id: &str| id.bytes().any(|byte| byte != b'0');
    // Of later versions only the beginning is known.
    (version != "ff" && (version != "00" || is_last) && names(trace) && names(span)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_by_a_valid_parent_only() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let of = |parent: &str| trace_id(parent.as_bytes()).map(str::to_owned);
        assert_eq!(of(&format!("00-{TRACE}-00f067aa0ba902b7-01")), Some(TRACE.to_owned()));
        assert_eq!(of(&format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes")), Some(TRACE.to_owned()));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_head_is_read_back_as_it_came() {
        let request = Request::get("/x?y=1").header("host", "a").header("referer", "/before");
        let head = Head::of(&request.body(()).unwrap());
        assert_eq!(head.parts(), [&b"a"[..], b"/x?y=1", b"", b"/before", b""]);
        let request = Request::get("http://b:80/").header("host", "a").body(()).unwrap();
        assert_eq!(Head::of(&request).parts()[..2], [&b"b:80"[..], b"/"]);
    }

    #[test]
    fn who_is_not_looked_at_costs_no_memory() {
        let sights = Sights::new(None);
        let request = Request::get("/x?y=1").header("user-agent", "curl").body(()).unwrap();
        let counted = allocation_counter::measure(|| {
            let mut sight = std::hint::black_box(sights.begin(&request));
            sight.on_try_again();
            sight.on_answer();
        });
        assert_eq!(counted.count_total, 0);
    }
}
