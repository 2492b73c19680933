//! One LoadBalancer of the local driver: what its file declares, what of that is accepted, and what runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::controller::accept::Refusal;
use crate::controller::certificate::Keeper;
use crate::controller::manifest::identity;
use crate::controller::standalone::Say;
use crate::controller::standalone::announce::announce;
use crate::controller::standalone::declared::Declared;
use crate::controller::standalone::pair::Pair;
use crate::controller::story;
use crate::controller::tick::{Elsewhere, Exposure, Memory, Outcome, Part, Standing, tick};
use crate::controller::validate::validate;
use crate::model::{Condition, ConditionStatus, ConditionType, Desired, FleetId, FleetStatus, Listener};
use crate::routes::{Publisher, ScaleError};

/// After a failed tick the next comes after this, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One LoadBalancer.
pub(super) struct LocalFleet {
    pub(super) id: FleetId,
    pub(super) file: PathBuf,
    pub(super) next_check: Option<Timestamp>,
    /// As the file has it.
    resource: LoadBalancer,
    /// A size that somebody asked for; holds until the file says another one than it said then.
    scaled_to: Option<i32>,
    /// Not decided yet, or refused.
    is_waiting: bool,
    /// The last accepted spec, and what it was made of.
    desired: Option<Desired>,
    running: Option<Declared>,
    accepted: Condition,
    is_removed: bool,
    is_gone: bool,
    /// The files of its certificate, as of the last accepted spec.
    pair: Option<Pair>,
    keeper: Keeper,
    memory: Memory,
    told: FleetStatus,
    failed_ticks: u32,
    /// After a failed tick: no other before this.
    paused_until: Option<Timestamp>,
}

// === impl LocalFleet ===

impl LocalFleet {
    pub(super) fn new(file: PathBuf, resource: LoadBalancer) -> Self {
        Self {
            id: identity(&resource),
            file,
            next_check: None,
            resource,
            scaled_to: None,
            is_waiting: true,
            desired: None,
            running: None,
            accepted: accepted(None, ConditionStatus::False, "Pending", "not decided yet".to_owned(), 1),
            is_removed: false,
            is_gone: false,
            pair: None,
            keeper: Keeper::default(),
            memory: Memory::default(),
            told: FleetStatus::default(),
            failed_ticks: 0,
            paused_until: None,
        }
    }

    pub(super) fn is_declared_by(&self, resource: &LoadBalancer) -> bool {
        self.id == identity(resource)
    }

    pub(super) fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Removed, and nothing of it is left.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Takes what the file says now.
    pub(super) fn declare(&mut self, file: PathBuf, resource: LoadBalancer) {
        if !self.is_removed && self.file == file && self.resource == resource {
            return;
        }
        if self.resource.spec.replicas != resource.spec.replicas {
            self.scaled_to = None;
        }
        self.file = file;
        self.resource = resource;
        self.is_waiting = true;
    }

    /// The declaration that has to be decided on.
    pub(super) fn waiting(&self) -> Option<Declared> {
        self.is_waiting.then(|| {
            let mut resource = self.resource.clone();
            resource.spec.replicas = self.scaled_to.unwrap_or(resource.spec.replicas);
            let pair = self.pair.as_ref().filter(|_| self.keeper.has_certificate());
            let served_from = pair.map(|pair| pair.files().map(Path::to_owned));
            Declared { file: self.file.clone(), resource, served_from }
        })
    }

    /// The port and hosts that it has.
    pub(super) fn held(&self) -> Option<&Listener> {
        self.desired.as_ref().filter(|_| !self.is_removed).map(|desired| &desired.route.listener)
    }

    /// The port and hosts that it asks for, if its declaration is undecided and valid.
    pub(super) fn asked(&self) -> Option<Listener> {
        self.waiting()?.listener()
    }

    /// Accepts the declaration, or notes why not and keeps what runs.
    pub(super) fn decide(&mut self, declared: Declared, verdict: Result<Desired, Refusal>, say: &Say) {
        match verdict {
            Ok(desired) => {
                let was_refused = self.desired.is_some() && self.accepted.status == ConditionStatus::False;
                self.is_waiting = false;
                let has_news = self.accept(desired, declared, say);
                if was_refused && !has_news {
                    say(&self.id, "is as declared again");
                }
            }
            Err(Refusal { reason, message }) => {
                if self.accepted.message != message {
                    let what = match &self.desired {
                        Some(_) if !self.is_removed => "the edit is not taken, what runs stays as it is",
                        _ => "not accepted",
                    };
                    say(&self.id, &format!("{what}: {message}"));
                }
                let generation = self.desired.as_ref().map_or(1, |desired| desired.generation);
                self.accepted = accepted(Some(&self.accepted), ConditionStatus::False, reason, message, generation);
            }
        }
        self.next_check = None;
    }

    /// From here on the fleet follows this spec. True if there was anything to tell.
    fn accept(&mut self, mut desired: Desired, declared: Declared, say: &Say) -> bool {
        let before = self.desired.as_ref().filter(|_| !self.is_removed);
        desired.generation = self.desired.as_ref().map_or(1, |desired| desired.generation);
        if self.desired.as_ref().is_some_and(|before| *before != desired) {
            desired.generation += 1;
        }
        let lines = announce(before, &desired, &declared.resource);
        lines.iter().for_each(|line| say(&self.id, line));
        let message = "the spec is valid and its port and hosts are ours".to_owned();
        self.accepted = accepted(Some(&self.accepted), ConditionStatus::True, "Accepted", message, desired.generation);
        // What can't be had was refused before.
        self.pair = Pair::of(&desired.route.listener, &declared.file).ok().flatten();
        self.desired = Some(desired);
        self.running = Some(declared);
        self.is_removed = false;
        self.paused_until = None;
        !lines.is_empty()
    }

