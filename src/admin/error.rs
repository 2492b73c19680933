//! Refusals: a status and `{"error": "…"}` with the way out.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::model::FleetId;
use crate::routes::{RouteTable, ScaleError};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("there is nothing at {0}; the API begins at /api/v1/loadbalancers")]
    UnknownPath(String),
    #[error("this path does not take that method; see the Allow header")]
    MethodNotAllowed,
    #[error("no LoadBalancer is called {id}; there {known}")]
    UnknownFleet { id: FleetId, known: String },
    #[error("{0}")]
    Invalid(String),
    #[error("can't read the body: {0}")]
    Body(BytesRejection),
    #[error("{id} is not routed now: {reason}")]
    NotRouted { id: FleetId, reason: String },
    #[error("Ringhold is shutting down; ask another process or try again")]
    ShuttingDown,
    #[error("can't encode the metrics")]
    Metrics(#[source] std::fmt::Error),
}

#[derive(Serialize)]
struct Body {
    error: String,
}

// === impl ApiError ===

impl ApiError {
    /// A name that is not in the table, with those that are.
    pub(super) fn unknown(id: FleetId, table: &RouteTable) -> Self {
        let names: Vec<String> = table.fleets().map(|entry| entry.id.to_string()).collect();
        let known = if names.is_empty() { "are none".to_owned() } else { format!("are: {}", names.join(", ")) };
        Self::UnknownFleet { id, known }
    }

    /// The controller's refusal.
    pub(super) fn scale(error: ScaleError, table: &RouteTable) -> Self {
        match error {
            ScaleError::NotFound(id) => Self::unknown(id, table),
            ScaleError::Invalid(message) => Self::Invalid(message),
            ScaleError::ShuttingDown => Self::ShuttingDown,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath(_) | Self::UnknownFleet { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Body(rejection) => rejection.status(),
            Self::NotRouted { .. } => StatusCode::CONFLICT,
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Metrics(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(Body { error: self.to_string() })).into_response()
    }
}
