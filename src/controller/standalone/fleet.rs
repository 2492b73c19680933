//! One LoadBalancer of the local driver: what its file declares, what of that is accepted, and what runs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::controller::claims::conflict;
use crate::controller::standalone::Say;
use crate::controller::standalone::announce::announce;
use crate::controller::story;
use crate::controller::tick::{Exposure, Memory, Outcome, Standing, TickError, tick};
use crate::controller::validate::{FieldError, FieldErrors, validate};
use crate::model::{Condition, ConditionStatus, ConditionType, Desired, FleetId, FleetStatus, Listener};
use crate::routes::{ListenError, Listeners, Publisher, ScaleError};

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
    /// The last accepted spec.
    desired: Option<Desired>,
    accepted: Condition,
    is_removed: bool,
    is_gone: bool,
    memory: Memory,
    told: FleetStatus,
    failed_ticks: u32,
}

/// A declaration to decide on.
pub(super) struct Declared {
    resource: LoadBalancer,
}

/// Why a declaration is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    reason: &'static str,
    message: String,
}

// === impl Declared ===

impl Declared {
    /// Whether the LoadBalancer may have what it asks for: a valid spec that the backend can run, a port and hosts that
    /// nobody else holds, and a port that can be opened.
    pub(super) async fn check<B: Backend>(
        &self,
        backend: &B,
        claims: &[(&FleetId, &Listener)],
        listeners: &Listeners,
    ) -> Result<Desired, Refusal> {
        let invalid = |errors: FieldErrors| Refusal::new("InvalidSpec", &errors);
        let desired = validate(&self.resource).map_err(invalid)?;
        if let Some(conflict) = conflict(&desired.route.listener, claims.iter().copied()) {
            return Err(Refusal::new("ListenerConflict", &conflict));
        }
        backend.accept(&desired).map_err(|unsupported| {
            let errors = unsupported.into_iter().map(|field| FieldError {
                path: field.path,
                value: String::new(),
                rule: field.message,
            });
            Refusal::new("Unsupported", &FieldErrors(errors.collect()))
        })?;
        listeners.listen(desired.route.listener.port).await.map_err(|error| match error {
            ListenError::InUse { .. } => Refusal::new("PortInUse", &format!("spec.listener.port: {error}")),
            other => Refusal::new("ListenFailed", &format!("spec.listener.port: {other}")),
        })?;
        Ok(desired)
    }
}

