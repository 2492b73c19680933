//! What happened to a fleet between two looks, in lines that people read.

use std::collections::BTreeMap;

use crate::controller::{authorities, certificate};
use crate::model::{ConditionStatus, ConditionType, FleetStatus, Ordinal, ReplicaStatus};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// CamelCase, for Events.
    pub(super) reason: &'static str,
    /// Whether somebody may have to do something.
    pub(super) is_warning: bool,
    /// For people.
    pub(super) text: String,
}

/// Tells what has changed from `before` to `after`; `moved` is the share of the key space that changed owner, `shares`
/// is what each member owns of it now.
#[must_use]
pub(super) fn tell(
    fleet: &str,
    before: &FleetStatus,
    after: &FleetStatus,
    moved: f64,
    shares: &BTreeMap<Ordinal, f64>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for replica in &after.members {
        let previous = before.members.iter().find(|previous| previous.name == replica.name);
        if previous.map(|previous| previous.state) != Some(replica.state) {
            lines.extend(turn(fleet, before, replica, shares.get(&replica.ordinal)));
        } else if let Some(reason) = &replica.reason
            && previous.is_some_and(|previous| previous.reason.is_none())
        {
            let text = format!("{fleet}-{} is not ready yet: {reason}", replica.ordinal);
            lines.push(Line::warning("ReplicaNotReady", text));
        }
    }
    for gone in before.members.iter().filter(|gone| gone.state != "Dead") {
        if !after.members.iter().any(|replica| replica.name == gone.name) {
            lines.push(Line::normal("ReplicaStopped", format!("{fleet}-{} ({}) has stopped", gone.ordinal, gone.name)));
        }
    }
    if let (Some(old), Some(new)) = (&before.ring, &after.ring)
        && old.fingerprint != new.fingerprint
    {
        let what = if old.algorithm != new.algorithm {
            format!("the ring went from {} to {}", old.algorithm, new.algorithm)
        } else if old.members != new.members {
            format!("the ring went from {} to {} members", old.members, new.members)
        } else {
            "the ring has changed".to_owned()
        };
        let moved = moved * 100.0;
        let share = if (0.0..0.05).contains(&moved) { "less than 0.1".to_owned() } else { format!("{moved:.1}") };
        lines.push(Line::normal("RingChanged", format!("{what}; {share} % of the keys move")));
    }
    lines.extend(degradation(before, after));
    for kind in [ConditionType::TlsReady, ConditionType::ReplicaTlsReady] {
        lines.extend(security(before, after, kind));
    }
    if is_settled(after) && !is_settled(before) {
        let text = match after.desired_replicas {
            0 => "no replicas are left".to_owned(),
            1 => "the replica is ready".to_owned(),
            wanted => format!("all {wanted} replicas are ready"),
        };
        lines.push(Line::normal("Settled", text));
    }
    lines
}

/// A replica's new state.
fn turn(fleet: &str, before: &FleetStatus, replica: &ReplicaStatus, share: Option<&f64>) -> Option<Line> {
    let place = format!("{fleet}-{}", replica.ordinal);
    let keys = share.map_or_else(|| "its keys".to_owned(), |share| format!("its keys ({:.1} %)", share * 100.0));
    let reason = replica.reason.as_deref().unwrap_or("unknown cause");
    match replica.state {
        "Starting" => Some(match last_at(before, replica.ordinal) {
            None => Line::normal("ReplicaStarted", format!("{place} starts")),
            Some(last) if last.template != replica.template => {
                let text = format!("{place} is updated: {} starts beside {}", replica.name, last.name);
                Line::normal("ReplicaUpdated", text)
            }
            Some(_) => Line::normal("ReplicaReplaced", format!("{place} is replaced: {} starts", replica.name)),
        }),
        "Ready" => {
            let address = replica.address.map(|address| format!(" on {address}")).unwrap_or_default();
            Some(Line::normal("ReplicaReady", format!("{place} is ready{address}")))
        }
        "Unready" => {
            let text = format!("{place} does not answer its health check; {keys} go to the others meanwhile");
            Some(Line::warning("ReplicaUnready", text))
        }
        "Dead" => {
            let text = format!("{place} died ({reason}); {keys} go to the others meanwhile");
            Some(Line::warning("ReplicaDied", text))
        }
        "Draining" => {
            let text = format!("{place} ({}) gets no new requests and finishes those it has", replica.name);
            Some(Line::normal("ReplicaDraining", text))
        }
        _ => None,
    }
}

fn last_at(status: &FleetStatus, ordinal: Ordinal) -> Option<&ReplicaStatus> {
    status.members.iter().rfind(|replica| replica.ordinal == ordinal)
}

