//! One request, from its head to its response's head.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SET_COOKIE, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use http_body::Body;

use crate::model::TargetProtocol;
use crate::proxy::body::{ClientBody, Fate, RequestBody, ResponseBody, UploadFate};
use crate::proxy::connection::{Client, Lane};
use crate::proxy::errors::{Reason, RequestEnd, accept, is_grpc};
use crate::proxy::exchange::{Exchange, Finish};
use crate::proxy::forward::{Answer, forward};
use crate::proxy::message::{Request, Response};
use crate::proxy::origin::Origin;
use crate::proxy::outcome::Outcome;
use crate::proxy::routing::Routed;
use crate::proxy::watch::Phase;
use crate::proxy::{ProxyConfig, headers, host, key, upgrade};

/// What the response needs to know of its request.
struct Asked {
    /// What the client has offered, and where its side of the tunnel will be.
    upgrade: Option<(HeaderValue, upgrade::Place)>,
    set_cookie: Option<HeaderValue>,
}

/// A replica's answer to a request.
struct Proxied {
    routed: Rc<Routed>,
    answer: Answer,
    asked: Asked,
}

/// Why a request gets our own words.
struct Refused {
    reason: Reason,
    end: RequestEnd,
}

/// Answers a request: with a replica's response, or with our own words.
///
/// It is counted at once and not by the future, which hyper drops before it has run where the client of a stream left right
/// after the head.
pub(super) fn handle(
    lane: Rc<Lane>,
    request: Request<ClientBody>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let started = Instant::now();
    let client = &lane.client;
    lane.watch.mark_served();
    client.on_request();
    let is_too_much = !client.worker.on_request();
    lane.watch.enter(Phase::Await, client.idle.get());
    let finish = Finish {
        sight: client.worker.sights.begin(&request, || source(client, &request).into_owned()),
        lane: Rc::clone(&lane),
        metrics: None,
        status: None,
        outcome: Outcome::Left,
        upload: None,
        bytes_out: 0,
        started,
        version: request.version(),
        goes_on: true,
    };
    answer(lane, request, finish, is_too_much)
}

async fn answer(
    lane: Rc<Lane>,
    request: Request<ClientBody>,
    mut finish: Finish,
    is_too_much: bool,
) -> Result<Response<ResponseBody>, Infallible> {
    let client = &lane.client;
    let accept = accept(request.headers());
    let is_head = request.method() == Method::HEAD;
    let is_grpc = lane.is_stream() && is_grpc(request.headers());
    // Stays here to the end, for it is large; only its body goes on.
    let mut request = request.map(Some);
    let proxied = if is_too_much {
        Err(Refused { reason: Reason::Overloaded, end: request_end(&request) })
    } else {
        let source = source(client, &request);
        proxy(&lane, &source, &mut request, &mut finish).await
    };
    let answered = match proxied {
        Ok(proxied) => respond(&lane, proxied, finish).map_err(|(reason, finish)| {
            let end = upload_end(finish.upload.as_ref());
            (Refused { reason, end }, finish)
        }),
        Err(refused) => Err((refused, finish)),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err((Refused { reason, end }, mut finish)) => {
            lane.watch.enter(Phase::Stream, client.idle.get());
            if end == RequestEnd::Unread {
                lane.watch.mark_unread();
            }
            (finish.status, finish.outcome) = (Some(reason.status()), Outcome::Own(reason));
            let response = if is_grpc { reason.grpc_response() } else { reason.response(accept.as_ref(), end) };
            // On HTTP/1 an answer's body is left out by whoever writes it.
            let is_left_out = is_head && lane.is_stream();
            response.map(|bytes| ResponseBody::own(if is_left_out { Bytes::new() } else { bytes }, is_head, finish))
        }
    };
    if lane.is_stream() {
        // Its connection goes on, and says itself when it does not (RFC 9113 §8.2.2).
        response.headers_mut().remove(CONNECTION);
    } else if client.is_closing() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The address of whoever asked, as text.
fn source<'c, B>(client: &'c Client, request: &Request<B>) -> Cow<'c, HeaderValue> {
    client.origin.source(request.headers(), &client.worker.config.trusted_proxies)
}

async fn proxy(
    lane: &Rc<Lane>,
    source: &HeaderValue,
    request: &mut Request<Option<ClientBody>>,
    finish: &mut Finish,
) -> Result<Proxied, Refused> {
    let client = &lane.client;
    let end = request_end(request);
    let mut routed = admit(client, request).map_err(|reason| Refused { reason, end })?;
    finish.metrics = Some(Arc::clone(&routed.metrics));
    finish.sight.on_route(&routed);
    let policy = Arc::clone(&routed.route.policy);
    client.idle.set(policy.timeouts.idle);
    routed.budget.deposit(client.worker.second_of(finish.started));
    let speaks_http2 = policy.target_protocol == TargetProtocol::Http2;
    if speaks_http2 && *request.method() == Method::CONNECT {
        return Err(Refused { reason: Reason::MethodNotAllowed, end });
    }
    let length = request.body().as_ref().and_then(|body| body.size_hint().exact());
    if policy.limits.max_body_bytes != 0 && length.is_some_and(|length| length > policy.limits.max_body_bytes) {
        return Err(Refused { reason: Reason::BodyTooLarge, end });
    }
    let mut key = key::of(&policy, request.headers(), request.uri(), source, client.worker.keys());
    finish.sight.on_key(&mut key);
    client.worker.shard.on_source(key.source);

    let upgrade = prepare(request, length, &client.origin, client.scheme());
    let mut upgrade = upgrade.map_err(|reason| Refused { reason, end })?;
    if speaks_http2 {
        // What a client may do without, and HTTP/2 has not.
        upgrade = None;
        request.headers_mut().remove(UPGRADE);
    }
    let asked =
        Asked { upgrade: upgrade.map(|offered| (offered, upgrade::Place::of(request))), set_cookie: key.set_cookie };
    let (limit, timeout) = (policy.limits.max_body_bytes, policy.timeouts.response_header);
    let body = request.body_mut().take();
    let body = body.map_or(RequestBody::Empty, |body| RequestBody::new(body, limit, &lane.watch, timeout));
    finish.upload = body.fate();
    match forward(lane, &mut routed, key.hash, request, body, &mut finish.sight).await {
        Ok(answer) => Ok(Proxied { routed, answer, asked }),
        Err(error) => {
            routed.complaints.on_no_answer(&error);
            tracing::debug!(fleet = %routed.route.id, error = &error as &dyn std::error::Error, "no answer");
            Err(Refused { reason: error.reason(), end: upload_end(finish.upload.as_ref()) })
        }
    }
}

