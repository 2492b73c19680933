//! What has become of a pod, and how a kubelet would say it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::container::Exit;

/// One pod's life so far.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) address: Ipv4Addr,
    pub(super) began: Timestamp,
    pub(super) state: State,
    pub(super) last: Option<End>,
    pub(super) restarts: i32,
    pub(super) is_ready: bool,
    pub(super) is_evicted: bool,
    /// When each condition became what it is.
    conditions: BTreeMap<&'static str, (bool, Timestamp)>,
}

/// The state of the container.
#[derive(Debug)]
pub(super) enum State {
    Waiting(Waiting),
    Running {
        since: Timestamp,
    },
    /// For good.
    Ended(End),
}

/// Why a container does not run yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// One run of a container.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

// === impl Life ===

impl Life {
    pub(super) fn new(address: Ipv4Addr, now: Timestamp) -> Self {
        let state = State::Waiting(Waiting { reason: "ContainerCreating", message: String::new() });
        let (last, conditions) = (None, BTreeMap::new());
        Self { address, began: now, state, last, restarts: 0, is_ready: false, is_evicted: false, conditions }
    }

    /// Whether nothing will run any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(_)) || self.is_evicted
    }

    /// The container ended; it runs again or not, as its pod wants.
    pub(super) fn ended(&mut self, exit: Exit, is_restarted: bool, now: Timestamp) {
        let since = if let State::Running { since } = self.state { since } else { now };
        let end = End { exit, since, until: now };
        self.is_ready = false;
        if is_restarted {
            self.restarts += 1;
            self.last = Some(end);
            let message = "the container ended and is started again after a pause".to_owned();
            self.state = State::Waiting(Waiting { reason: "CrashLoopBackOff", message });
        } else {
            self.state = State::Ended(end);
        }
    }

    fn phase(&self) -> &'static str {
        match &self.state {
            _ if self.is_evicted => "Failed",
            State::Waiting(_) if self.restarts == 0 => "Pending",
            State::Waiting(_) | State::Running { .. } => "Running",
            State::Ended(end) if end.exit.code == 0 => "Succeeded",
            State::Ended(_) => "Failed",
        }
    }

    /// What to write into the pod, as a strategic merge, which holds only for this very pod.
    pub(super) fn patch(&mut self, pod: &Pod, now: Timestamp) -> Value {
        let phase = self.phase();
        let is_started = matches!(self.state, State::Running { .. });
        let are_containers_ready = is_started && self.is_ready;
        let is_ready = are_containers_ready && passes_gates(pod);
        let mut conditions = vec![
            self.condition("PodReadyToStartContainers", true, None, now),
            self.condition("Initialized", true, None, now),
            self.condition("ContainersReady", are_containers_ready, unready_reason(phase), now),
            self.condition("Ready", is_ready, unready_reason(phase), now),
        ];
        let mut status = json!({
            "phase": phase,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "hostIP": Ipv4Addr::LOCALHOST,
            "hostIPs": [{"ip": Ipv4Addr::LOCALHOST}],
            "startTime": Time(self.began),
        });
        if self.is_evicted {
            conditions.push(self.condition("DisruptionTarget", true, Some("TerminationByKubelet"), now));
            status["reason"] = "Evicted".into();
            status["message"] = "The node was low on resource: memory.".into();
        }
        status["conditions"] = conditions.into();
        status["containerStatuses"] = self.container_statuses(pod, is_started, are_containers_ready);
        json!({"metadata": {"uid": pod.uid()}, "status": status})
    }

    fn condition(&mut self, kind: &'static str, is_so: bool, reason: Option<&str>, now: Timestamp) -> Value {
        let known = self.conditions.entry(kind).or_insert((is_so, now));
        if known.0 != is_so {
            *known = (is_so, now);
        }
        let status = if is_so { "True" } else { "False" };
        // `null` takes the reason away that an earlier patch gave.
        let reason = reason.filter(|_| !is_so || kind == "DisruptionTarget");
        json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": Time(known.1)})
    }

    /// All containers fare as the first does.
    fn container_statuses(&self, pod: &Pod, is_started: bool, is_ready: bool) -> Value {
        let state = match &self.state {
            State::Waiting(Waiting { reason, message }) => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running { since } => json!({"running": {"startedAt": Time(*since)}}),
            State::Ended(end) => end.state(),
        };
        let last = self.last.as_ref().map_or_else(|| json!({}), End::state);
        let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let id = pod.uid().unwrap_or_default();
        let statuses = containers.iter().map(|container| {
            json!({
                "name": container.name,
                "image": container.image.as_deref().unwrap_or_default(),
                "imageID": "",
                "containerID": format!("ringhold-test://{id}-{}", self.restarts),
                "started": is_started,
                "ready": is_ready,
                "restartCount": self.restarts,
                "state": state,
                "lastState": last,
            })
        });
        statuses.collect()
    }
}

fn unready_reason(phase: &str) -> Option<&'static str> {
    Some(match phase {
        "Succeeded" => "PodCompleted",
        "Failed" => "PodFailed",
        _ => "ContainersNotReady",
    })
}

/// Whether all conditions are there that the pod's readiness waits for besides its containers.
fn passes_gates(pod: &Pod) -> bool {
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let conditions: Vec<_> = pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let is_true = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    gates.into_iter().all(|gate| is_true(&gate.condition_type))
}

// === impl End ===

impl End {
    fn state(&self) -> Value {
        let Self { exit: Exit { code, signal }, since, until } = self;
        let reason = if *code == 0 { "Completed" } else { "Error" };
        let (since, until) = (Time(*since), Time(*until));
        json!({"terminated": {
            "exitCode": code, "signal": signal, "reason": reason, "startedAt": since, "finishedAt": until,
        }})
    }
}
