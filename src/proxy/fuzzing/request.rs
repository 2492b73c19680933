//! Clients' bytes, all the way to the replica: whatever a client sends, what a replica gets is one request after the
//! other in the strictest form, the same however it arrived, and with the body that the strict reader reads, too.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method};
use http_body::Body;
use http_body_util::Full;

use super::peer::{Cuts, Moves, Peer, Then, run};
use super::serve::serve as serve_client;
use super::strict::{Head, LineEnd, Message, Reader, Unread};
use crate::proxy::body::{ClientBody, RequestBody};
use crate::proxy::errors::{ForwardError, Reason, RequestEnd};
use crate::proxy::http1::{Connection, HeadLimits};
use crate::proxy::message::{Fields, Request, Response};
use crate::proxy::origin::Origin;
use crate::proxy::watch::Watch;
use crate::proxy::{ProxyConfig, service};
use crate::ring::KeyHasher;

const PEER: &str = "192.0.2.7";
/// Bytes of a body.
const MOST: u64 = 512;
/// What never passes.
const NEVER: [&str; 7] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "x_forwarded_for",
    "content_length",
    "transfer_encoding",
    "x_ringhold-reason",
];

/// What is believed of the client, and what the replica is told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust {
    pub(super) is_trusted: bool,
    pub(super) tells_forwarded: bool,
}

/// What became of one request that the client's side has read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Refused(Reason),
    /// The replica's ear.
    Sent(Vec<u8>),
}

/// `text` is what a client says on one connection, before it leaves or waits.
pub(super) fn check(text: &[u8], then: Then, reads: Cuts, writes: Cuts, trust: Trust) {
    let (whole, told) = serve(text, then, Cuts::NONE, Cuts::NONE, trust);
    let (cut, _) = serve(text, then, reads, writes, trust);
    let mut client = Reader::new(text, LineEnd::CrLf);
    let mut is_strict = true;
    for (index, fate) in whole.iter().enumerate() {
        let asked = if is_strict { client.request() } else { Err(Unread::Refused("before")) };
        is_strict = asked.is_ok();
        // How many requests are read behind one whose body was not may depend on what has come already; and who leaves
        // may do so before the replica has everything.
        if let Some(other) = cut.get(index).filter(|_| then == Then::Waits) {
            same(fate, other);
        }
        let Fate::Sent(ear) = fate else { continue };
        let Ok(got) = read(ear) else { continue };
        signed(&got.head, trust);
        match asked {
            Ok(asked) => passed_on(&asked, &got, trust),
            Err(Unread::Partial) => panic!("half a request is a whole one: {:?}", lossy(text)),
            Err(Unread::Refused(_)) => {} // the proxy is more patient
        }
    }
    answered(&whole, &told);
}

/// The replica's reading: strict, one request and nothing behind it, in the form that is always ours.
fn read(ear: &[u8]) -> Result<Message, Unread> {
    let mut reader = Reader::new(ear, LineEnd::CrLf);
    let read = reader.request();
    match &read {
        Ok(message) => {
            assert!(reader.left.is_empty(), "two requests of one: {:?}", lossy(ear));
            well_formed(&message.head, ear);
            let trailing = message.trailers.iter().map(|(name, _)| name.as_str());
            for name in trailing {
                assert!(
                    !["content-length", "host", "te", "transfer-encoding", "authorization"].contains(&name),
                    "{name}"
                );
                assert!(message.head.members("trailer").any(|announced| announced == name), "{name} was not announced");
            }
        }
        Err(Unread::Partial) => {}
        Err(Unread::Refused(rule)) => panic!("breaks a rule ({rule}): {:?}", lossy(ear)),
    }
    read
}

