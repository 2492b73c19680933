//! The endpoints: who answers, whether it is ready, what it sends, how much it has to do, and a WebSocket.

mod identity;
mod lifecycle;
mod load;
mod payload;
mod socket;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::request_log::RequestLog;
use crate::signals::Stopping;

/// What the endpoints share.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    name: Arc<str>,
    ordinal: Option<u16>,
    /// What `/heartbeat` says.
    ready: Arc<AtomicBool>,
    load: Arc<load::Load>,
    log: Option<Arc<RequestLog>>,
    /// When to end what has no end of its own.
    stopping: Stopping,
}

/// All endpoints of a replica with this name.
pub(crate) fn router(name: &str, ordinal: Option<u16>, log: Option<RequestLog>, stopping: Stopping) -> Router {
    let ready = Arc::new(AtomicBool::new(true));
    let (load, log) = (Arc::default(), log.map(Arc::new));
    let replica = Replica { name: name.into(), ordinal, ready, load, log, stopping };
    let counted = Router::new()
        .route("/home", get(identity::home))
        .route("/whoami", any(identity::whoami))
        .route("/slow", any(payload::slow))
        .route("/status/{code}", any(payload::status))
        .route("/bytes", get(payload::bytes))
        .route("/stream", get(payload::stream))
        .route("/echo", any(payload::echo))
        .route("/ws", get(socket::echo))
        .route_layer(from_fn_with_state(replica.clone(), load::count));
    Router::new()
        .route("/heartbeat", get(lifecycle::heartbeat))
        .route("/ready", post(lifecycle::ready))
        .route("/unready", post(lifecycle::unready))
        .route("/exit", post(lifecycle::exit))
        .route("/load", get(load::load))
        .merge(counted)
        .fallback(unknown)
        .with_state(replica)
}

async fn unknown(uri: Uri) -> impl IntoResponse {
    let body = json!({"message": format!("there is nothing at {}", uri.path()), "status": "failure"});
    (StatusCode::NOT_FOUND, Json(body))
}