fn request_end(request: &Request<Option<ClientBody>>) -> RequestEnd {
    let is_end = request.body().as_ref().is_none_or(Body::is_end_stream);
    if is_end { RequestEnd::Read } else { RequestEnd::Unread }
}

fn upload_end(upload: Option<&UploadFate>) -> RequestEnd {
    match upload.map(|fate| fate.get()) {
        None | Some(Fate::Done) => RequestEnd::Read,
        Some(Fate::AwaitsClient | Fate::AwaitsReplica | Fate::TooLarge | Fate::Broken) => RequestEnd::Unread,
    }
}

/// Finds the route, unless the request is one that we do not take.
fn admit<B>(client: &Client, request: &mut Request<B>) -> Result<Rc<Routed>, Reason> {
    check(request, &client.worker.config)?;
    let host = host::name(request.headers().get(HOST));
    let routed = client.worker.find(client.port, host).ok_or(Reason::NoRoute)?;
    if client.may_ask(&routed.route) { Ok(routed) } else { Err(Reason::MisdirectedRequest) }
}

/// Refuses what no route takes, and brings the rest to one form.
pub(super) fn check<B>(request: &mut Request<B>, config: &ProxyConfig) -> Result<(), Reason> {
    let is_connect = *request.method() == Method::CONNECT && !upgrade::is_websocket(request);
    if is_connect || *request.method() == Method::TRACE {
        return Err(Reason::MethodNotAllowed);
    }
    // On HTTP/1 nobody gets this far with more.
    if request.headers().len() > config.max_headers {
        return Err(Reason::TooManyFields);
    }
    host::normalize(request)?;
    if !headers::is_coding_supported(request.headers()) {
        return Err(Reason::UnsupportedCoding);
    }
    if !headers::is_expectation_known(request.headers()) {
        return Err(Reason::ExpectationFailed);
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > config.max_target_bytes { Err(Reason::UriTooLong) } else { Ok(()) }
}

/// Makes of its head the one that a replica gets; `length`: its body's, if known. Returns the protocol that the client
/// wants to switch to.
pub(super) fn prepare<B>(
    request: &mut Request<B>,
    length: Option<u64>,
    origin: &Origin,
    scheme: &'static str,
) -> Result<Option<HeaderValue>, Reason> {
    let version = request.version();
    let mut upgrade = headers::prepare_request(request.headers_mut(), version, origin, scheme)?;
    if upgrade::is_websocket(request) {
        upgrade = Some(upgrade::ask_by_upgrade(request));
    }
    if length.is_none() {
        headers::set_chunked(request.headers_mut());
    }
    Ok(upgrade)
}

fn respond(
    lane: &Rc<Lane>,
    Proxied { routed, answer, asked }: Proxied,
    mut finish: Finish,
) -> Result<Response<ResponseBody>, (Reason, Finish)> {
    let Answer { mut response, lease, replica } = answer;
    let idle = routed.route.policy.timeouts.idle;
    finish.status = Some(response.status());
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = response.headers().get(UPGRADE).cloned();
    headers::prepare_response(response.headers_mut());
    if let Some(cookie) = asked.set_cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    let is_stream = lane.is_stream();
    if is_stream && asked.upgrade.is_some() && response.status().is_success() {
        // To a CONNECT a success is the beginning of a tunnel, and this one has not begun.
        return Err((Reason::BadResponse, finish));
    }
    if !switched {
        lane.watch.enter(Phase::Stream, idle);
        let exchange = Exchange { routed, replica, lease: Some(lease), finish };
        return Ok(response.map(|inner| ResponseBody::replica(inner, exchange)));
    }
    let (mut response, body) = response.into_parts();
    let (Some((offered, place)), Some(protocol), Some(to_replica)) = (asked.upgrade, protocol, body.into_upgraded())
    else {
        return Err((Reason::BadResponse, finish));
    };
    if !headers::is_offered(&offered, &protocol) {
        return Err((Reason::BadResponse, finish));
    }
    if is_stream {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        finish.status = Some(StatusCode::OK);
    } else {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
    }
    (finish.goes_on, finish.outcome) = (false, Outcome::Whole);
    replica.upstream.record_success();
    let traffic = upgrade::Traffic {
        lane: Rc::clone(lane),
        metrics: Arc::clone(&routed.metrics),
        sight: finish.sight.take(),
        status: response.status(),
        started: finish.started,
        bytes_in: Cell::new(0),
        bytes_out: Cell::new(0),
    };
    let tunnel = upgrade::Tunnel::new(to_replica, lease, idle, traffic);
    Ok(response.map(|()| match place {
        upgrade::Place::Stream(client) => {
            tunnel.run_on_stream(client);
            ResponseBody::own(Bytes::new(), false, finish)
        }
        upgrade::Place::Connection => ResponseBody::switching(Box::new(tunnel), finish),
    }))
}
