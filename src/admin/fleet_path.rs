//! Which LoadBalancer a path names: by one segment in the namespace `default`, by two anywhere.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::model::FleetId;

/// Taken from the path's `{a}`, or its `{a}/{b}`.
pub(super) struct FleetPath(pub(super) FleetId);

// === impl FleetPath ===

impl<S: Send + Sync> FromRequestParts<S> for FleetPath {
    type Rejection = PathRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PathRejection> {
        let Path(segments) = Path::<Vec<String>>::from_request_parts(parts, state).await?;
        Ok(Self(match &*segments {
            [namespace, name] => FleetId::new(namespace, name),
            rest => FleetId::local(rest.first().map_or("", String::as_str)),
        }))
    }
}
