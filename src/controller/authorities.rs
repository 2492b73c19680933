//! Who vouches for a fleet's replicas: the last good authorities count, whatever becomes of the place that they came from.

use std::sync::Arc;

use jiff::Timestamp;

use crate::controller::accept::Refusal;
use crate::controller::certificate::{Found, and_before, stated};
use crate::model::{Condition, ConditionType, ReplicaTls};
use crate::tls::{Authorities, ClientTls, TlsError};

/// Everything is as it should be; any other reason wants somebody.
pub(super) const KNOWN: &str = "AuthoritiesKnown";

/// What a fleet has of TLS with its replicas.
#[derive(Debug, Clone)]
pub struct Trust {
    /// For handshakes; `None`: there have been no authorities yet, and nothing is sent.
    pub client: Option<ClientTls>,
    /// What people are told.
    pub condition: Condition,
}

/// One LoadBalancer's authorities over time.
#[derive(Debug, Default)]
pub(super) struct TrustKeeper {
    kept: Option<Kept>,
    told: Option<Condition>,
}

#[derive(Debug)]
struct Kept {
    authorities: Arc<Authorities>,
    hostname: String,
    client: ClientTls,
}

// === impl TrustKeeper ===

impl TrustKeeper {
    /// What another process said last.
    pub(super) fn recall(&mut self, told: Option<Condition>) {
        self.told = told.or(self.told.take());
    }

    /// Takes what was found, if it is good, and says what there is now. `None`: no TLS is wanted.
    pub(super) fn keep(
        &mut self,
        wanted: Option<&ReplicaTls>,
        found: Option<&Found<Authorities>>,
        generation: i64,
        now: Timestamp,
    ) -> Option<Trust> {
        let (Some(ReplicaTls { hostname, .. }), Some(Found { place, content })) = (wanted, found) else {
            *self = Self::default();
            return None;
        };
        let (authorities, problem) = match content {
            Ok(found) => (Some(Arc::clone(found)), None),
            Err(problem) => (self.kept.as_ref().map(|kept| Arc::clone(&kept.authorities)), Some(problem)),
        };
        let taken = authorities.map_or(Ok(()), |authorities| self.take(&authorities, hostname));
        let said = match (problem, taken) {
            (Some(Refusal { reason, message }), _) => (false, *reason, and_before(message, self.kept.is_some())),
            (None, Err(error)) => (false, "TlsFailed", format!("{place}: can't be set up: {error}")),
            (None, Ok(())) => {
                (true, KNOWN, format!("requests go to replicas that prove to be {hostname} before the authorities"))
            }
        };
        let condition = stated(&mut self.told, ConditionType::ReplicaTlsReady, said, generation, now);
        Some(Trust { client: self.kept.as_ref().map(|kept| kept.client.clone()), condition })
    }

    /// Whoever has the same already keeps it, and with it the connections.
    fn take(&mut self, authorities: &Arc<Authorities>, hostname: &str) -> Result<(), TlsError> {
        let is_same = |kept: &Kept| kept.hostname == hostname && kept.authorities.is_same(authorities);
        if !self.kept.as_ref().is_some_and(is_same) {
            let client = ClientTls::new(authorities, hostname)?;
            self.kept = Some(Kept { authorities: Arc::clone(authorities), hostname: hostname.to_owned(), client });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::model::ConditionStatus;

    fn mk_found() -> Found<Authorities> {
        let authority = CertificateParams::new([]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
        let content = Ok(Arc::new(Authorities::from_pem(authority.pem().as_bytes()).unwrap()));
        Found { place: "web-ca".to_owned(), content }
    }

    fn keep(
        keeper: &mut TrustKeeper,
        hostname: &str,
        found: &Found<Authorities>,
    ) -> (bool, &'static str, Option<ClientTls>) {
        let wanted = ReplicaTls { hostname: hostname.to_owned(), authorities: "web-ca".to_owned() };
        let trust = keeper.keep(Some(&wanted), Some(found), 1, Timestamp::UNIX_EPOCH).unwrap();
        (trust.condition.status == ConditionStatus::True, trust.condition.reason, trust.client)
    }

    #[test]
    fn the_last_good_authorities_count() {
        let (mut keeper, good) = (TrustKeeper::default(), mk_found());
        let broken = Found { place: String::new(), content: Err(Refusal::new("CertificateInvalid", &"no PEM")) };
        assert_eq!(keep(&mut keeper, "a.internal", &broken), (false, "CertificateInvalid", None));
        let (is_ready, reason, first) = keep(&mut keeper, "a.internal", &good);
        assert_eq!((is_ready, reason, first.is_some()), (true, KNOWN, true));
        assert_eq!(keep(&mut keeper, "a.internal", &good).2, first, "its connections stay good");
        assert_eq!(keep(&mut keeper, "a.internal", &broken), (false, "CertificateInvalid", first.clone()));
        let (_, _, renamed) = keep(&mut keeper, "b.internal", &broken);
        assert!(renamed.is_some() && renamed != first, "the name counts at once");
        assert_ne!(keep(&mut keeper, "b.internal", &mk_found()).2, renamed);
        assert!(keeper.keep(None, None, 1, Timestamp::UNIX_EPOCH).is_none());
    }
}
