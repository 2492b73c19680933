//! Reconciling: from a declared LoadBalancer to a running fleet.
//!
//! [`validate()`] parses a spec once, at the edge; [`tick()`] observes, plans, publishes and applies, for any backend;
//! the drivers ([`standalone`]) decide when.

mod claims;
pub mod manifest;
pub mod standalone;
mod story;
mod template;
mod tick;
mod validate;

pub use tick::{Elsewhere, Exposure, Memory, Outcome, Part, Standing, TickError, tick};
pub use validate::{FieldError, FieldErrors, Service, service, validate};
