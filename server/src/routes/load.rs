//! How many requests are here at one time, as the replica itself counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;

use crate::routes::Replica;

/// Counters of one replica.
#[derive(Debug, Default)]
pub(super) struct Load {
    now: AtomicU64,
    peak: AtomicU64,
    requests: AtomicU64,
}

/// What they say.
#[derive(Serialize)]
pub(super) struct Seen {
    /// Requests that wait for their answer's beginning.
    now: u64,
    /// The most there have been at one time.
    peak: u64,
    /// How many there have been in all.
    requests: u64,
}

/// Counts on drop, for a client may leave at any time.
struct Counted(Arc<Load>);

pub(super) async fn load(State(replica): State<Replica>) -> Json<Seen> {
    let Load { now, peak, requests } = &*replica.load;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Json(Seen { now: read(now), peak: read(peak), requests: read(requests) })
}

/// Counts a request until its answer begins, and notes it where that is wanted.
pub(super) async fn count(State(replica): State<Replica>, request: Request, next: Next) -> Response {
    if let Some(log) = &replica.log {
        log.note(request.method(), request.uri());
    }
    let _counted = Counted::new(replica.load);
    next.run(request).await
}

// === impl Counted ===

impl Counted {
    fn new(load: Arc<Load>) -> Self {
        load.requests.fetch_add(1, Ordering::Relaxed);
        let now = load.now.fetch_add(1, Ordering::Relaxed) + 1;
        load.peak.fetch_max(now, Ordering::Relaxed);
        Self(load)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
