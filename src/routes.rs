//! The bridge between control plane and data plane, and the only one.
//!
//! The controller publishes one immutable [`RouteTable`], swapped whole; the proxy's workers read it through
//! [`Reader`], each with its own cached snapshot. What the proxy learns goes back in small shared facts: the in-flight
//! counts and ejections of each [`Upstream`], the state of each listener, and a wake-up for the controller.

mod bounded;
mod gate;
mod listeners;
mod pick;
mod publisher;
mod requests;
mod route;
mod table;
#[cfg(test)]
mod tests;
mod upstream;

pub use listeners::{ListenError, ListenRequest, Listeners};
pub use pick::{Candidate, Pick, PickError, Verdict};
pub use publisher::{Bridge, Publisher, Reader, bridge};
pub use requests::{Requests, ScaleError, ScaleRequest};
pub use route::{Placement, Route, Seat, Wire};
pub use table::{FleetEntry, Leaving, Moved, RouteTable};
pub use upstream::{Lease, Upstream};

/// What `gate` counts with; `tests/loom` puts its own in its place.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}
