//! Opening ports: the controller asks before it accepts a spec, so that a port in use costs nothing that runs.

use tokio::sync::{mpsc, oneshot};

/// The controller's end.
#[derive(Debug, Clone)]
pub struct Listeners {
    requests: mpsc::Sender<ListenRequest>,
}

/// Open this port and say how it went. A port that is open already is fine. The proxy closes a port once a table that
/// named it has been followed by one that does not, and one that no table comes to name after a grace.
#[derive(Debug)]
pub struct ListenRequest {
    /// The TCP port.
    pub port: u16,
    /// The answer.
    pub reply: oneshot::Sender<Result<(), ListenError>>,
}

/// Why a port could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error("port {port} is in use by another process; stop that process or choose another port")]
    InUse {
        /// The port.
        port: u16,
    },
    /// The system refused.
    #[error("can't listen on port {port}: {message}")]
    Refused {
        /// The port.
        port: u16,
        /// The system's words.
        message: String,
    },
    /// No proxy runs any more.
    #[error("the proxy is shutting down")]
    ShuttingDown,
}

// === impl Listeners ===

impl Listeners {
    pub(super) fn new() -> (Self, mpsc::Receiver<ListenRequest>) {
        let (requests, receiver) = mpsc::channel(16);
        (Self { requests }, receiver)
    }

    /// Has the proxy open this port.
    ///
    /// # Errors
    /// The port is in use, or the system refuses it.
    pub async fn listen(&self, port: u16) -> Result<(), ListenError> {
        let (reply, answer) = oneshot::channel();
        let request = ListenRequest { port, reply };
        self.requests.send(request).await.map_err(|_| ListenError::ShuttingDown)?;
        answer.await.unwrap_or(Err(ListenError::ShuttingDown))
    }
}