fn degradation(before: &FleetStatus, after: &FleetStatus) -> Option<Line> {
    let degraded = |status: &FleetStatus| {
        let condition = status.condition(ConditionType::Degraded)?;
        (condition.status == ConditionStatus::True).then(|| (condition.reason, condition.message.clone()))
    };
    match (degraded(before), degraded(after)) {
        (before, Some(after)) if before.as_ref() != Some(&after) => {
            Some(Line::warning(after.0, format!("degraded: {}", after.1)))
        }
        (Some(_), None) => Some(Line::normal("Recovered", "no longer degraded".to_owned())),
        _ => None,
    }
}

/// What has become of a certificate, or of authorities.
fn security(before: &FleetStatus, after: &FleetStatus, kind: ConditionType) -> Option<Line> {
    let stated =
        |status: &FleetStatus| status.condition(kind).map(|condition| (condition.reason, condition.message.clone()));
    match (stated(before), stated(after)) {
        (before, Some((reason, message))) if before.as_ref() != Some(&(reason, message.clone())) => {
            let is_good = [certificate::VALID, authorities::KNOWN].contains(&reason);
            let line = if is_good { Line::normal } else { Line::warning };
            Some(line(reason, message))
        }
        _ => None,
    }
}

fn is_settled(status: &FleetStatus) -> bool {
    let progressing = status.condition(ConditionType::Progressing);
    progressing.is_some_and(|condition| condition.status == ConditionStatus::False)
}

// === impl Line ===

impl Line {
    pub(super) fn normal(reason: &'static str, text: String) -> Self {
        Self { reason, is_warning: false, text }
    }

    pub(super) fn warning(reason: &'static str, text: String) -> Self {
        Self { reason, is_warning: true, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FleetId, Incarnation, ReplicaName, ReplicaUid, RingStatus, TemplateHash};

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
            remove_first: false,
            finishing: None,
        });
        FleetStatus { members: members.collect(), ..FleetStatus::default() }
    }

    #[test]
    fn every_change_of_the_ring_is_told_with_what_it_moves() {
        let ring = |algorithm, members, fingerprint: &str| FleetStatus {
            ring: Some(RingStatus { algorithm, members, fingerprint: fingerprint.to_owned() }),
            ..mk_status(&[])
        };
        let told = |before: &FleetStatus, after: &FleetStatus, moved| -> Vec<String> {
            tell("web", before, after, moved, &BTreeMap::new()).into_iter().map(|line| line.text).collect()
        };
        let three = ring("Rendezvous", 3, "a");
        assert_eq!(
            told(&three, &ring("Rendezvous", 4, "b"), 0.2506),
            ["the ring went from 3 to 4 members; 25.1 % of the keys move"]
        );
        assert_eq!(
            told(&three, &ring("Maglev", 3, "c"), 0.667),
            ["the ring went from Rendezvous to Maglev; 66.7 % of the keys move"]
        );
        assert_eq!(
            told(&three, &ring("Rendezvous", 3, "d"), 0.0001),
            ["the ring has changed; less than 0.1 % of the keys move"]
        );
        assert_eq!(told(&three, &three, 0.0), [""; 0]);
        assert_eq!(told(&mk_status(&[]), &three, 0.0), [""; 0], "the first is no change");
    }

    #[test]
    fn a_death_and_its_replacement_are_told_in_order() {
        let shares = BTreeMap::from([(Ordinal(0), 0.5), (Ordinal(1), 0.5)]);
        let texts = |before: &FleetStatus, after: &FleetStatus| -> Vec<String> {
            tell("web", before, after, 0.0, &shares).into_iter().map(|line| line.text).collect()
        };
        let healthy = mk_status(&[(0, 0, "Ready"), (1, 0, "Ready")]);
        let dead = mk_status(&[(0, 0, "Ready"), (1, 0, "Dead")]);
        let starting = mk_status(&[(0, 0, "Ready"), (1, 0, "Dead"), (1, 1, "Starting")]);
        let back = mk_status(&[(0, 0, "Ready"), (1, 1, "Ready")]);
        assert_eq!(texts(&healthy, &healthy), [""; 0]);
        assert_eq!(
            texts(&healthy, &dead),
            ["web-1 died (killed by signal 9); its keys (50.0 %) go to the others meanwhile"]
        );
        assert_eq!(texts(&dead, &starting), ["web-1 is replaced: web-1-t-1 starts"]);
        assert_eq!(texts(&starting, &back), ["web-1 is ready"]);
    }
}
