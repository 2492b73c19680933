//! What there is to say of a fleet: counts, every replica's state, and the conditions. A condition changes only when
//! something has changed, never by time alone.

use std::time::Duration;

use crate::model::{
    Condition, ConditionStatus, ConditionType, FleetStatus, Ordinal, Replica, ReplicaState, ReplicaStatus, elapsed,
};
use crate::plan::Steps;
use crate::plan::fleet::Fleet;
use crate::plan::replace::{STABLE_AFTER, backoff, failures_in_a_row};

/// A replica that has not become ready for so long is told of: a wrong health path is the likeliest mistake.
const SLOW_START: Duration = Duration::from_secs(15);

/// A condition before it is compared with the last one stated.
type Statement = (ConditionType, bool, &'static str, String);

/// Describes the fleet as it was observed.
pub(super) fn describe(fleet: &Fleet<'_>, members: &[Ordinal], steps: &mut Steps) -> FleetStatus {
    let replicas = &fleet.observed.replicas;
    let count = |holds: &dyn Fn(&Replica) -> bool| {
        u16::try_from(replicas.iter().filter(|replica| replica.is_live() && holds(replica)).count()).unwrap_or(u16::MAX)
    };
    let available = fleet.available(members);
    for replica in replicas.iter().filter(|replica| replica.is_live() && replica.is_ready()) {
        check_when_it_counts(fleet, replica, steps);
    }
    let mut status = FleetStatus {
        observed_generation: fleet.desired.generation,
        desired_replicas: fleet.desired.replicas,
        replicas: count(&|_| true),
        ready_replicas: count(&Replica::is_ready),
        updated_replicas: count(&|replica| fleet.is_updated(replica)),
        available_replicas: u16::try_from(available).unwrap_or(u16::MAX),
        ring: None,
        conditions: Vec::new(),
        members: fleet
            .places
            .values()
            .flat_map(|place| &place.replicas)
            .map(|replica| describe_replica(fleet, replica, steps))
            .collect(),
    };
    let statements =
        [is_available(fleet, available), is_degraded(fleet, members), is_progressing(fleet, &status, steps)];
    status.conditions = statements.into_iter().map(|statement| compare(fleet, statement)).collect();
    status
}

/// A ready replica turns available, and one that had failed turns healthy, by time alone.
fn check_when_it_counts(fleet: &Fleet<'_>, replica: &Replica, steps: &mut Steps) {
    let Some(ready) = replica.ready_for(fleet.now) else { return };
    let mut waits = vec![fleet.desired.rollout.min_ready];
    if replica.failures >= 2 {
        waits.push(STABLE_AFTER);
    }
    for wait in waits.into_iter().filter(|wait| *wait > ready) {
        steps.check_at(fleet.now + wait.saturating_sub(ready));
    }
}

fn describe_replica(fleet: &Fleet<'_>, replica: &Replica, steps: &mut Steps) -> ReplicaStatus {
    let reason = match &replica.state {
        ReplicaState::Dead { reason, .. } => Some(reason.clone()),
        ReplicaState::Starting | ReplicaState::Unready { .. } if replica.trouble.is_some() => replica.trouble.clone(),
        ReplicaState::Starting if elapsed(replica.created_at, fleet.now) >= SLOW_START => {
            Some(match &fleet.desired.health.path {
                Some(path) => format!("GET {path} has not been answered with 200 to 399 yet"),
                None => "it has taken no connection yet".to_owned(),
            })
        }
        ReplicaState::Starting => {
            steps.check_at(replica.created_at + SLOW_START);
            None
        }
        _ => None,
    };
    let shows_own_state =
        replica.is_live() || matches!(replica.state, ReplicaState::Dead { .. } | ReplicaState::Terminating);
    ReplicaStatus {
        name: replica.name.clone(),
        uid: replica.uid.clone(),
        ordinal: replica.ordinal,
        incarnation: replica.incarnation,
        template: replica.template.clone(),
        state: if shows_own_state { replica.state.as_str() } else { "Draining" },
        reason,
        address: replica.address,
        remove_first: replica.remove_first,
        finishing: replica.draining_since.map(|_| replica.traffic.in_flight),
    }
}

fn is_available(fleet: &Fleet<'_>, available: usize) -> Statement {
    let wanted = fleet.desired.replicas;
    let least = usize::from(wanted.saturating_sub(fleet.desired.rollout.max_unavailable));
    let message = format!("{available} of {wanted} ordinals have an available replica");
    if available >= least {
        (ConditionType::Available, true, "MinimumReplicasAvailable", message)
    } else {
        (ConditionType::Available, false, "MinimumReplicasUnavailable", message)
    }
}

/// The first thing that keeps failing, by ordinal.
fn is_degraded(fleet: &Fleet<'_>, members: &[Ordinal]) -> Statement {
    let name = &fleet.desired.id.name;
    for place in fleet.members(members) {
        let ordinal = place.ordinal;
        if let Some(rejection) = place.rejection {
            let delay = backoff(rejection.count.saturating_add(1)).as_secs();
            let message = format!(
                "{name}-{ordinal} can't be created: {}; the next try comes {delay} s after the last",
                rejection.message
            );
            return (ConditionType::Degraded, true, rejection.reason, message);
        }
        if let Some(death) = place.last_death() {
            let failures = failures_in_a_row(&death);
            if failures >= 2 {
                let delay = backoff(failures).as_secs();
                let message = format!(
                    "{name}-{ordinal} failed {failures} times in a row, last with {}; the next try comes {delay} s after that",
                    death.reason
                );
                return (ConditionType::Degraded, true, "ReplicaFailing", message);
            }
        }
        let recovers = |replica: &Replica| {
            replica.failures >= 2 && replica.ready_for(fleet.now).is_none_or(|ready| ready < STABLE_AFTER)
        };
        if let Some(replica) = place.live().find(|replica| recovers(replica)) {
            let message = format!("{name}-{ordinal} failed {} times in a row and was started again", replica.failures);
            return (ConditionType::Degraded, true, "ReplicaFailing", message);
        }
        if let Some((replica, trouble)) = place.live().find_map(|replica| Some((replica, replica.trouble.as_ref()?))) {
            let message = format!("{name}-{ordinal} ({}) can't get ready: {trouble}", replica.name);
            return (ConditionType::Degraded, true, "ReplicaFailing", message);
        }
        if place.live().any(|replica| matches!(replica.state, ReplicaState::Unready { .. })) && !place.serves() {
            let message = format!("{name}-{ordinal} was ready and no longer answers its health check");
            return (ConditionType::Degraded, true, "ReplicaUnready", message);
        }
        let overdue = |replica: &Replica| {
            replica.state == ReplicaState::Starting
                && elapsed(replica.created_at, fleet.now) >= fleet.desired.health.startup
        };
        if place.live().any(overdue) {
            let message = format!("{name}-{ordinal} did not become ready in time");
            return (ConditionType::Degraded, true, "ReplicaNeverReady", message);
        }
    }
    (ConditionType::Degraded, false, "AsExpected", "nothing keeps failing".to_owned())
}

fn is_progressing(fleet: &Fleet<'_>, status: &FleetStatus, steps: &Steps) -> Statement {
    let FleetStatus {
        desired_replicas: wanted,
        replicas,
        updated_replicas: updated,
        available_replicas: available,
        ..
    } = status;
    let leaving = fleet.observed.replicas.iter().filter(|replica| !replica.is_live()).count();
    let settled =
        steps.actions.is_empty() && leaving == 0 && replicas == wanted && updated == wanted && available == wanted;
    if settled {
        return (ConditionType::Progressing, false, "Settled", format!("all {wanted} replicas are as the spec says"));
    }
    let reason = if replicas < wanted {
        "Growing"
    } else if updated < replicas {
        "RollingOut"
    } else if leaving > 0 || replicas > wanted {
        "Shrinking"
    } else {
        "Starting"
    };
    let message = format!("{available} of {wanted} available, {updated} updated, {leaving} leaving");
    (ConditionType::Progressing, true, reason, message)
}

/// Keeps the time of the last transition while the status stays.
fn compare(fleet: &Fleet<'_>, (kind, holds, reason, message): Statement) -> Condition {
    let status = ConditionStatus::from(holds);
    let before = fleet.observed.conditions.iter().find(|before| before.kind == kind && before.status == status);
    Condition {
        kind,
        status,
        observed_generation: fleet.desired.generation,
        last_transition_time: before.map_or(fleet.now, |before| before.last_transition_time),
        reason,
        message,
    }
}