impl Refusal {
    fn new(reason: &'static str, message: &impl ToString) -> Self {
        Self { reason, message: message.to_string() }
    }
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
            accepted: accepted(None, ConditionStatus::False, "Pending", "not decided yet".to_owned(), 1),
            is_removed: false,
            is_gone: false,
            memory: Memory::default(),
            told: FleetStatus::default(),
            failed_ticks: 0,
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
        self.is_removed = false;
        self.is_gone = false;
    }

    /// The declaration that has to be decided on.
    pub(super) fn waiting(&self) -> Option<Declared> {
        (self.is_waiting && !self.is_removed).then(|| {
            let mut resource = self.resource.clone();
            resource.spec.replicas = self.scaled_to.unwrap_or(resource.spec.replicas);
            Declared { resource }
        })
    }

    /// The port and hosts that it holds.
    pub(super) fn claim(&self) -> Option<(&FleetId, &Listener)> {
        let desired = self.desired.as_ref().filter(|_| !self.is_removed)?;
        Some((&self.id, &desired.route.listener))
    }

    /// Accepts the declaration, or notes why not and keeps what runs.
    pub(super) fn decide(&mut self, declared: &Declared, verdict: Result<Desired, Refusal>, say: &Say) {
        let generation = self.desired.as_ref().map_or(1, |desired| desired.generation);
        match verdict {
            Ok(mut desired) => {
                self.is_waiting = false;
                desired.generation = generation;
                let changes = self.desired.as_ref() != Some(&desired);
                if changes && self.desired.is_some() {
                    desired.generation += 1;
                }
                for line in announce(self.desired.as_ref(), &desired, &declared.resource) {
                    say(&self.id, &line);
                }
                let message = "the spec is valid and its port and hosts are ours".to_owned();
                self.accepted =
                    accepted(Some(&self.accepted), ConditionStatus::True, "Accepted", message, desired.generation);
                self.desired = Some(desired);
            }
            Err(Refusal { reason, message }) => {
                if self.accepted.message != message {
                    let what = if self.desired.is_some() {
                        "the edit is not taken, what runs stays as it is"
                    } else {
                        "not accepted"
                    };
                    say(&self.id, &format!("{what}: {message}"));
                }
                self.accepted = accepted(Some(&self.accepted), ConditionStatus::False, reason, message, generation);
            }
        }
        self.next_check = None;
    }

    /// At the start a wrong spec ends Ringhold; that somebody else had the port first is left to the condition.
    pub(super) fn is_fatal_at_start(&self) -> bool {
        self.desired.is_none() && self.accepted.reason != "ListenerConflict"
    }

    pub(super) fn refusal(&self) -> String {
        format!("{}: {}: {}", self.file.display(), self.id, self.accepted.message)
    }

    /// Another size, until the file says another one.
    pub(super) fn scale(&mut self, replicas: i64) -> Result<(), ScaleError> {
        let size = u16::try_from(replicas)
            .map_err(|_| ScaleError::Invalid(format!("replicas: {replicas}: use a number from 0 to {}", u16::MAX)))?;
        self.scaled_to = Some(i32::from(size));
        self.is_waiting = true;
        Ok(())
    }

    /// From here on it drains. True if it did not before.
    pub(super) fn remove(&mut self) -> bool {
        let is_news = !self.is_removed;
        self.is_removed = true;
        self.is_waiting = false;
        self.next_check = None;
        is_news
    }

    /// Takes the next step, where there is anything to run.
    pub(super) async fn tick<B: Backend>(&mut self, backend: &B, publisher: &Publisher, say: &Say) {
        let Some(desired) = &self.desired else {
            self.show_refusal(publisher);
            return;
        };
        let (desired, exposure) =
            if self.is_removed { (&desired.removed(), Exposure::Withdrawn) } else { (desired, Exposure::Routed) };
        let standing = Standing { accepted: self.accepted.clone(), exposure };
        match tick(backend, publisher, desired, &standing, &mut self.memory, Timestamp::now()).await {
            Ok(Outcome { status, next_check, moved, shares, actions }) => {
                self.failed_ticks = 0;
                self.next_check = if actions > 0 { Some(Timestamp::now()) } else { next_check };
                for line in story::tell(&self.id.name, &self.told, &status, moved, &shares) {
                    say(&self.id, &line);
                }
                self.is_gone = self.is_removed && status.members.is_empty() && actions == 0;
                self.told = status;
                if self.is_gone {
                    publisher.withdraw(&self.id);
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Lists a LoadBalancer that has nothing running, so that people see why.
    fn show_refusal(&mut self, publisher: &Publisher) {
        if self.is_removed {
            publisher.withdraw(&self.id);
            self.is_gone = true;
            return;
        }
        let status = FleetStatus { conditions: vec![self.accepted.clone()], ..FleetStatus::default() };
        if publisher.publish(&self.id, status, None).is_err() {
            tracing::error!(fleet = %self.id, "a LoadBalancer without a route can't be listed");
        }
    }

    fn failed(&mut self, error: &TickError) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failed_ticks)).min(LONGEST_PAUSE);
        self.failed_ticks = self.failed_ticks.saturating_add(1);
        self.next_check = Some(Timestamp::now() + pause);
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(fleet = %self.id, %error, cause, ?pause, "a step failed and will be tried again");
    }
}

fn identity(resource: &LoadBalancer) -> FleetId {
    let metadata = &resource.metadata;
    FleetId::new(
        metadata.namespace.as_deref().unwrap_or(FleetId::DEFAULT_NAMESPACE),
        metadata.name.as_deref().unwrap_or_default(),
    )
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
