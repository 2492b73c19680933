//! What a file declares, before it is accepted: may it have what it asks for?

use std::path::PathBuf;

use crate::api::LoadBalancer;
use crate::backend::Backend;
use crate::controller::accept::{Refusal, accept};
use crate::controller::claims::conflict;
use crate::controller::standalone::pair::Pair;
use crate::controller::validate::validate;
use crate::model::{Desired, FleetId, Listener};
use crate::routes::Listeners;

/// A declaration to decide on.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) file: PathBuf,
    pub(super) resource: LoadBalancer,
    /// The files of the certificate that it serves with now, whatever is in them by now.
    pub(super) served_from: Option<[PathBuf; 2]>,
}

// === impl Declared ===

impl Declared {
    /// Where it wants to listen, if its spec is valid.
    pub(super) fn listener(&self) -> Option<Listener> {
        Some(validate(&self.resource).ok()?.route.listener.clone())
    }

    /// Whether the LoadBalancer may have what it asks for: a valid spec that the backend can run, a port and hosts that
    /// nobody else holds, a certificate where it wants TLS, and a port that can be opened.
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
        if let Some(pair) = Pair::of(&desired.route.listener, &self.file)? {
            let is_served =
                self.served_from.as_ref().is_some_and(|files| pair.files() == files.each_ref().map(|f| &**f));
            if !is_served {
                pair.found.content?; // else the one that was good goes on serving, and this is told
            }
        }
        accept(desired, backend, Some(listeners)).await
    }
}
