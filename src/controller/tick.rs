//! One step of reconciliation: observe, plan, publish, apply. The same for every backend and driver.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::backend::{Backend, BackendError};
use crate::controller::authorities::Trust;
use crate::controller::certificate::Security;
use crate::model::{
    Action, Condition, Desired, FleetStatus, NewReplica, Observed, Ordinal, Rejection, ReplicaUid, Traffic,
};
use crate::plan::{Plan, plan};
use crate::ring::BuildError;
use crate::routes::{Placement, Publisher, Route};

/// So many actions of one fleet are taken at one time: none depends on another, and a slow answer to one of them should
/// not hold up the rest.
const SIDE_BY_SIDE: usize = 8;
/// While a replica's share of keys grows, the table is published anew so often.
const RAMP_STEP: Duration = Duration::from_secs(1);

/// What a driver keeps of a fleet from tick to tick. All of it may be lost: the next ticks find it out again.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    rejections: Vec<Rejection>,
    conditions: Vec<Condition>,
}

/// What a driver says of a fleet that the planner can't know.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Whether the LoadBalancer is accepted.
    pub accepted: Condition,
    /// Whether requests reach the fleet; one that is being removed is withdrawn first.
    pub exposure: Exposure,
    /// Whether this process acts.
    pub part: Part,
    /// What the other processes know of the replicas that drain.
    pub elsewhere: Elsewhere,
    /// What a listener that wants TLS has of it.
    pub security: Option<Security>,
    /// What a fleet that wants TLS with its replicas has of it.
    pub trust: Option<Trust>,
}

/// What a process does for a fleet. All route it; one acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Creates, drains and deletes replicas.
    Acts,
    /// Routes only.
    Follows,
}

/// What the other processes know of the replicas that drain.
#[derive(Debug, Clone, Default)]
pub enum Elsewhere {
    /// No other process routes.
    #[default]
    Nobody,
    /// All of them together. A replica that is not in here may still be routed by one of them.
    Said(HashMap<ReplicaUid, Traffic>),
}

/// Whether requests reach a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// By its listener and hosts.
    Routed,
    /// Not any more: it drains.
    Withdrawn,
}

/// How a tick went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// As published.
    pub status: FleetStatus,
    /// When to tick again though nothing happens.
    pub next_check: Option<Timestamp>,
    /// Share of the key space that changed owner, 0 to 1.
    pub moved: f64,
    /// Share of the key space that each member of the ring owns, 0 to 1.
    pub shares: BTreeMap<Ordinal, f64>,
    /// What was done, or at least tried.
    pub actions: Vec<Action>,
    /// The first of the actions that failed; the others were tried.
    pub failure: Option<ApplyError>,
}