fn well_formed(head: &Head, ear: &[u8]) {
    let count = |name: &str| head.values(name).count();
    let text = || lossy(ear);
    assert_eq!(head.first[2], "HTTP/1.1", "{}", text());
    assert!(head.first[1].starts_with('/') || head.first[1] == "*", "{}", text());
    assert!(!matches!(head.first[0].as_str(), "CONNECT" | "TRACE"), "{}", text());
    assert_eq!(count("host"), 1, "{}", text());
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{}", text());
    for length in head.values("content-length") {
        let plain = String::from_utf8_lossy(length).parse::<u64>().map(|length| length.to_string().into_bytes());
        assert_eq!(plain.as_deref(), Ok(length), "{}", text());
    }
    assert!(head.values("transfer-encoding").all(|coding| coding == b"chunked"), "{}", text());
    for name in NEVER {
        assert_eq!(count(name), 0, "{name} passed: {}", text());
    }
    assert!(head.values("te").all(|te| te == b"trailers"), "{}", text());
    let is_connections = |name: &String| matches!(name.as_str(), "te" | "upgrade");
    assert!(head.members("connection").all(|name| is_connections(&name) && count(&name) == 1), "{}", text());
    assert!(head.members("upgrade").all(|protocol| protocol != "h2c"), "{}", text());
}

/// The replica can tell who asked.
fn signed(head: &Head, trust: Trust) {
    let values = |name| head.values(name).map(lossy).collect::<Vec<_>>();
    let [asked_by] = &values("x-forwarded-for")[..] else { panic!("{head:?}") };
    let is_last = |value: &str, member: &str| value == member || value.ends_with(&format!(", {member}"));
    assert!(is_last(asked_by, PEER), "{head:?}");
    if !trust.is_trusted {
        assert_eq!(asked_by, PEER, "{head:?}");
        assert_eq!(values("x-forwarded-proto"), ["http"], "{head:?}");
        let hosts = values("x-forwarded-host");
        assert!(hosts.is_empty() || hosts == values("host"), "{head:?}");
        assert_eq!((values("x-forwarded-port").len(), values("x-real-ip").len()), (0, 0), "{head:?}");
    }
    match &values("forwarded")[..] {
        [] => assert!(!trust.tells_forwarded, "{head:?}"),
        [.., last] if trust.tells_forwarded => {
            let element = last.rsplit(", ").next().unwrap_or_default();
            assert!(element.starts_with(&format!("for={PEER}")) && element.ends_with(";proto=http"), "{head:?}");
            assert!(trust.is_trusted || element == last, "{head:?}");
        }
        _ => assert!(trust.is_trusted, "{head:?}"),
    }
}

/// What the client's own reading and the replica's have in common.
fn passed_on(asked: &Message, got: &Message, trust: Trust) {
    let [method, target, version] = &asked.head.first;
    assert_eq!(method, &got.head.first[0]);
    if target.starts_with('/') && target.is_ascii() {
        let sent = target.split('#').next().unwrap_or_default();
        assert_eq!(sent, got.head.first[1], "another target");
        assert!(asked.head.values("host").next().is_some() || version == "HTTP/1.0");
    }
    assert_eq!(lossy(&asked.data), lossy(&got.data), "another body");
    let gone: Vec<String> = asked.head.members("connection").collect();
    for (name, value) in &got.head.fields {
        let is_ours = name.starts_with("x-forwarded") || ["via", "host", "transfer-encoding"].contains(&name.as_str());
        let is_ours = is_ours || (name == "forwarded" && trust.tells_forwarded);
        let is_written_anew = ["connection", "content-length", "te"].contains(&name.as_str());
        if is_ours || is_written_anew {
            continue;
        }
        assert!(asked.head.values(name).any(|asked| asked == value), "{name} came from nowhere");
        assert!(name == "upgrade" || !gone.contains(name), "{name} was for this connection alone");
    }
}

/// However it arrives, the same request reaches the replica, or as much of it as came.
fn same(whole: &Fate, cut: &Fate) {
    match (whole, cut) {
        (Fate::Sent(one), Fate::Sent(other)) => match (read(one), read(other)) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "cuts change it"),
            (Err(_), Err(_)) => {}
            (one, other) => panic!("cuts change it: {one:?}, {other:?}"),
        },
        (one, other) => assert_eq!(one, other, "cuts change it"),
    }
}

