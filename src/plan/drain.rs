//! The two steps out: first the mark, so that every proxy stops choosing the replica, then the end, once its requests
//! are done or the drain time has passed.

use crate::model::{Action, Ordinal, ReplicaState};
use crate::plan::Steps;
use crate::plan::fleet::{Fleet, Place};

/// Marks everything outside the ring.
pub(super) fn leave(fleet: &Fleet<'_>, members: &[Ordinal], steps: &mut Steps) {
    for place in fleet.places.values().filter(|place| members.binary_search(&place.ordinal).is_err()) {
        for replica in place.live() {
            fleet.drain(replica, steps);
        }
    }
}

/// Deletes what has finished draining, and the dead that nobody needs to remember.
pub(super) fn finish(fleet: &Fleet<'_>, members: &[Ordinal], steps: &mut Steps) {
    for place in fleet.places.values() {
        for replica in &place.replicas {
            let ends = match (&replica.state, replica.draining_since) {
                (ReplicaState::Terminating, _) => false,
                (ReplicaState::Dead { .. }, Some(_)) => true,
                (ReplicaState::Dead { .. }, None) => {
                    members.binary_search(&place.ordinal).is_err()
                        || is_followed(place, replica.incarnation)
                        || !fleet.is_updated(replica)
                }
                (_, None) => false,
                (_, Some(since)) => {
                    let idle = !replica.traffic.routed && replica.traffic.in_flight == 0;
                    let deadline = since + fleet.desired.rollout.drain_timeout;
                    if replica.traffic.routed {
                        // The mark is new: the table without it is published with this plan, so look again right away.
                        steps.check_at(fleet.now);
                    } else if !idle && fleet.now < deadline {
                        steps.check_at(deadline);
                    }
                    idle || (!replica.traffic.routed && fleet.now >= deadline)
                }
            };
            if ends {
                steps.actions.push(Action::Delete { name: replica.name.clone(), uid: replica.uid.clone() });
            }
        }
    }
}

/// Whether a later incarnation carries on the count of failures.
fn is_followed(place: &Place<'_>, incarnation: crate::model::Incarnation) -> bool {
    place.replicas.iter().any(|other| other.incarnation > incarnation)
}
