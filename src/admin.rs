//! The admin server: health for whoever runs us, metrics, and what people and tools ask about the fleets.
//!
//! It reads the published route table and decides nothing; a change of size is handed to the controller. There is no
//! authentication here: who reaches the admin port may look and scale.

mod draining;
mod error;
mod explain;
mod fleet_path;
mod health;
mod metrics;
mod scale;
mod show;

pub use health::Readiness;
pub use metrics::RouteMetrics;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::routing::{get, put};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ring::KeyHasher;
use crate::routes::{Reader, Requests};
use error::ApiError;

/// Longest request body in bytes; the only one that has a meaning here is a dozen long.
const MAX_BODY: usize = 4096;

/// What the endpoints read and whom they ask.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// The published table.
    pub reader: Reader,
    /// The way to the controller.
    pub requests: Requests,
    /// The hash that the proxy uses, so that questions about a key get the proxy's answer.
    pub hasher: KeyHasher,
    /// Everything that `/metrics` shows.
    pub registry: Arc<Registry>,
    /// What `/readyz` says.
    pub readiness: watch::Receiver<Readiness>,
}

/// Serves until `shutdown`, then until running requests have ended.
///
/// # Errors
/// The listener failed for good.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router(state)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// A LoadBalancer is named by one segment in the namespace `default`, and by two anywhere. So one that is called `scale`,
/// `route` or `draining` is shown in lists only where its namespace would have to be said.
fn router(state: AdminState) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/loadbalancers", get(show::list))
        .route("/api/v1/loadbalancers/{a}", get(show::show))
        .route("/api/v1/loadbalancers/{a}/{b}", get(show::show))
        .route("/api/v1/loadbalancers/{a}/scale", put(scale::scale))
        .route("/api/v1/loadbalancers/{a}/{b}/scale", put(scale::scale))
        .route("/api/v1/loadbalancers/{a}/route", get(explain::explain))
        .route("/api/v1/loadbalancers/{a}/{b}/route", get(explain::explain))
        .route("/api/v1/loadbalancers/{a}/draining", get(draining::draining))
        .route("/api/v1/loadbalancers/{a}/{b}/draining", get(draining::draining))
        .fallback(async |uri: Uri| ApiError::UnknownPath(uri.path().to_owned()))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}
