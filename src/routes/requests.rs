//! What people ask of the controller through the admin API.

use tokio::sync::{mpsc, oneshot};

use crate::model::FleetId;

/// The admin server's end.
#[derive(Debug, Clone)]
pub struct Requests {
    scale: mpsc::Sender<ScaleRequest>,
}

/// Change a fleet's size.
#[derive(Debug)]
pub struct ScaleRequest {
    /// Whose.
    pub id: FleetId,
    /// To how many; not validated yet.
    pub replicas: i64,
    /// Answered once the new size is accepted; the fleet follows.
    pub reply: oneshot::Sender<Result<(), ScaleError>>,
}

/// Why a fleet's size was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// No such LoadBalancer.
    #[error("no LoadBalancer is called {0}")]
    NotFound(FleetId),
    /// Not a size that a fleet can have.
    #[error("{0}")]
    Invalid(String),
    /// The controller is stopping.
    #[error("Ringhold is shutting down")]
    ShuttingDown,
}

// === impl Requests ===

impl Requests {
    pub(super) fn new() -> (Self, mpsc::Receiver<ScaleRequest>) {
        let (scale, receiver) = mpsc::channel(16);
        (Self { scale }, receiver)
    }

    /// Asks for another size.
    ///
    /// # Errors
    /// There is no such LoadBalancer, or it can't have that size.
    pub async fn scale(&self, id: FleetId, replicas: i64) -> Result<(), ScaleError> {
        let (reply, answer) = oneshot::channel();
        let request = ScaleRequest { id, replicas, reply };
        self.scale.send(request).await.map_err(|_| ScaleError::ShuttingDown)?;
        answer.await.unwrap_or(Err(ScaleError::ShuttingDown))
    }
}
