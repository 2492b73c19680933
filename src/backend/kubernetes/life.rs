//! What a pod's status says of its life, and how it ended in words for people.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::model::elapsed;

/// Past this a pod's condition has changed after the pod began, and is not the one that it began with. The kubelet
/// writes both within one second, each rounded to seconds.
const BEGINNING: Duration = Duration::from_secs(2);

/// What a pod says of its life, without what was seen of it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    /// Is not ready, and may never have been.
    NotReady {
        /// When it turned so, or began so.
        since: Timestamp,
        /// It tells by itself that it was ready once.
        was_ready: bool,
    },
    /// Takes requests.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// Told to stop.
    Terminating,
    /// None of its containers runs, or ever will again.
    Ended {
        /// When.
        at: Timestamp,
        /// How long the container ran that tells how it ended.
        ran_for: Duration,
        /// It tells by itself that it was ready once.
        was_ready: bool,
        /// How it ended.
        reason: String,
    },
}

/// Reads the status of a pod that was created at `created_at`.
pub(super) fn life(pod: &Pod, created_at: Timestamp) -> Life {
    if pod.metadata.deletion_timestamp.is_some() {
        return Life::Terminating;
    }
    let nothing = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&nothing);
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let changed_at = ready.and_then(changed_at);
    let was_ready = was_ready(status, ready);
    match status.phase.as_deref() {
        Some("Failed" | "Succeeded") => {
            let telling = telling_end(status);
            let times = telling.and_then(|end| Some((end.started_at.as_ref()?.0, finished_at(end)?)));
            Life::Ended {
                at: ends(status).filter_map(finished_at).max().or(changed_at).unwrap_or(created_at),
                ran_for: times.map_or(Duration::ZERO, |(started, finished)| elapsed(started, finished)),
                was_ready,
                reason: how_it_ended(status, telling),
            }
        }
        _ if ready.is_some_and(|condition| condition.status == "True") => {
            Life::Ready { since: changed_at.unwrap_or(created_at) }
        }
        _ => Life::NotReady { since: changed_at.unwrap_or(created_at), was_ready },
    }
}

/// A pod begins with a condition that says "not ready". Where that has changed later, it was ready in between.
fn was_ready(status: &PodStatus, ready: Option<&PodCondition>) -> bool {
    let Some(ready) = ready else { return false };
    let began = status.start_time.as_ref().map(|Time(time)| *time);
    ready.status == "True"
        || began.zip(changed_at(ready)).is_some_and(|(began, changed)| elapsed(began, changed) > BEGINNING)
}

fn changed_at(condition: &PodCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|Time(time)| *time)
}

/// How the containers ended, of those that have.
fn ends(status: &PodStatus) -> impl Iterator<Item = &ContainerStateTerminated> {
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    containers.filter_map(|container| container.state.as_ref()?.terminated.as_ref())
}

/// How the container ended that tells most: of those that failed the first, else of all the last.
fn telling_end(status: &PodStatus) -> Option<&ContainerStateTerminated> {
    let failed = ends(status).filter(|end| end.exit_code != 0).min_by_key(|end| finished_at(end));
    failed.or_else(|| ends(status).max_by_key(|end| finished_at(end)))
}

fn finished_at(end: &ContainerStateTerminated) -> Option<Timestamp> {
    end.finished_at.as_ref().map(|Time(time)| *time)
}

/// A word of the kubelet's, a signal or a status.
fn how_it_ended(status: &PodStatus, end: Option<&ContainerStateTerminated>) -> String {
    if let Some(word) = status.reason.as_deref().filter(|word| !word.is_empty()) {
        return with(word, status.message.as_ref());
    }
    let Some(end) = end else {
        return with(status.phase.as_deref().unwrap_or("Ended"), status.message.as_ref());
    };
    how_a_container_ended(end)
}

/// A word of the runtime's, a signal or a status.
pub(super) fn how_a_container_ended(end: &ContainerStateTerminated) -> String {
    match (end.reason.as_deref().unwrap_or_default(), end.signal.unwrap_or(0), end.exit_code) {
        ("OOMKilled", ..) => "OOMKilled".to_owned(),
        (_, signal, _) if signal > 0 => format!("killed by signal {signal}"),
        // What shells made a convention and container runtimes keep to: 128 and the signal's number.
        (_, _, code @ 129..=192) => format!("killed by signal {}", code - 128),
        (_, _, 0) => "Completed".to_owned(),
        ("" | "Error", _, code) => format!("exit status {code}"),
        (word, ..) => with(word, end.message.as_ref()),
    }
}

fn with(word: &str, message: Option<&String>) -> String {
    match message.map(|text| text.trim()) {
        Some(message) if !message.is_empty() => format!("{word}: {message}"),
        _ => word.to_owned(),
    }
}
