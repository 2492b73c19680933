//! One LoadBalancer of a cluster: what of its spec is accepted, and the look that all processes take at it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;

use super::accept::{Fallback, Followed, Verdict, decide};
use super::exposure::ExposeError;
use super::registry::in_force;
use super::routing::Routing;
use super::secured::Secured;
use super::{Context, Failure};
use crate::api::{LoadBalancer, LoadBalancerStatus};
use crate::backend::Backend;
use crate::backend::kubernetes::marks::FIELD_MANAGER;
use crate::controller::accept::Refusal;
use crate::controller::status;
use crate::controller::story::{self, Line};
use crate::controller::tick::{Elsewhere, Exposure, Memory, Outcome, Part, Standing, tick};
use crate::model::{Condition, ConditionStatus, ConditionType, Desired, FleetId, FleetStatus, Listener};

/// After a failed look the next comes after this, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// So often it is looked again whether what is in the way has gone: of a refused spec, or of an object whose name is taken.
const WHILE_REFUSED: Duration = Duration::from_secs(10);
/// While replicas drain elsewhere, for nobody tells us when they are done there: first after this, then after twice as long
/// each time up to [`LONGEST_DRAINING`].
const WHILE_DRAINING: Duration = Duration::from_millis(100);
const LONGEST_DRAINING: Duration = Duration::from_secs(1);
/// A plan that wants to be looked at again at once gets at least this pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// One LoadBalancer.
pub(super) struct ClusterFleet {
    id: FleetId,
    /// What news of replicas are routed by between the ticks here.
    routing: Arc<Routing>,
    /// The spec that is followed, and the resource that it stood in.
    running: Option<(Desired, Arc<LoadBalancer>)>,
    /// Only the routes are known of what runs: it is left as it is.
    is_frozen: bool,
    /// Generation that was decided on, and how.
    decided: Option<(i64, Condition)>,
    memory: Memory,
    secured: Secured,
    told: Option<FleetStatus>,
    /// As this process wrote it; `None` while it only follows.
    written: Option<LoadBalancerStatus>,
    /// What it said of its last failure, and how often in a row it failed.
    failure: Option<String>,
    failures: u32,
    /// The next pause while replicas drain elsewhere.
    drain_pause: Duration,
    /// The resource is gone, and this with it.
    is_gone: bool,
}

// === impl ClusterFleet ===

impl ClusterFleet {
    pub(super) fn new(id: FleetId, routing: Arc<Routing>) -> Self {
        Self {
            id,
            routing,
            running: None,
            is_frozen: false,
            decided: None,
            memory: Memory::default(),
            secured: Secured::default(),
            told: None,
            written: None,
            failure: None,
            failures: 0,
            drain_pause: WHILE_DRAINING,
            is_gone: false,
        }
    }

    /// Looks at nothing any more, and routes nothing. Returns what was followed.
    pub(super) async fn end(&mut self) -> Option<Desired> {
        self.is_gone = true;
        self.routing.end().await;
        self.running.take().map(|(desired, _)| desired)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.decided.as_ref().is_some_and(|(_, accepted)| accepted.status == ConditionStatus::False)
    }

