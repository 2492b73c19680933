//! Bringing a changed template to the fleet, ordinal by ordinal and without moving a key.
//!
//! Make before break where `maxSurge` allows, break before make where only `maxUnavailable` does. No more ordinals are
//! on their way at one time than the two allow together, so a template that does not come up stops the rollout at once.

use crate::model::{Ordinal, Replica, ReplicaState};
use crate::plan::Steps;
use crate::plan::fleet::{Fleet, Place};
use crate::plan::replace::{NextTry, next_try};

/// Takes the next steps of a rollout, where one is under way.
pub(super) fn advance(fleet: &Fleet<'_>, members: &[Ordinal], steps: &mut Steps) {
    let rollout = &fleet.desired.rollout;
    let wanted = usize::from(fleet.desired.replicas);
    let most_live = wanted + usize::from(rollout.max_surge);
    let least_available = wanted.saturating_sub(usize::from(rollout.max_unavailable));
    let most_on_their_way = usize::from(rollout.max_surge) + usize::from(rollout.max_unavailable);

    let mut live = members.len().max(fleet.members(members).map(|place| place.live().count()).sum());
    let mut available = fleet.available(members);
    let mut on_their_way = members.iter().filter(|ordinal| is_on_its_way(fleet, **ordinal)).count();

    for place in fleet.members(members) {
        settle(fleet, place, steps);
    }
    for place in waiting(fleet, members) {
        if !place.serves() {
            // Nothing is lost with a replica that serves nobody: the place is filled with the wanted template next.
            place.live().for_each(|replica| fleet.drain(replica, steps));
            continue;
        }
        match next_try(fleet, Some(place)) {
            NextTry::At(due) => steps.check_at(due),
            NextTry::Now { failures } if has_failed(fleet, place) => {
                steps.actions.push(fleet.create(place.ordinal, failures));
            }
            NextTry::Now { .. } if on_their_way >= most_on_their_way => {}
            NextTry::Now { failures } if live < most_live => {
                steps.actions.push(fleet.create(place.ordinal, failures));
                (live, on_their_way) = (live + 1, on_their_way + 1);
            }
            NextTry::Now { .. } if available > least_available => {
                place.live().for_each(|replica| fleet.drain(replica, steps));
                (available, on_their_way) = (available - 1, on_their_way + 1);
            }
            NextTry::Now { .. } => {}
        }
    }
}

/// Drains what an ordinal no longer needs. It needs its best replica of the wanted template and, until that one is
/// available, the best of any other template that still serves.
fn settle(fleet: &Fleet<'_>, place: &Place<'_>, steps: &mut Steps) {
    // Of equals the newest: it is the one that the route names.
    let rank = |replica: &&Replica| (fleet.is_available(replica), replica.is_ready(), replica.incarnation);
    let best = |updated| place.live().filter(|replica| fleet.is_updated(replica) == updated).max_by_key(rank);
    let updated = best(true);
    let fallback = best(false).filter(|fallback| match updated {
        None => true,
        Some(updated) => !fleet.is_available(updated) && fallback.serves(),
    });
    for replica in place.live() {
        let is_needed = [updated, fallback].iter().flatten().any(|needed| needed.uid == replica.uid);
        if !is_needed {
            fleet.drain(replica, steps);
        }
    }
}

/// Members whose only live replicas run another template, those that serve nobody first.
fn waiting<'a, 'b>(fleet: &'b Fleet<'a>, members: &'b [Ordinal]) -> Vec<&'b Place<'a>> {
    let mut places: Vec<_> = fleet
        .members(members)
        .filter(|place| place.live().next().is_some() && !place.live().any(|replica| fleet.is_updated(replica)))
        .collect();
    places.sort_by_key(|place| (place.serves(), place.ordinal));
    places
}

/// Whether an ordinal's update has begun and is not available yet.
fn is_on_its_way(fleet: &Fleet<'_>, ordinal: Ordinal) -> bool {
    let Some(place) = fleet.places.get(&ordinal) else { return true };
    let arrived = |replica: &Replica| fleet.is_updated(replica) && fleet.is_available(replica);
    let begun = place.live().next().is_none() || place.live().any(|replica| fleet.is_updated(replica));
    (begun || has_failed(fleet, place)) && !place.live().any(arrived)
}

/// Whether the wanted template was tried here and failed, so that the next try is a repetition.
fn has_failed(fleet: &Fleet<'_>, place: &Place<'_>) -> bool {
    place.rejection.is_some()
        || place.replicas.iter().any(|replica| {
            fleet.is_updated(replica)
                && replica.draining_since.is_none()
                && matches!(replica.state, ReplicaState::Dead { .. })
        })
}