    /// At the start a wrong spec ends Ringhold; that somebody else had the port first is left to the condition.
    pub(super) fn is_fatal_at_start(&self) -> bool {
        self.desired.is_none() && self.accepted.reason != "ListenerConflict"
    }

    pub(super) fn refusal(&self) -> String {
        format!("{}: {}: {}", self.file.display(), self.id, self.accepted.message)
    }

    /// Another size of what runs, until the file says another one.
    pub(super) fn scale(&mut self, replicas: i64, say: &Say) -> Result<(), ScaleError> {
        let size = u16::try_from(replicas)
            .map_err(|_| ScaleError::Invalid(format!("replicas: {replicas}: use a number from 0 to {}", u16::MAX)))?;
        let not_accepted = || ScaleError::Invalid(format!("{} is not accepted: {}", self.id, self.accepted.message));
        let mut declared = self.running.clone().ok_or_else(not_accepted)?;
        declared.resource.spec.replicas = i32::from(size);
        let desired = validate(&declared.resource).map_err(|errors| ScaleError::Invalid(errors.to_string()))?;
        let was_waiting = self.accepted.clone();
        self.accept(desired, declared, say);
        if self.is_waiting {
            self.accepted = was_waiting; // the file still asks for something that it can't have
        }
        self.scaled_to = Some(i32::from(size));
        self.next_check = None;
        Ok(())
    }

    /// From here on it drains. True if it did not before.
    pub(super) fn remove(&mut self) -> bool {
        let is_news = !self.is_removed;
        self.is_removed = true;
        self.is_waiting = false;
        self.next_check = None;
        self.paused_until = None;
        is_news
    }

    /// The files of its certificate.
    pub(super) fn certificate_files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.pair.iter().flat_map(Pair::files).map(Path::to_owned)
    }

    /// Reads its certificate again.
    pub(super) fn read_certificate(&mut self) {
        if let Some(pair) = &mut self.pair {
            pair.read_again();
            self.next_check = None;
        }
    }

    /// Takes the next step, where there is anything to run.
    pub(super) async fn tick<B: Backend>(&mut self, backend: &B, publisher: &Publisher, say: &Say) {
        let now = Timestamp::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let Some(desired) = &self.desired else {
            self.show_refusal(publisher);
            return;
        };
        let (desired, exposure) =
            if self.is_removed { (&desired.removed(), Exposure::Withdrawn) } else { (desired, Exposure::Routed) };
        let found = self.pair.as_ref().map(|pair| &pair.found);
        let security = self.keeper.keep(&desired.route.listener, found, desired.generation, now);
        let (accepted, part, elsewhere) = (self.accepted.clone(), Part::Acts, Elsewhere::Nobody);
        // The backends of this driver refuse a spec that wants TLS with replicas.
        let standing = Standing { accepted, exposure, part, elsewhere, security, trust: None };
        match tick(backend, publisher, desired, &standing, &mut self.memory, now).await {
            Ok(Outcome { status, next_check, moved, shares, actions, failure }) => {
                for line in story::tell(&self.id.name, &self.told, &status, moved, &shares) {
                    say(&self.id, &line.text);
                }
                let is_over = self.is_removed && status.members.is_empty() && actions.is_empty();
                self.told = status;
                match failure {
                    Some(failure) => self.failed(&failure),
                    None => {
                        self.failed_ticks = 0;
                        self.paused_until = None;
                        self.next_check = if !actions.is_empty() { Some(now) } else { next_check };
                    }
                }
                if is_over {
                    self.end(publisher);
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Nothing of a removed fleet is left. One that has been declared again meanwhile, and refused, begins anew.
    fn end(&mut self, publisher: &Publisher) {
        publisher.withdraw(&self.id);
        self.desired = None;
        self.running = None;
        self.told = FleetStatus::default();
        self.is_gone = !self.is_waiting;
        self.is_removed = false;
    }

    /// Lists a LoadBalancer that has nothing running, so that people see why.
    fn show_refusal(&mut self, publisher: &Publisher) {
        if self.is_removed {
            self.end(publisher);
            return;
        }
        let status = FleetStatus { conditions: vec![self.accepted.clone()], ..FleetStatus::default() };
        if publisher.publish(&self.id, status, None).is_err() {
            tracing::error!(fleet = %self.id, "a LoadBalancer without a route can't be listed");
        }
    }

    fn failed(&mut self, error: &dyn std::error::Error) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failed_ticks)).min(LONGEST_PAUSE);
        self.failed_ticks = self.failed_ticks.saturating_add(1);
        self.paused_until = Some(Timestamp::now() + pause);
        self.next_check = self.paused_until;
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(fleet = %self.id, %error, cause, ?pause, "a step failed and will be tried again");
    }
}

fn accepted(
    before: Option<&Condition>,
    status: ConditionStatus,
    reason: &'static str,
    message: String,
    generation: i64,
) -> Condition {
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