/// Why a tick did not go through. What was published stays; the next tick begins anew.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// The replicas can't be listed.
    #[error("failed to list the replicas")]
    Observe(#[source] BackendError),
    /// The ring can't be built of these members.
    #[error("failed to build the ring")]
    Ring(#[from] BuildError),
}

/// An action that the backend did not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to {verb} {name}")]
pub struct ApplyError {
    /// `create`, `drain` or `delete`.
    pub verb: &'static str,
    /// The replica.
    pub name: String,
    /// Why.
    #[source]
    pub source: BackendError,
}

/// Ticks once.
///
/// # Errors
/// The backend could not be asked, or there is no ring of what it said.
pub async fn tick<B: Backend>(
    backend: &B,
    publisher: &Publisher,
    desired: &Desired,
    standing: &Standing,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Outcome, TickError> {
    let observed = observe(backend, publisher, desired, standing, memory, now).await.map_err(TickError::Observe)?;
    let Plan { actions, members, mut status, mut next_check } = plan(desired, &observed, now);
    memory.conditions.clone_from(&status.conditions);
    status.conditions.push(standing.accepted.clone());
    if let Some(Security { server: _, condition, next_check: check }) = &standing.security {
        status.conditions.push(condition.clone());
        next_check = next_check.into_iter().chain(*check).min();
    }
    status.conditions.extend(standing.trust.as_ref().map(|trust| trust.condition.clone()));
    status.conditions.sort_by_key(|condition| condition.kind);

    let placement = Placement::new(desired, &observed, &members, now);
    if placement.is_ramping() {
        next_check = Some(next_check.map_or(now + RAMP_STEP, |check| check.min(now + RAMP_STEP)));
    }
    let placement = placement
        .with_tls(standing.security.as_ref().and_then(|security| security.server.clone()))
        .with_replica_tls(standing.trust.as_ref().and_then(|trust| trust.client.clone()));
    let placement = (standing.exposure == Exposure::Routed).then_some(&placement);
    let moved = publisher.publish(&desired.id, status.clone(), placement)?; // before any replica is stopped
    let table = publisher.table();
    let published = table.fleet(&desired.id);
    status = published.map_or(status, |entry| entry.status.clone());
    let shares = published.and_then(|entry| entry.route.as_deref()).map(shares).unwrap_or_default();

    memory.forget_what_is_past(desired, &members);
    let actions = match standing.part {
        Part::Acts => actions,
        Part::Follows => Vec::new(),
    };
    let failure = apply(backend, desired, &actions, memory, now).await;
    Ok(Outcome { status, next_check, moved, shares, actions, failure })
}

fn shares(route: &Route) -> BTreeMap<Ordinal, f64> {
    route.seats().iter().map(|seat| seat.ordinal).zip(route.shares.iter().copied()).collect()
}

async fn observe<B: Backend>(
    backend: &B,
    publisher: &Publisher,
    desired: &Desired,
    standing: &Standing,
    memory: &Memory,
    now: Timestamp,
) -> Result<Observed, BackendError> {
    let mut replicas = backend.observe(&desired.id).await?;
    for replica in &mut replicas {
        let here = publisher.traffic(&replica.uid);
        replica.traffic = match replica.draining_since {
            Some(since) => {
                here.and(standing.elsewhere.traffic(&replica.uid, since + desired.rollout.drain_timeout, now))
            }
            None => here,
        };
    }
    Ok(Observed { replicas, rejections: memory.rejections.clone(), conditions: memory.conditions.clone() })
}

/// Takes every action, also after one has failed, and returns the first failure.
///
/// Creates come before the rest: whoever deletes a dead replica first takes away what its successor's name follows from,
/// and another planner would begin anew at incarnation 0.
async fn apply<B: Backend>(
    backend: &B,
    desired: &Desired,
    actions: &[Action],
    memory: &mut Memory,
    now: Timestamp,
) -> Option<ApplyError> {
    let mut failure = None;
    let (creates, others): (Vec<&Action>, _) = actions.iter().partition(|action| matches!(action, Action::Create(_)));
    for actions in [creates, others] {
        let all: Vec<_> = actions.iter().map(|action| take(backend, desired, action)).collect();
        let taken: Vec<Result<(), BackendError>> = stream::iter(all).buffered(SIDE_BY_SIDE).collect().await;
        for (action, taken) in actions.into_iter().zip(taken) {
            let (verb, name, taken) = match action {
                Action::Create(new) => ("create", &new.name, memory.remember(new, taken, now)),
                Action::Drain { name, .. } => ("drain", name, taken),
                Action::Delete { name, .. } => ("delete", name, taken),
            };
            if let Err(source) = taken {
                failure.get_or_insert(ApplyError { verb, name: name.to_string(), source });
            }
        }
    }
    failure
}

async fn take<B: Backend>(backend: &B, desired: &Desired, action: &Action) -> Result<(), BackendError> {
    match action {
        Action::Create(new) => backend.create(desired, new).await,
        Action::Drain { name, uid, since } => backend.drain(&desired.id, name, uid, *since).await,
        Action::Delete { name, uid } => backend.delete(&desired.id, name, uid).await,
    }
}

// === impl Elsewhere ===

impl Elsewhere {
    /// What the others know of a replica. Past the deadline nobody waits any more for one that does not answer.
    fn traffic(&self, uid: &ReplicaUid, deadline: Timestamp, now: Timestamp) -> Traffic {
        match self {
            Self::Nobody => Traffic::default(),
            Self::Said(_) if now >= deadline => Traffic::default(),
            Self::Said(said) => said.get(uid).copied().unwrap_or(Traffic { routed: true, in_flight: 0 }),
        }
    }
}

// === impl Memory ===

impl Memory {
    /// What was last said of the fleet.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What another process said of the fleet before this one began to.
    pub(super) fn recall(&mut self, conditions: Vec<Condition>) {
        self.conditions = conditions;
    }

    /// A refused create is a fact to plan with, not a failed tick.
    fn remember(
        &mut self,
        new: &NewReplica,
        taken: Result<(), BackendError>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        let before = self.rejections.iter().position(|rejection| rejection.ordinal == new.ordinal);
        let before = before.map(|index| self.rejections.swap_remove(index));
        match taken {
            Err(BackendError::Rejected { reason, message }) => {
                let count =
                    before.filter(|before| before.template == new.template).map_or(0, |before| before.count) + 1;
                let (ordinal, template) = (new.ordinal, new.template.clone());
                self.rejections.push(Rejection { ordinal, template, count, at: now, reason, message });
                Ok(())
            }
            other => other,
        }
    }

    fn forget_what_is_past(&mut self, desired: &Desired, members: &[Ordinal]) {
        self.rejections
            .retain(|rejection| rejection.template == desired.template.hash && members.contains(&rejection.ordinal));
    }
}
