//! Vocabulary of the core: what is wanted ([`Desired`]), what is there ([`Observed`]), what to do ([`Action`])
//! and what to tell people ([`FleetStatus`]). Plain data, without clock, network, randomness or Kubernetes.

mod desired;
mod names;
mod observed;
mod status;

pub use desired::{
    CertificateFiles, Container, CookieKey, Desired, Health, KeySource, Limits, Listener, ListenerTls, ReplicaTls,
    Retries, Rollout, RoutePolicy, TargetProtocol, Template, Timeouts, TlsVersion,
};
pub use names::{FleetId, FleetUid, Incarnation, Ordinal, ReplicaName, ReplicaUid, TemplateHash};
pub use observed::{Action, NewReplica, Observed, Rejection, Replica, ReplicaState, Traffic, elapsed};
pub use status::{Condition, ConditionStatus, ConditionType, FleetStatus, ReplicaStatus, RingStatus};
