//! The last questions before a valid spec is followed, the same for all drivers: can its port be opened, can the backend
//! run it?

use crate::backend::Backend;
use crate::controller::claims::Conflict;
use crate::controller::validate::{FieldError, FieldErrors};
use crate::model::Desired;
use crate::routes::{ListenError, Listeners};

/// Why a declaration is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// CamelCase, for the condition.
    pub(super) reason: &'static str,
    /// The field, what is wrong with it, and the way out.
    pub(super) message: String,
}

/// Opens the port and has the backend take the spec over. `None` for the listeners: this process does not route.
pub(super) async fn accept<B: Backend>(
    desired: Desired,
    backend: &B,
    listeners: Option<&Listeners>,
) -> Result<Desired, Refusal> {
    if let Some(listeners) = listeners {
        listeners.listen(desired.route.listener.port).await.map_err(|error| match error {
            ListenError::InUse { .. } => Refusal::new("PortInUse", &format!("spec.listener.port: {error}")),
            other => Refusal::new("ListenFailed", &format!("spec.listener.port: {other}")),
        })?;
    }
    // Last, for it takes the spec's health settings over: whatever is refused must change nothing that runs.
    backend.accept(&desired).map_err(|unsupported| {
        let errors = unsupported.into_iter().map(|field| FieldError {
            path: field.path,
            value: String::new(),
            rule: field.message,
        });
        Refusal::new("Unsupported", &FieldErrors(errors.collect()))
    })?;
    Ok(desired)
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(reason: &'static str, message: &impl ToString) -> Self {
        Self { reason, message: message.to_string() }
    }
}

impl From<FieldErrors> for Refusal {
    fn from(errors: FieldErrors) -> Self {
        Self::new("InvalidSpec", &errors)
    }
}

impl From<Conflict> for Refusal {
    fn from(conflict: Conflict) -> Self {
        Self::new("ListenerConflict", &conflict)
    }
}
