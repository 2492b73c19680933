//! What is there, as a backend reports it, and what the planner decides to do about it.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Condition, Incarnation, Ordinal, ReplicaName, ReplicaUid, TemplateHash};

/// Everything known about one fleet at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// All replicas that bear the fleet's mark, in any state and order.
    pub replicas: Vec<Replica>,
    /// Creates that the backend refused, at most one for an ordinal.
    pub rejections: Vec<Rejection>,
    /// What was last said of the fleet.
    pub conditions: Vec<Condition>,
}

/// One running, starting, stopping or dead copy of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its deterministic name.
    pub name: ReplicaName,
    /// The backend's identity of this very copy.
    pub uid: ReplicaUid,
    /// The place that it fills.
    pub ordinal: Ordinal,
    /// Which in a row it is there.
    pub incarnation: Incarnation,
    /// What it runs.
    pub template: TemplateHash,
    /// So many of its predecessors in a row failed; written on it when it was created.
    pub failures: u32,
    /// Where it takes requests, once that is known.
    pub address: Option<SocketAddr>,
    /// What it does right now.
    pub state: ReplicaState,
    /// What keeps it from getting ready, for people, where the backend knows.
    pub trouble: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when it is marked draining; the mark stands on the replica and is never taken back.
    pub draining_since: Option<Timestamp>,
    /// Marked `ringhold.dev/remove-first`: the first to go when the fleet shrinks.
    pub remove_first: bool,
    /// What the proxies know of it.
    pub traffic: Traffic,
}

/// What the proxies know of a replica, both at one moment: so neither routed nor with requests, it never gets one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Whether a published table lets it be chosen.
    pub routed: bool,
    /// Requests that it has now.
    pub in_flight: usize,
}

/// What a replica does right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaState {
    /// Created, not ready yet.
    Starting,
    /// Takes requests.
    Ready {
        /// Since when without a break.
        since: Timestamp,
    },
    /// Was ready once and is not now.
    Unready {
        /// Since when without a break.
        since: Timestamp,
    },
    /// Told to stop, by us or by others, and not gone yet: out of the ring.
    Terminating,
    /// Ended by itself, or was ended from outside.
    Dead {
        /// When it ended.
        since: Timestamp,
        /// How long it had been ready without a break, the last time that it was.
        ready_for: Duration,
        /// How it ended, for people: `exit status 1`, `killed by signal 9`, `OOMKilled`.
        reason: String,
    },
}

/// A create that the backend refused; kept by the controller until it succeeds or the template changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The ordinal that was to be filled.
    pub ordinal: Ordinal,
    /// The template that was refused.
    pub template: TemplateHash,
    /// How often in a row.
    pub count: u32,
    /// When last.
    pub at: Timestamp,
    /// CamelCase reason.
    pub reason: &'static str,
    /// The backend's own words.
    pub message: String,
}

/// One step of a plan. Harmless when repeated, by this process or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a replica. One that exists already is no error.
    Create(NewReplica),
    /// Write the drain mark on a replica; every proxy stops choosing it.
    Drain {
        /// Which replica.
        name: ReplicaName,
        /// Which copy.
        uid: ReplicaUid,
        /// What the mark says.
        since: Timestamp,
    },
    /// Stop a replica. One that is gone already is no error.
    Delete {
        /// Which replica.
        name: ReplicaName,
        /// Which copy; another copy of the same name is left alone.
        uid: ReplicaUid,
    },
}

/// What a create needs beyond the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplica {
    /// The deterministic name.
    pub name: ReplicaName,
    /// The place to fill.
    pub ordinal: Ordinal,
    /// Which in a row.
    pub incarnation: Incarnation,
    /// The template's hash.
    pub template: TemplateHash,
    /// So many predecessors in a row failed.
    pub failures: u32,
}

// === impl Replica ===

impl Replica {
    /// One that has just been created.
    #[must_use]
    pub fn starting(new: NewReplica, uid: ReplicaUid, address: SocketAddr, created_at: Timestamp) -> Self {
        let NewReplica { name, ordinal, incarnation, template, failures } = new;
        Self {
            name,
            uid,
            ordinal,
            incarnation,
            template,
            failures,
            address: Some(address),
            state: ReplicaState::Starting,
            trouble: None,
            created_at,
            draining_since: None,
            remove_first: false,
            traffic: Traffic::default(),
        }
    }

    /// Alive and not on its way out: it fills its ordinal.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.draining_since.is_none()
            && matches!(self.state, ReplicaState::Starting | ReplicaState::Ready { .. } | ReplicaState::Unready { .. })
    }

    /// Ready, whether or not it is draining.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, ReplicaState::Ready { .. })
    }

    /// For how long it has been ready without a break; `None` while it is not ready.
    #[must_use]
    pub fn ready_for(&self, now: Timestamp) -> Option<Duration> {
        match self.state {
            ReplicaState::Ready { since } => Some(elapsed(since, now)),
            _ => None,
        }
    }

    /// May be chosen for new requests.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.is_live() && self.is_ready() && self.address.is_some()
    }
}

impl Traffic {
    /// What several processes know of one replica.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { routed: self.routed || other.routed, in_flight: self.in_flight.saturating_add(other.in_flight) }
    }
}

impl ReplicaState {
    /// One word for people and the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Ready { .. } => "Ready",
            Self::Unready { .. } => "Unready",
            Self::Terminating => "Terminating",
            Self::Dead { .. } => "Dead",
        }
    }
}

/// From then to now; zero where clocks disagree.
#[must_use]
pub fn elapsed(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}
