//! Alive and ready, for the kubelet and for load balancers in front.

use axum::extract::State;
use axum::http::StatusCode;

use crate::admin::AdminState;

/// Whether this process should get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The first table is not published yet.
    Starting,
    /// Send requests.
    Ready,
    /// On its way out: finishes what runs, wants nothing new.
    Draining,
}

/// The process answers; nothing else is asked, so that no trouble elsewhere has it restarted.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(State(state): State<AdminState>) -> (StatusCode, &'static str) {
    match *state.readiness.borrow() {
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting: the fleets are not known yet\n"),
        Readiness::Ready => (StatusCode::OK, "ok\n"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining: shutting down\n"),
    }
}
