//! Replicas' bytes, all the way to the client: read the same however they arrive, read as the strict reader reads them,
//! and told to the client in one way only.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;

use http::{HeaderName, HeaderValue, Method};
use http_body::Body;
use http_body_util::BodyExt;

use super::peer::{Cuts, Moves, Peer, Then, run};
use super::serve::serve;
use super::strict::{self, Framing, Limits, LineEnd, Message, Reader};
use crate::proxy::body::RequestBody;
use crate::proxy::headers;
use crate::proxy::http1::{Call, CallError, Connection, HeadLimits, ReplicaBody};
use crate::proxy::message::{Fields, Request, Response};

/// Small, so that they are reached; trailers have a limit of the same number.
const LIMITS: Limits = Limits { bytes: 1024, fields: 64 };

/// Everything that an exchange has brought.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: u16,
    fields: BTreeMap<String, Vec<Vec<u8>>>,
    data: Vec<u8>,
    trailers: BTreeMap<String, Vec<Vec<u8>>>,
    end: End,
    is_reusable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is a whole response.
    Whole,
    /// The head is none.
    BadHead,
    /// The connection ended before the head did.
    NoHead,
    /// The body is none.
    BadBody,
    /// The connection ended before the body did.
    HalfBody,
}

/// `text` is what the replica says to a request with this method.
pub(super) fn check(method: &Method, text: &[u8], cuts: Cuts) {
    let whole = exchange(method, text, Cuts::NONE);
    let cut = exchange(method, text, cuts);
    assert_eq!((whole.status, &whole.fields, whole.end), (cut.status, &cut.fields, cut.end), "cuts change it");
    let is_same = whole.data == cut.data && whole.trailers == cut.trailers;
    let is_part = whole.data.starts_with(&cut.data) || cut.data.starts_with(&whole.data);
    assert!(is_same || (whole.end != End::Whole && is_part), "cuts change it: {whole:?}, {cut:?}");

    let mut reader = Reader::new(text, LineEnd::Lf).limit(LIMITS);
    let read = reader.response(method.as_str(), true);
    match &read {
        Ok(message) => agree(&whole, message, method, reader.left),
        Err(why) => assert_ne!(whole.end, End::Whole, "taken, though {why:?}: {whole:?}"),
    }
    if whole.status != 101 {
        told(&whole, method, &relay(method, text, cuts));
    }
}

/// What the client got says the same, in the strictest form.
fn told(whole: &Outcome, method: &Method, client: &[u8]) {
    let mut reader = Reader::new(client, LineEnd::CrLf);
    let told = reader.response(method.as_str(), true);
    match whole.end {
        End::Whole => {
            let told = told.unwrap_or_else(|why| panic!("{why:?}: the client got {:?}", lossy(client)));
            assert_eq!(told.head.first[1], whole.status.to_string());
            assert_eq!(told.data, whole.data, "the client got {:?}", lossy(client));
            assert!(reader.left.is_empty(), "the client got more: {:?}", lossy(client));
            let framings = ["content-length", "transfer-encoding"].map(|name| told.head.values(name).count());
            assert!(matches!(framings, [0 | 1, 0] | [0, 1]), "the client got {:?}", lossy(client));
            let trailers = grouped(&told.trailers);
            let is_from = |(name, values): (&String, _)| whole.trailers.get(name) == Some(values);
            assert!(trailers.iter().all(is_from), "{trailers:?} of {:?}", whole.trailers);
            for name in ["keep-alive", "proxy-connection", "upgrade", "te", "proxy-authenticate"] {
                assert_eq!(told.head.values(name).count(), 0, "{name} passed");
            }
        }
        End::BadHead | End::NoHead => assert_eq!(lossy(client), "", "an answer from nothing"),
        End::BadBody | End::HalfBody => assert!(told.is_err(), "a clean end of {whole:?}: {:?}", lossy(client)),
    }
}

