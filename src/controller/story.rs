//! What happened to a fleet between two looks, in lines that people read.

use std::collections::BTreeMap;

use crate::model::{ConditionStatus, ConditionType, FleetStatus, Ordinal, ReplicaStatus};

/// Tells what has changed from `before` to `after`; `moved` is the share of the key space that changed owner, `shares`
/// is what each member owns of it now.
#[must_use]
pub(super) fn tell(
    fleet: &str,
    before: &FleetStatus,
    after: &FleetStatus,
    moved: f64,
    shares: &BTreeMap<Ordinal, f64>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for replica in &after.members {
        let previous = before.members.iter().find(|previous| previous.name == replica.name);
        if previous.map(|previous| previous.state) != Some(replica.state) {
            lines.extend(turn(fleet, before, replica, shares.get(&replica.ordinal)));
        } else if let Some(reason) = &replica.reason
            && previous.is_some_and(|previous| previous.reason.is_none())
        {
            lines.push(format!("{fleet}-{} is not ready yet: {reason}", replica.ordinal));
        }
    }
    for gone in before.members.iter().filter(|gone| gone.state != "Dead") {
        if !after.members.iter().any(|replica| replica.name == gone.name) {
            lines.push(format!("{fleet}-{} ({}) has stopped", gone.ordinal, gone.name));
        }
    }
    let members = |status: &FleetStatus| status.ring.as_ref().map_or(0, |ring| ring.members);
    if members(before) != members(after) && before.ring.is_some() && after.ring.is_some() {
        let (old, new) = (members(before), members(after));
        lines.push(format!("the ring went from {old} to {new} members; {:.1} % of the keys move", moved * 100.0));
    }
    lines.extend(degradation(before, after));
    if is_settled(after) && !is_settled(before) {
        lines.push(match after.desired_replicas {
            0 => "no replicas are left".to_owned(),
            1 => "the replica is ready".to_owned(),
            wanted => format!("all {wanted} replicas are ready"),
        });
    }
    lines
}

/// A replica's new state.
fn turn(fleet: &str, before: &FleetStatus, replica: &ReplicaStatus, share: Option<&f64>) -> Option<String> {
    let place = format!("{fleet}-{}", replica.ordinal);
    let keys = share.map_or_else(|| "its keys".to_owned(), |share| format!("its keys ({:.1} %)", share * 100.0));
    let reason = replica.reason.as_deref().unwrap_or("unknown cause");
    match replica.state {
        "Starting" => Some(match last_at(before, replica.ordinal) {
            None => format!("{place} starts"),
            Some(last) if last.template != replica.template => {
                format!("{place} is updated: {} starts beside {}", replica.name, last.name)
            }
            Some(_) => format!("{place} is replaced: {} starts", replica.name),
        }),
        "Ready" => {
            let address = replica.address.map(|address| format!(" on {address}")).unwrap_or_default();
            Some(format!("{place} is ready{address}"))
        }
        "Unready" => Some(format!("{place} does not answer its health check; {keys} go to the others meanwhile")),
        "Dead" => Some(format!("{place} died ({reason}); {keys} go to the others meanwhile")),
        "Draining" => Some(format!("{place} ({}) gets no new requests and finishes those it has", replica.name)),
        _ => None,
    }
}

fn last_at(status: &FleetStatus, ordinal: Ordinal) -> Option<&ReplicaStatus> {
    status.members.iter().rfind(|replica| replica.ordinal == ordinal)
}

fn degradation(before: &FleetStatus, after: &FleetStatus) -> Option<String> {
    let message = |status: &FleetStatus| {
        let condition = status.condition(ConditionType::Degraded)?;
        (condition.status == ConditionStatus::True).then(|| condition.message.clone())
    };
    match (message(before), message(after)) {
        (before, Some(after)) if before.as_ref() != Some(&after) => Some(format!("degraded: {after}")),
        (Some(_), None) => Some("no longer degraded".to_owned()),
        _ => None,
    }
}

fn is_settled(status: &FleetStatus) -> bool {
    let progressing = status.condition(ConditionType::Progressing);
    progressing.is_some_and(|condition| condition.status == ConditionStatus::False)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FleetId, Incarnation, ReplicaName, ReplicaUid, TemplateHash};

    fn mk_status(replicas: &[(u16, u32, &'static str)]) -> FleetStatus {
        let template = TemplateHash("t".into());
        let members = replicas.iter().map(|(ordinal, incarnation, state)| ReplicaStatus {
            name: ReplicaName::new(&FleetId::local("web"), Ordinal(*ordinal), &template, Incarnation(*incarnation)),
            uid: ReplicaUid(format!("{ordinal}-{incarnation}").into()),
            ordinal: Ordinal(*ordinal),
            incarnation: Incarnation(*incarnation),
            template: template.clone(),
            state,
            reason: (*state == "Dead").then(|| "killed by signal 9".to_owned()),
            address: None,
            finishing: None,
        });
        FleetStatus { members: members.collect(), ..FleetStatus::default() }
    }

    #[test]
    fn a_death_and_its_replacement_are_told_in_order() {
        let shares = BTreeMap::from([(Ordinal(0), 0.5), (Ordinal(1), 0.5)]);
        let healthy = mk_status(&[(0, 0, "Ready"), (1, 0, "Ready")]);
        let dead = mk_status(&[(0, 0, "Ready"), (1, 0, "Dead")]);
        let starting = mk_status(&[(0, 0, "Ready"), (1, 0, "Dead"), (1, 1, "Starting")]);
        let back = mk_status(&[(0, 0, "Ready"), (1, 1, "Ready")]);
        assert_eq!(tell("web", &healthy, &healthy, 0.0, &shares), [""; 0]);
        assert_eq!(
            tell("web", &healthy, &dead, 0.0, &shares),
            ["web-1 died (killed by signal 9); its keys (50.0 %) go to the others meanwhile"]
        );
        assert_eq!(tell("web", &dead, &starting, 0.0, &shares), ["web-1 is replaced: web-1-t-1 starts"]);
        assert_eq!(tell("web", &starting, &back, 0.0, &shares), ["web-1 is ready"]);
    }
}
