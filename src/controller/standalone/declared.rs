//! What a file declares, before it is accepted: may it have what it asks for?

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::controller::accept::{Refusal, accept};
use crate::controller::claims::conflict;
use crate::controller::validate::validate;
use crate::model::{Desired, FleetId, Listener};
use crate::routes::Listeners;

/// A declaration to decide on.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) resource: LoadBalancer,
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
        let desired = validate(&self.resource)?;
        let claims = claims.iter().map(|(owner, listener)| (*owner, listener));
        if let Some(conflict) = conflict(&desired.route.listener, claims) {
            return Err(conflict.into());
        }
        accept(desired, backend, Some(listeners)).await
    }
}
