//! Answers of every length, speed and status.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::time::sleep;

use crate::routes::Replica;

/// Bytes sent at once where nothing else is asked for.
const CHUNK: u64 = 64 * 1024;

#[derive(Deserialize)]
pub(super) struct Slow {
    #[serde(default)]
    ms: u64,
}

/// Answers after so many milliseconds.
pub(super) async fn slow(State(replica): State<Replica>, Query(Slow { ms }): Query<Slow>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("{} after {ms} ms\n", replica.name)
}

/// Answers with this status, from 200 on: what is below does not end an exchange.
pub(super) async fn status(Path(code): Path<u16>) -> Response {
    match StatusCode::from_u16(code) {
        Ok(status) if code >= 200 => {
            let has_body = !matches!(code, 204 | 205 | 304);
            (status, if has_body { format!("{status}\n") } else { String::new() }).into_response()
        }
        _ => (StatusCode::BAD_REQUEST, format!("{code}: use a status from 200 to 999\n")).into_response(),
    }
}

#[derive(Deserialize)]
pub(super) struct Quantity {
    #[serde(default)]
    n: u64,
    chunk: Option<u64>,
    delay_ms: Option<u64>,
}

/// n bytes, with their length said before; or, where a chunk or a delay is asked for, in chunks without it.
pub(super) async fn bytes(Query(Quantity { n, chunk, delay_ms }): Query<Quantity>) -> Response {
    let size = chunk.unwrap_or(CHUNK).clamp(1, CHUNK);
    let pause = Duration::from_millis(delay_ms.unwrap_or(0));
    let body = stream::unfold(n, move |left| async move {
        if left == 0 {
            return None;
        }
        if left < n && !pause.is_zero() {
            sleep(pause).await;
        }
        let now = left.min(size);
        Some((Ok::<_, Infallible>(filler(now)), left - now))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if chunk.is_none() && delay_ms.is_none() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
    }
    response
}

/// So many bytes, at most [`CHUNK`].
fn filler(count: u64) -> Bytes {
    static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let count = usize::try_from(count).map_or(FILLER.len(), |count| count.min(FILLER.len()));
    Bytes::from_static(&FILLER[..count])
}

#[derive(Deserialize)]
pub(super) struct Lines {
    n: Option<u64>,
    #[serde(default)]
    ms: u64,
}

/// A line each so many milliseconds: n of them, or on until the client goes or the replica stops.
pub(super) async fn stream(State(replica): State<Replica>, Query(Lines { n, ms }): Query<Lines>) -> Response {
    let pause = Duration::from_millis(ms);
    let body = stream::unfold((replica, 0_u64), move |(mut replica, line)| async move {
        if n.is_some_and(|n| line >= n) || (n.is_none() && replica.stopping.is_requested()) {
            return None;
        }
        if line > 0 {
            tokio::select! {
                () = sleep(pause) => {}
                () = replica.stopping.requested(), if n.is_none() => return None,
            }
        }
        let text = format!("{line} {}\n", replica.name);
        Some((Ok::<_, Infallible>(text), (replica, line + 1)))
    });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(body)).into_response()
}

/// Sends the request's body back while it arrives, under its own content type.
pub(super) async fn echo(headers: HeaderMap, request: Request) -> Response {
    let mut response = Response::new(request.into_body());
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    response
}
