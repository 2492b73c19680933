//! What a LoadBalancer has of TLS, with clients and with replicas, out of the Secrets that it names.

use jiff::Timestamp;

use super::Context;
use crate::controller::authorities::{Trust, TrustKeeper};
use crate::controller::certificate::{Keeper, Security};
use crate::model::{Condition, ConditionType, Desired, RoutePolicy};

/// One LoadBalancer's.
#[derive(Default)]
pub(super) struct Secured {
    certificate: Keeper,
    authorities: TrustKeeper,
}

// === impl Secured ===

impl Secured {
    /// What another process said last.
    pub(super) fn recall(&mut self, conditions: &[Condition]) {
        let told = |kind| conditions.iter().find(|stated| stated.kind == kind).cloned();
        self.certificate.recall(told(ConditionType::TlsReady));
        self.authorities.recall(told(ConditionType::ReplicaTlsReady));
    }

    /// What there is now. A Secret that was not followed yet is waited for, and not for long.
    pub(super) async fn look<B>(
        &mut self,
        desired: &Desired,
        generation: i64,
        context: &Context<B>,
    ) -> (Option<Security>, Option<Trust>) {
        let RoutePolicy { listener, replica_tls, .. } = &*desired.route;
        let secret = listener.tls.as_ref().and_then(|tls| tls.secret.as_deref());
        let ca_secret = replica_tls.as_ref().map(|tls| &*tls.authorities);
        let (certificate, authorities) = tokio::join!(
            context.certificates.find(&desired.id, secret),
            context.authorities.find(&desired.id, ca_secret)
        );
        let now = Timestamp::now();
        let security = self.certificate.keep(listener, certificate.as_deref(), generation, now);
        (security, self.authorities.keep(replica_tls.as_ref(), authorities.as_deref(), generation, now))
    }
}
