//! Where replicas run, behind one contract.

pub mod fake;
pub mod kubernetes;
mod probe;
pub mod process;

use std::future::Future;

use jiff::Timestamp;

use crate::model::{Desired, FleetId, NewReplica, Replica, ReplicaName, ReplicaUid};

/// A place where replicas run. Every backend keeps this contract; `tests/backend` holds each to it.
///
/// - **Names are identities.** A create whose name exists already succeeds and changes nothing.
/// - **A uid is one copy.** Draining or deleting a name that another copy bears now leaves that copy alone.
/// - **Gone is fine.** Draining or deleting what no longer exists succeeds.
/// - **Calls only start things.** They return once the backend has taken the step, not once it is finished;
///   [`Backend::observe`] shows how far it has come, at the latest when [`Backend::changed`] returns next.
/// - **A mark stays.** `draining_since` is written on the replica: the first mark wins and is never taken back.
/// - **Nothing is forgotten early.** A replica that ended by itself is observed as dead until it is deleted.
/// - **Others are left alone.** Only replicas that bear the fleet's mark are observed or touched.
pub trait Backend: Send + Sync + 'static {
    /// Checks that this backend can run the spec, and takes over what it needs to judge the fleet's replicas. Called
    /// before a changed spec is acted on.
    ///
    /// # Errors
    /// What this backend can't run, field by field; nothing has changed.
    fn accept(&self, desired: &Desired) -> Result<(), Vec<Unsupported>>;

    /// Takes back what [`accept`](Self::accept) took over, for a LoadBalancer that is gone; until it is accepted again it
    /// can't be observed. One of the same name that was accepted since is not meant.
    fn forget(&self, _desired: &Desired) {}

    /// All replicas of a fleet, in any order.
    fn observe(&self, fleet: &FleetId) -> impl Future<Output = Result<Vec<Replica>, BackendError>> + Send;

    /// Starts a replica.
    fn create(&self, desired: &Desired, new: &NewReplica) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Writes the drain mark.
    fn drain(
        &self,
        fleet: &FleetId,
        name: &ReplicaName,
        uid: &ReplicaUid,
        since: Timestamp,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Stops a replica: asks, gives it its grace, then kills. A dead one is forgotten.
    fn delete(
        &self,
        fleet: &FleetId,
        name: &ReplicaName,
        uid: &ReplicaUid,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Returns when any replica may have changed since the last return.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// A field of the spec that a backend can't run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Path of the field, from `spec.`.
    pub path: String,
    /// What is wrong with it, and the way out.
    pub message: String,
}

/// Why a backend did not take a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The replica can't be created as it is declared; the same try will fail again until something is changed.
    #[error("{message}")]
    Rejected {
        /// CamelCase, for conditions and Events.
        reason: &'static str,
        /// What is wrong, and the way out.
        message: String,
    },
    /// The backend could not be asked, or its answer was lost; the step may have been taken.
    #[error("the backend did not answer: {message}")]
    Unavailable {
        /// What happened.
        message: String,
    },
}