    /// Decides on the spec where that is open, ticks, and shows the cluster what came of it.
    pub(super) async fn look<B: Backend>(
        &mut self,
        resource: &Arc<LoadBalancer>,
        context: &Context<B>,
    ) -> Result<Action, Failure> {
        if self.is_gone {
            return Ok(Action::await_change());
        }
        let part = context.leader.part();
        self.remember(resource, part);
        let mut lines = self.decide(resource, context).await;
        let Some((desired, _)) = &self.running else {
            return self.show_refusal(resource, part, lines, context).await;
        };
        let is_leaving = resource.metadata.deletion_timestamp.is_some();
        let desired = if is_leaving { desired.removed() } else { desired.clone() };
        let drains = self.told.iter().flat_map(|told| &told.members).any(|member| member.finishing.is_some());
        let elsewhere = match part {
            Part::Acts => context.proxies.elsewhere(&self.id, drains).await,
            Part::Follows => Elsewhere::Nobody,
        };
        let others_drain = matches!(elsewhere, Elsewhere::Said(_));
        let (security, trust) = self.secured.look(&desired, generation(resource), context).await;
        let standing = Standing {
            accepted: self.decided.as_ref().map_or_else(|| pending(resource), |(_, accepted)| accepted.clone()),
            exposure: if is_leaving { Exposure::Withdrawn } else { Exposure::Routed },
            part: if self.is_frozen { Part::Follows } else { part },
            elsewhere,
            security,
            trust,
        };
        let moved_before = self.routing.settle(&desired, &standing, &self.memory).await;
        let now = Timestamp::now();
        let ticked = tick(&*context.backend, &context.publisher, &desired, &standing, &mut self.memory, now).await;
        let Outcome { status, next_check, moved, shares, actions, failure } = match ticked {
            Ok(outcome) => outcome,
            Err(error) => return Err(self.failed(resource, part, &error, context)),
        };
        context.stats.acted(&actions);
        if let Some(told) = &self.told {
            lines.extend(story::tell(&self.id.name, told, &status, moved_before + moved, &shares));
        }
        let drains = status.members.iter().any(|member| member.finishing.is_some());
        self.told = Some(status.clone());
        let mut shown = Ok(false);
        if part == Part::Acts {
            context.narrator.tell(resource, &lines);
            if !is_leaving {
                shown = self.show(resource, status, &desired, now, context).await;
            }
        }
        if let Some(failure) = &failure {
            shown = Err(self.failed(resource, part, failure, context));
        }
        let waits_elsewhere = drains && others_drain && standing.part == Part::Acts && actions.is_empty();
        let drain_pause = self.drain_pause;
        self.drain_pause = if waits_elsewhere { (drain_pause * 2).min(LONGEST_DRAINING) } else { WHILE_DRAINING };
        // Where several things are waited for, the first to come decides.
        let due = next_check.map(|when| until(when).max(SHORTEST_PAUSE));
        let soonest = due.into_iter().chain(waits_elsewhere.then_some(drain_pause)).min();
        let is_in_the_way = match shown {
            Ok(is_in_the_way) => is_in_the_way,
            // What failed is tried again ever later; what else is due is not held up by that.
            Err(Failure { message, pause }) => {
                let pause = soonest.map_or(pause, |soonest| pause.min(soonest.max(FIRST_PAUSE)));
                return Err(Failure { message, pause });
            }
        };
        self.failures = 0;
        self.failure = None;
        let acted = (!actions.is_empty()).then_some(SHORTEST_PAUSE);
        let refused = (self.is_refused() || is_in_the_way).then_some(WHILE_REFUSED);
        let pause = soonest.into_iter().chain(acted).chain(refused).min();
        Ok(pause.map_or_else(Action::await_change, Action::requeue))
    }

    /// Who begins to act goes on from what the one before it wrote.
    fn remember(&mut self, resource: &LoadBalancer, part: Part) {
        match part {
            Part::Acts if self.written.is_none() => {
                let conditions = status::conditions(resource);
                self.secured.recall(&conditions);
                self.memory.recall(conditions);
                self.written = Some(resource.status.clone().unwrap_or_default());
            }
            Part::Acts => {}
            Part::Follows => self.written = None,
        }
    }

