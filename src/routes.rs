//! The bridge between control plane and data plane, and the only one.
//!
//! The controller publishes one immutable [`RouteTable`], swapped whole; the proxy's workers read it through
//! [`Reader`], each with its own cached snapshot. What the proxy learns goes back in small shared facts: the in-flight
//! counts and ejections of each [`Upstream`], the state of each listener, and a wake-up for the controller.

mod listeners;
mod pick;
mod publisher;
mod requests;
mod route;
mod table;
mod upstream;

pub use listeners::{ListenError, ListenRequest, Listeners};
pub use pick::{Candidate, PickError, Verdict};
pub use publisher::{Bridge, Publisher, Reader, bridge};
pub use requests::{Requests, ScaleError, ScaleRequest};
pub use route::{Placement, Route, Seat};
pub use table::{FleetEntry, Leaving, RouteTable};
pub use upstream::{Lease, Upstream};