/// The client can tell all answers from each other.
fn answered(fates: &[Fate], told: &[u8]) {
    let mut reader = Reader::new(told, LineEnd::CrLf);
    for fate in fates {
        match reader.response("GET", true) {
            Ok(message) => {
                let status: u16 = message.head.first[1].parse().expect("it was read");
                match fate {
                    Fate::Refused(reason) => assert_eq!(status, reason.status().as_u16()),
                    Fate::Sent(_) => assert_eq!(status, 200),
                }
            }
            // The last one may have no answer: its body broke.
            Err(Unread::Partial) => return assert!(reader.left.is_empty(), "half an answer: {:?}", lossy(told)),
            Err(Unread::Refused(rule)) => panic!("breaks a rule ({rule}): {:?}", lossy(told)),
        }
    }
    while !reader.left.is_empty() {
        // What is no request.
        let own = reader.response("GET", true).unwrap_or_else(|why| panic!("{why:?}: {:?}", lossy(told)));
        assert!(own.head.first[1].starts_with('4'), "an answer to nothing: {own:?}");
    }
}

/// What becomes of each request, and what the client gets.
fn serve(text: &[u8], then: Then, reads: Cuts, writes: Cuts, trust: Trust) -> (Vec<Fate>, Vec<u8>) {
    let moves = Moves::default();
    let fates = RefCell::new(Vec::new());
    let ears = RefCell::new(Vec::new());
    let client = Peer::new(text, then, &moves).cut(reads, Cuts::NONE);
    let told = client.ear();
    let answer = |request: Request<ClientBody>| {
        let index = fates.borrow().len();
        fates.borrow_mut().push(Fate::Sent(Vec::new()));
        let mut replica = Peer::new(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Then::Waits, &moves);
        replica.listens_first = true;
        ears.borrow_mut().push(replica.ear());
        let (fates, replica) = (&fates, replica.cut(Cuts::NONE, writes));
        async move {
            let end = if request.body().is_end_stream() { RequestEnd::Read } else { RequestEnd::Unread };
            let is_head = request.method() == Method::HEAD;
            let answer = forward(request, replica, trust).await.unwrap_or_else(|reason| {
                fates.borrow_mut()[index] = Fate::Refused(reason);
                reason.response(None, end).map(Full::new)
            });
            // So that all answers can be read alike.
            let answer = if is_head { answer.map(|_| Full::default()) } else { answer };
            Ok(answer)
        }
    };
    let limits = HeadLimits { bytes: 64 * 1024, fields: config().max_headers };
    let _ = run(serve_client(client, limits, answer), &moves);
    let mut fates = fates.into_inner();
    for (fate, ear) in fates.iter_mut().zip(ears.into_inner()) {
        let ear: Rc<RefCell<Vec<u8>>> = ear;
        if let Fate::Sent(heard) = fate {
            *heard = ear.take();
        }
    }
    (fates, told.take())
}

/// As `service` does, without routes.
async fn forward(request: Request<ClientBody>, replica: Peer, trust: Trust) -> Result<Response<Full<Bytes>>, Reason> {
    let mut request = request.map(Some);
    let body = request.body_mut().take().expect("nobody has taken it");
    service::check(&mut request, &config())?;
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > MOST) {
        return Err(Reason::BodyTooLarge);
    }
    service::prepare(&mut request, length, &trust.origin(), "http")?;
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, HeaderValue::from_static("10.0.0.1:80"));
    }
    let second = Duration::from_secs(1);
    let body = RequestBody::new(body, MOST, &Arc::new(Watch::new(second, second)), second);
    let limits = HeadLimits { bytes: 1024, fields: 16 };
    let mut call = Connection::new(replica, trust.tells_forwarded, limits).call(&request, body);
    let answered = poll_fn(|cx| call.poll_head(cx, |_| {})).await;
    let head = answered.map_err(|error| ForwardError::from(error).reason())?;
    Ok(call.into_response(head, Fields::default()).map(|_| Full::default()))
}

fn config() -> ProxyConfig {
    ProxyConfig { max_target_bytes: 256, max_headers: 32, ..ProxyConfig::new(KeyHasher::new(&[0; 16])) }
}

// === impl Trust ===

impl Trust {
    fn origin(self) -> Origin {
        let trusted = self.is_trusted.then(|| "192.0.2.0/24".parse().expect("it is a range"));
        Origin::new(PEER.parse().expect("it is an address"), trusted.as_slice(), self.tells_forwarded)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