    async fn decide<B: Backend>(&mut self, resource: &Arc<LoadBalancer>, context: &Context<B>) -> Vec<Line> {
        let generation = resource.metadata.generation.unwrap_or(1);
        let is_decided = self
            .decided
            .as_ref()
            .is_some_and(|(decided, accepted)| *decided == generation && accepted.status == ConditionStatus::True);
        if is_decided || resource.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let before = self.decided.take().map(|(_, accepted)| accepted).or_else(|| {
            status::conditions(resource).into_iter().find(|condition| condition.kind == ConditionType::Accepted)
        });
        let followed = match &self.running {
            None => Followed::Nothing,
            Some(_) if self.is_frozen => Followed::Routes,
            Some(_) => Followed::Spec,
        };
        let (verdict, lines) = match decide(context, resource, followed).await {
            Verdict::Accepted(desired) => {
                // Nobody knows what a frozen fleet's template was.
                let before = self.running.as_ref().filter(|_| followed == Followed::Spec);
                let lines = before.map(|(before, _)| changes(before, &desired)).unwrap_or_default();
                self.running = Some((*desired, Arc::clone(resource)));
                self.is_frozen = false;
                (Ok(()), lines)
            }
            Verdict::Refused(refusal, fallback) => {
                tracing::warn!(fleet = %self.id, reason = refusal.reason, message = refusal.message, "refused");
                if let Some(Fallback { desired, is_whole }) = fallback {
                    self.running = Some((*desired, Arc::clone(resource)));
                    self.is_frozen = !is_whole;
                }
                let is_news = before.as_ref().is_none_or(|before| before.message != refusal.message);
                let lines = is_news.then(|| Line::warning(refusal.reason, refusal.message.clone()));
                (Err(refusal), lines.into_iter().collect())
            }
        };
        self.decided = Some((generation, accepted(before.as_ref(), verdict, generation)));
        lines
    }

    /// A LoadBalancer that has nothing running is listed, so that people see why.
    async fn show_refusal<B: Backend>(
        &mut self,
        resource: &Arc<LoadBalancer>,
        part: Part,
        lines: Vec<Line>,
        context: &Context<B>,
    ) -> Result<Action, Failure> {
        let conditions = self.decided.iter().map(|(_, accepted)| accepted.clone()).collect();
        let listed = FleetStatus { conditions, ..FleetStatus::default() };
        if context.publisher.publish(&self.id, listed.clone(), None).is_err() {
            tracing::error!(fleet = %self.id, "a LoadBalancer without a route can't be listed");
        }
        if part == Part::Acts && resource.metadata.deletion_timestamp.is_none() {
            context.narrator.tell(resource, &lines);
            let listener = in_force(resource);
            let status = status::describe(&self.id, generation(resource), &listed, listener.as_ref());
            self.write(resource, status, context).await?;
        }
        Ok(Action::requeue(WHILE_REFUSED))
    }

    /// What belongs around the fleet, and what is to be said of it. Says whether something is in the way that
    /// nobody tells us of when it goes, such as somebody else's object.
    async fn show<B: Backend>(
        &mut self,
        resource: &Arc<LoadBalancer>,
        mut fleet: FleetStatus,
        desired: &Desired,
        now: Timestamp,
        context: &Context<B>,
    ) -> Result<bool, Failure> {
        let spec = self.running.as_ref().map_or(resource, |(_, running)| running);
        let exposed = match &context.exposures {
            Some(exposures) => exposures.keep(desired, spec, &context.proxies).await,
            None => Ok(()),
        };
        match &exposed {
            Err(ExposeError::NameTaken { message }) => {
                self.degrade(resource, &mut fleet, ("NameTaken", message), now, context);
            }
            Err(ExposeError::Refused { message }) => {
                self.degrade(resource, &mut fleet, ("ExposeFailed", message), now, context);
            }
            Err(ExposeError::Contested | ExposeError::Unavailable { .. }) | Ok(()) => {}
        }
        let listener = Some(&desired.route.listener);
        self.write(resource, status::describe(&self.id, generation(resource), &fleet, listener), context).await?;
        match exposed {
            Ok(()) => Ok(false),
            Err(ExposeError::NameTaken { .. } | ExposeError::Refused { .. } | ExposeError::Contested) => Ok(true),
            Err(ExposeError::Unavailable { message }) => Err(self.fail(message)),
        }
    }

