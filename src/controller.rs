//! Reconciling: from a declared LoadBalancer to a running fleet.
//!
//! [`validate()`] parses a spec once, at the edge; [`tick()`] observes, plans, publishes and applies, for any backend;
//! the drivers ([`standalone`], [`kubernetes`]) decide when.

mod accept;
mod authorities;
mod certificate;
mod claims;
mod kept;
pub mod kubernetes;
pub mod leader;
pub mod manifest;
pub mod standalone;
mod status;
mod story;
mod template;
mod tick;
mod validate;

pub use authorities::Trust;
pub use certificate::Security;
pub use tick::{ApplyError, Elsewhere, Exposure, Memory, Outcome, Part, Standing, TickError, tick};
pub use validate::{CheckedRing, FieldError, FieldErrors, Service, ring, service, validate};
