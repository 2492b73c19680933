//! Keeping every ordinal filled: what died or never became healthy is replaced, ever more slowly while it keeps failing.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Ordinal, Replica, ReplicaState, elapsed};
use crate::plan::Steps;
use crate::plan::fleet::{Death, Fleet, Place};

/// A replica that was ready for so long was no failure: its end starts the count anew.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// How long to wait before the next try after so many failures in a row: nothing after the first, then 1 s, 2 s, 4 s …
/// up to five minutes.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_DELAY.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_DELAY),
    }
}

/// Why an ordinal should wait, or what to write on its next replica.
pub(super) enum NextTry {
    /// Now; so many predecessors failed.
    Now { failures: u32 },
    /// Not before this.
    At(Timestamp),
}

/// When an ordinal's next replica may be created.
pub(super) fn next_try(fleet: &Fleet<'_>, place: Option<&Place<'_>>) -> NextTry {
    let Some(place) = place else { return NextTry::Now { failures: 0 } };
    let death = place.last_death().filter(|death| fleet.is_updated(death.replica));
    let given_up = place.given_up().filter(|replica| fleet.is_updated(replica));
    let failures = death.as_ref().map(failures_in_a_row).max(given_up.map(|replica| replica.failures + 1)).unwrap_or(0);
    let after_death = death.map(|death| death.since + backoff(failures));
    let after_rejection = place.rejection.map(|rejection| rejection.at + backoff(rejection.count + 1));
    match after_death.max(after_rejection) {
        Some(due) if due > fleet.now => NextTry::At(due),
        _ => NextTry::Now { failures },
    }
}

/// This death and those before it, as its replica remembers them.
pub(super) fn failures_in_a_row(death: &Death<'_>) -> u32 {
    if death.ready_for >= STABLE_AFTER { 1 } else { death.replica.failures.saturating_add(1) }
}

/// Fills the members that nobody fills.
pub(super) fn fill(fleet: &Fleet<'_>, members: &[Ordinal], steps: &mut Steps) {
    for ordinal in members {
        let place = fleet.places.get(ordinal);
        if place.is_some_and(|place| place.live().next().is_some()) {
            continue;
        }
        match next_try(fleet, place) {
            NextTry::Now { failures } => steps.actions.push(fleet.create(*ordinal, failures)),
            NextTry::At(due) => steps.check_at(due),
        }
    }
}

/// Drains a replica that has been unready for too long, one at a time: when all are unready the cause is elsewhere. One
/// that never turned ready gets ever more time, as one that dies waits ever longer for its next try.
pub(super) fn unhealthy(fleet: &Fleet<'_>, members: &[Ordinal], steps: &mut Steps) {
    let mut overdue = None;
    let mut replacement_under_way = false;
    for place in fleet.members(members) {
        for replica in place.live() {
            let Some((since, patience)) = patience(fleet, replica) else { continue };
            if elapsed(since, fleet.now) >= patience {
                overdue.get_or_insert(replica);
            } else {
                steps.check_at(since + patience);
                replacement_under_way |= replica.state == ReplicaState::Starting && replica.failures > 0;
            }
        }
    }
    if let Some(replica) = overdue.filter(|_| !replacement_under_way) {
        fleet.drain(replica, steps);
    }
}

/// Since when a replica is not ready, and how long that may last.
fn patience(fleet: &Fleet<'_>, replica: &Replica) -> Option<(Timestamp, Duration)> {
    match replica.state {
        ReplicaState::Starting => {
            let patience = fleet.desired.health.startup + backoff(replica.failures.saturating_add(1));
            Some((replica.created_at, patience))
        }
        ReplicaState::Unready { since } => Some((since, fleet.desired.health.replace_after)),
        _ => None,
    }
}