    /// The fleet runs, but what stands before it does not.
    fn degrade<B: Backend>(
        &self,
        resource: &LoadBalancer,
        fleet: &mut FleetStatus,
        (reason, message): (&'static str, &str),
        now: Timestamp,
        context: &Context<B>,
    ) {
        let written = self.written.iter().flat_map(|written| &written.conditions);
        let before = written.into_iter().find(|before| before.type_ == "Degraded" && before.status == "True");
        if let Some(degraded) = fleet.conditions.iter_mut().find(|stated| stated.kind == ConditionType::Degraded)
            && degraded.status == ConditionStatus::False
        {
            degraded.status = ConditionStatus::True;
            degraded.reason = reason;
            message.clone_into(&mut degraded.message);
            degraded.last_transition_time = before.map_or(now, |before| before.last_transition_time.0);
            if before.is_none_or(|before| before.message != message) {
                context.narrator.tell(resource, &[Line::warning(reason, message.to_owned())]);
            }
        }
    }

    /// Writes the status, if it is news.
    async fn write<B: Backend>(
        &mut self,
        resource: &LoadBalancer,
        status: LoadBalancerStatus,
        context: &Context<B>,
    ) -> Result<(), Failure> {
        if self.written.as_ref() == Some(&status) {
            return Ok(());
        }
        match status::write(&context.client, resource, &status, FIELD_MANAGER).await {
            Ok(()) => {
                context.stats.wrote_status();
                self.written = Some(status);
                Ok(())
            }
            Err(error) => Err(self.fail(format!("failed to write the status: {error}"))),
        }
    }

    fn failed<B: Backend>(
        &mut self,
        resource: &LoadBalancer,
        part: Part,
        error: &dyn std::error::Error,
        context: &Context<B>,
    ) -> Failure {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let message = format!("{error}{cause}");
        if part == Part::Acts && self.failure.as_ref() != Some(&message) {
            context.narrator.tell(resource, &[Line::warning("ReconcileFailed", message.clone())]);
        }
        self.fail(message)
    }

    fn fail(&mut self, message: String) -> Failure {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(message.clone());
        Failure { message, pause }
    }
}

fn generation(resource: &LoadBalancer) -> i64 {
    resource.metadata.generation.unwrap_or(1)
}

fn until(when: Timestamp) -> Duration {
    Duration::try_from(when.duration_since(Timestamp::now())).unwrap_or_default()
}

fn pending(resource: &LoadBalancer) -> Condition {
    accepted(None, Err(Refusal::new("Pending", &"not decided yet")), generation(resource))
}

fn accepted(before: Option<&Condition>, verdict: Result<(), Refusal>, generation: i64) -> Condition {
    let (status, reason, message) = match verdict {
        Ok(()) => (ConditionStatus::True, "Accepted", "the spec is valid and its port and hosts are ours".to_owned()),
        Err(Refusal { reason, message }) => (ConditionStatus::False, reason, message),
    };
    let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time);
    Condition {
        kind: ConditionType::Accepted,
        status,
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(Timestamp::now),
        reason,
        message,
    }
}

/// What people want to know of a spec that takes another's place.
fn changes(before: &Desired, after: &Desired) -> Vec<Line> {
    let mut lines = Vec::new();
    if before.replicas != after.replicas {
        let text = format!("scales from {} to {} replicas", before.replicas, after.replicas);
        lines.push(Line::normal("Scaling", text));
    }
    if before.template.hash != after.template.hash {
        let (old, new) = (&before.template.hash, &after.template.hash);
        let text = format!("rolls out template {new} in place of {old}, ordinal by ordinal");
        lines.push(Line::normal("RollingOut", text));
    }
    if before.route.listener != after.route.listener {
        let Listener { port, hostnames, tls } = &after.route.listener;
        let hosts = if hostnames.is_empty() { "any host".to_owned() } else { hostnames.join(", ") };
        let tls = if tls.is_some() { " with TLS" } else { "" };
        lines.push(Line::normal("Listening", format!("listens on port {port}{tls} for {hosts}")));
    }
    lines
}
