//! What a file declares, before it is accepted: may it have what it asks for?

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::controller::claims::conflict;
use crate::controller::validate::{FieldError, FieldErrors, validate};
use crate::model::{Desired, FleetId, Listener};
use crate::routes::{ListenError, Listeners};

/// A declaration to decide on.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) resource: LoadBalancer,
}

/// Why a declaration is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

// === impl Declared ===

impl Declared {
    /// Where it wants to listen, if its spec is valid.
    pub(super) fn listener(&self) -> Option<Listener> {
        Some(validate(&self.resource).ok()?.route.listener.clone())
    }

    /// Whether the LoadBalancer may have what it asks for: a valid spec that the backend can run, a port and hosts that
    /// nobody else holds, and a port that can be opened.
    pub(super) async fn check<B: Backend>(
        &self,
        backend: &B,
        claims: &[(&FleetId, Listener)],
        listeners: &Listeners,
    ) -> Result<Desired, Refusal> {
        let invalid = |errors: FieldErrors| Refusal::new("InvalidSpec", &errors);
        let desired = validate(&self.resource).map_err(invalid)?;
        if let Some(conflict) =
            conflict(&desired.route.listener, claims.iter().map(|(owner, listener)| (*owner, listener)))
        {
            return Err(Refusal::new("ListenerConflict", &conflict));
        }
        listeners.listen(desired.route.listener.port).await.map_err(|error| match error {
            ListenError::InUse { .. } => Refusal::new("PortInUse", &format!("spec.listener.port: {error}")),
            other => Refusal::new("ListenFailed", &format!("spec.listener.port: {other}")),
        })?;
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
}

impl Refusal {
    fn new(reason: &'static str, message: &impl ToString) -> Self {
        Self { reason, message: message.to_string() }
    }
}