/// The strict reader says the same.
fn agree(whole: &Outcome, message: &Message, method: &Method, left: &[u8]) {
    assert_eq!(whole.end, End::Whole, "not taken: {message:?}");
    assert_eq!(whole.status.to_string(), message.head.first[1]);
    let mut fields = grouped(&message.head.fields);
    let length = fields.remove("content-length").filter(|_| whole.status != 101);
    let mut ours = whole.fields.clone();
    let our_length = ours.remove("content-length").filter(|_| whole.status != 101);
    assert_eq!(ours, fields);
    if let Some(length) = length {
        let first = String::from_utf8_lossy(&length[0]).into_owned();
        let number: u64 = first.split(',').next().and_then(|number| number.trim().parse().ok()).expect("it is one");
        assert_eq!(our_length, Some(vec![number.to_string().into_bytes()]));
    }
    assert_eq!(lossy(&whole.data), lossy(&message.data));
    assert_eq!(whole.trailers, grouped(&message.trailers));
    let is_bodiless = *method == Method::HEAD || matches!(whole.status, 101 | 204 | 304);
    let says_close = message.head.members("connection").any(|member| member == "close");
    let goes_on = message.head.first[0] == "HTTP/1.1" && !says_close;
    let ends_itself = is_bodiless || message.framing != Framing::Close;
    // What could be followed by a body that nobody awaits.
    let says = |name: &str| message.head.fields.iter().any(|(field, _)| field == name);
    let is_coded = says("transfer-encoding");
    let is_lengthy = whole.status == 204 && our_length.is_some_and(|length| length != [b"0".to_vec()]);
    let has_two_ends = (is_coded && (says("content-length") || matches!(whole.status, 204 | 304))) || is_lengthy;
    let is_reusable = goes_on && ends_itself && left.is_empty() && (!has_two_ends || whole.status == 101);
    assert_eq!(whole.is_reusable, is_reusable, "reused: {whole:?}");
}

fn call(method: &Method, text: &[u8], cuts: Cuts, moves: &Moves) -> Call<Peer> {
    let mut asked = Request::new(());
    asked.method_mut().clone_from(method);
    let limits = HeadLimits { bytes: LIMITS.bytes, fields: LIMITS.fields };
    let replica = Peer::new(text, Then::Ends, moves).cut(cuts, Cuts::NONE);
    Connection::new(replica, false, limits).call(&asked, RequestBody::Empty)
}

fn exchange(method: &Method, text: &[u8], cuts: Cuts) -> Outcome {
    let moves = Moves::default();
    let (fields, data, trailers) = Default::default();
    let mut outcome = Outcome { status: 0, fields, data, trailers, end: End::NoHead, is_reusable: false };
    let mut call = call(method, text, cuts, &moves);
    let head =
        match run(poll_fn(|cx| call.poll_head(cx, |_| {})), &moves).expect("a replica that has ended is not awaited") {
            Ok(head) => head,
            Err(CallError::BadResponse) => return Outcome { end: End::BadHead, ..outcome },
            Err(CallError::Broken(_)) => return outcome,
            Err(error @ (CallError::Unsent(_) | CallError::Body(_))) => panic!("not so: {error:?}"),
        };
    let (head, body) = call.into_response(head, Fields::default()).into_parts();
    (outcome.status, outcome.fields) = (head.status().as_u16(), grouped_map(head.headers().iter()));
    let mut body = pin!(body);
    outcome.end = loop {
        if body.is_end_stream() {
            break End::Whole;
        }
        match run(poll_fn(|cx| body.as_mut().poll_frame(cx)), &moves).expect("a replica that has ended is not awaited")
        {
            None => break End::Whole,
            Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break End::HalfBody,
            Some(Err(_)) => break End::BadBody,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => outcome.data.extend_from_slice(&data),
                Err(frame) => {
                    outcome.trailers =
                        frame.trailers_ref().map(|trailers| grouped_map(trailers.iter())).unwrap_or_default();
                }
            },
        }
    };
    outcome.is_reusable = outcome.end == End::Whole && body.take_connection().is_some();
    outcome
}

/// What a client gets.
fn relay(method: &Method, text: &[u8], cuts: Cuts) -> Vec<u8> {
    let moves = Moves::default();
    let ask = format!("{method} / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n");
    let client = Peer::new(ask.as_bytes(), Then::Waits, &moves).cut(Cuts::NONE, cuts);
    let ear = client.ear();
    let limits = HeadLimits { bytes: LIMITS.bytes, fields: LIMITS.fields };
    let _ = run(serve(client, limits, |_| Box::pin(answer(call(method, text, cuts, &moves)))), &moves);
    ear.take()
}

async fn answer(
    mut call: Call<Peer>,
) -> io::Result<Response<impl Body<Data = bytes::Bytes, Error = io::Error> + use<>>> {
    let head =
        poll_fn(|cx| call.poll_head(cx, |_| {})).await.map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut response: Response<ReplicaBody<Peer>> = call.into_response(head, Fields::default());
    headers::prepare_response(response.headers_mut());
    Ok(response.map(|body| {
        body.map_frame(|mut frame| {
            frame.trailers_mut().map(headers::prepare_trailers);
            frame
        })
    }))
}

fn grouped(fields: &strict::Fields) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in fields {
        groups.entry(name.clone()).or_default().push(value.clone());
    }
    groups
}

fn grouped_map<'h>(fields: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>) -> BTreeMap<String, Vec<Vec<u8>>> {
    grouped(&fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
