//! One fleet's facts, arranged by place for the decisions to read.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{
    Action, Desired, Incarnation, NewReplica, Observed, Ordinal, Rejection, Replica, ReplicaName, ReplicaState,
};
use crate::plan::Steps;

/// What is wanted and what is there, by ordinal.
pub(super) struct Fleet<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) places: BTreeMap<Ordinal, Place<'a>>,
}

/// Everything at one ordinal, sorted by incarnation.
pub(super) struct Place<'a> {
    pub(super) ordinal: Ordinal,
    pub(super) replicas: Vec<&'a Replica>,
    /// The last refused create of the wanted template.
    pub(super) rejection: Option<&'a Rejection>,
}

// === impl Fleet ===

impl<'a> Fleet<'a> {
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed, now: Timestamp) -> Self {
        let mut places: BTreeMap<Ordinal, Place<'a>> = BTreeMap::new();
        for replica in &observed.replicas {
            places.entry(replica.ordinal).or_insert_with(|| Place::empty(replica.ordinal)).replicas.push(replica);
        }
        for rejection in observed.rejections.iter().filter(|rejection| rejection.template == desired.template.hash) {
            places.entry(rejection.ordinal).or_insert_with(|| Place::empty(rejection.ordinal)).rejection =
                Some(rejection);
        }
        for place in places.values_mut() {
            place.replicas.sort_by(|a, b| (a.incarnation, &a.name).cmp(&(b.incarnation, &b.name)));
        }
        Self { desired, observed, now, places }
    }

    /// The members' places; a place without anything in it has no entry.
    pub(super) fn members<'b>(&'b self, members: &'b [Ordinal]) -> impl Iterator<Item = &'b Place<'a>> {
        members.iter().filter_map(|ordinal| self.places.get(ordinal))
    }

    pub(super) fn is_updated(&self, replica: &Replica) -> bool {
        replica.template == self.desired.template.hash
    }

    /// Ready for long enough to count on it.
    pub(super) fn is_available(&self, replica: &Replica) -> bool {
        replica.is_live() && replica.ready_for(self.now).is_some_and(|ready| ready >= self.desired.rollout.min_ready)
    }

    /// How many of the members have an available replica.
    pub(super) fn available(&self, members: &[Ordinal]) -> usize {
        self.members(members).filter(|place| place.live().any(|replica| self.is_available(replica))).count()
    }

    /// The create that fills an ordinal next. Its name follows from what is there, so two planners make one replica.
    pub(super) fn create(&self, ordinal: Ordinal, failures: u32) -> Action {
        let last = self.places.get(&ordinal).and_then(|place| place.replicas.last());
        let incarnation = last.map_or(Incarnation(0), |replica| replica.incarnation.next());
        let template = self.desired.template.hash.clone();
        let name = ReplicaName::new(&self.desired.id, ordinal, &template, incarnation);
        Action::Create(NewReplica { name, ordinal, incarnation, template, failures })
    }

    /// Marks a replica, unless an earlier decision of this plan did.
    pub(super) fn drain(&self, replica: &Replica, steps: &mut Steps) {
        let marked = steps.actions.iter().any(|step| matches!(step, Action::Drain { uid, .. } if *uid == replica.uid));
        if !marked {
            let (name, uid) = (replica.name.clone(), replica.uid.clone());
            steps.actions.push(Action::Drain { name, uid, since: self.now });
        }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    fn empty(ordinal: Ordinal) -> Self {
        Self { ordinal, replicas: Vec::new(), rejection: None }
    }

    /// Those that fill the ordinal.
    pub(super) fn live(&self) -> impl Iterator<Item = &'a Replica> {
        self.replicas.iter().copied().filter(|replica| replica.is_live())
    }

    /// Whether the ordinal is in use: filled, or left by a replica that ended without being drained by us.
    pub(super) fn is_occupied(&self) -> bool {
        self.replicas.iter().any(|replica| replica.draining_since.is_none())
    }

    pub(super) fn serves(&self) -> bool {
        self.live().any(Replica::serves)
    }

    pub(super) fn removes_first(&self) -> bool {
        self.live().any(|replica| replica.remove_first)
    }

    /// The last replica here, if it is on its way out without having been ready.
    pub(super) fn given_up(&self) -> Option<&'a Replica> {
        let last = self.replicas.last().copied()?;
        let is_unready = matches!(last.state, ReplicaState::Starting | ReplicaState::Unready { .. });
        (last.draining_since.is_some() && is_unready).then_some(last)
    }

    /// The last replica here, if it died by itself.
    pub(super) fn last_death(&self) -> Option<Death<'a>> {
        let replica = self.replicas.iter().copied().rfind(|replica| replica.draining_since.is_none())?;
        match &replica.state {
            ReplicaState::Dead { since, ready_for, reason } => {
                Some(Death { replica, since: *since, ready_for: *ready_for, reason })
            }
            _ => None,
        }
    }
}

/// How a replica ended.
pub(super) struct Death<'a> {
    pub(super) replica: &'a Replica,
    pub(super) since: Timestamp,
    pub(super) ready_for: Duration,
    pub(super) reason: &'a str,
}
