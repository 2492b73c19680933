//! Readiness and its switches, and a way to die.

use std::sync::atomic::Ordering;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::routes::Replica;

pub(super) async fn heartbeat(State(replica): State<Replica>) -> StatusCode {
    if replica.ready.load(Ordering::Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(super) async fn ready(State(replica): State<Replica>) -> StatusCode {
    replica.ready.store(true, Ordering::Relaxed);
    StatusCode::OK
}

pub(super) async fn unready(State(replica): State<Replica>) -> StatusCode {
    replica.ready.store(false, Ordering::Relaxed);
    StatusCode::OK
}

#[derive(Deserialize)]
pub(super) struct Exit {
    #[serde(default)]
    code: i32,
}

/// Ends the process without an answer, as a crash would.
pub(super) async fn exit(Query(Exit { code }): Query<Exit>) -> StatusCode {
    std::process::exit(code)
}
