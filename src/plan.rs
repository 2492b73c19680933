//! The planner: decides, never does.
//!
//! One pure function from what is wanted and what is there to the next steps. Each file of this module takes one
//! decision; none keeps state, so any process that sees the same facts plans the same.

mod drain;
mod fleet;
mod members;
mod replace;
mod rollout;
mod status;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::model::{Action, Desired, FleetStatus, Observed, Ordinal};
use fleet::Fleet;

pub use replace::{STABLE_AFTER, backoff};

/// What to do next, and what there is to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order in which they should be done.
    pub actions: Vec<Action>,
    /// The ring's members, sorted. An ordinal leaves before its replica does.
    pub members: Vec<Ordinal>,
    /// For people.
    pub status: FleetStatus,
    /// When to plan again though nothing happens: the earliest moment at which time alone changes the plan.
    pub next_check: Option<Timestamp>,
}

/// Collects actions and the next moment of interest.
#[derive(Debug, Default)]
struct Steps {
    actions: Vec<Action>,
    next_check: Option<Timestamp>,
}

/// Plans the next steps of one fleet.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let fleet = Fleet::new(desired, observed, now);
    let members = members::choose(&fleet);
    let mut steps = Steps::default();
    drain::leave(&fleet, &members, &mut steps);
    replace::unhealthy(&fleet, &members, &mut steps);
    replace::fill(&fleet, &members, &mut steps);
    rollout::advance(&fleet, &members, &mut steps);
    drain::finish(&fleet, &members, &mut steps);
    let status = status::describe(&fleet, &members, &mut steps);
    let Steps { actions, next_check } = steps;
    Plan { actions, members, status, next_check }
}

// === impl Steps ===

impl Steps {
    fn check_at(&mut self, when: Timestamp) {
        self.next_check = Some(self.next_check.map_or(when, |earlier| earlier.min(when)));
    }
}
