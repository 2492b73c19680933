//! Who vouches for a fleet's replicas: the last good authorities count, whatever becomes of the place that they came from.

use std::sync::Arc;

use jiff::Timestamp;

use crate::controller::accept::Refusal;
use crate::controller::kept::{Found, Kept, and_before, stated};
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
    kept: Option<Kept<Authorities, String, ClientTls>>,
    /// The place that `kept` was found in, as the spec names it.
    place: String,
    told: Option<Condition>,
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
        let (Some(ReplicaTls { hostname, authorities }), Some(found)) = (wanted, found) else {
            *self = Self::default();
            return None;
        };
        let Found { place, content } = found;
        // Who names another place withdraws the trust in those of the one before.
        if self.place != *authorities {
            self.kept = self.kept.take().filter(|_| content.is_ok());
            self.place.clone_from(authorities);
        }
        let taken = Kept::last_good(self.kept.as_ref(), found).map_or(Ok(()), |good| self.take(&good, hostname));
        let said = match (content, taken) {
            (Err(Refusal { reason, message }), _) if self.kept.is_none() => {
                (false, *reason, format!("{message}; until then no request is sent to replicas"))
            }
            (Err(Refusal { reason, message }), _) => (false, *reason, and_before(message, true)),
            (Ok(_), Err(error)) => (false, "TlsFailed", format!("{place}: can't be set up: {error}")),
            (Ok(_), Ok(())) => {
                (true, KNOWN, format!("requests go to replicas that prove to be {hostname} before the authorities"))
            }
        };
        let condition = stated(&mut self.told, ConditionType::ReplicaTlsReady, said, generation, now);
        Some(Trust { client: self.kept.as_ref().map(|kept| kept.made.clone()), condition })
    }

    /// Whoever has the same already keeps it, and with it the connections.
    fn take(&mut self, authorities: &Arc<Authorities>, hostname: &str) -> Result<(), TlsError> {
        let make = |authorities: &Arc<Authorities>, hostname: &String| ClientTls::new(authorities, hostname);
        Kept::renew(&mut self.kept, authorities, hostname.to_owned(), Authorities::is_same, make)
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
        keep_as(keeper, &wanted, found)
    }

    fn keep_as(
        keeper: &mut TrustKeeper,
        wanted: &ReplicaTls,
        found: &Found<Authorities>,
    ) -> (bool, &'static str, Option<ClientTls>) {
        let trust = keeper.keep(Some(wanted), Some(found), 1, Timestamp::UNIX_EPOCH).unwrap();
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

    #[test]
    fn who_names_another_place_withdraws_the_trust_in_the_one_before() {
        let (mut keeper, good) = (TrustKeeper::default(), mk_found());
        let missing =
            Found { place: String::new(), content: Err(Refusal::new("CertificateMissing", &"no such Secret")) };
        let named = |name: &str| ReplicaTls { hostname: "a.internal".to_owned(), authorities: name.to_owned() };
        let (_, _, first) = keep_as(&mut keeper, &named("old"), &good);
        assert_eq!(keep_as(&mut keeper, &named("copy"), &good), (true, KNOWN, first.clone()), "the same elsewhere");
        assert_eq!(keep_as(&mut keeper, &named("new"), &missing), (false, "CertificateMissing", None));
        let told = keeper.told.as_ref().map(|told| told.message.clone());
        assert_eq!(told.as_deref(), Some("no such Secret; until then no request is sent to replicas"));
        assert_eq!(
            keep_as(&mut keeper, &named("copy"), &missing).2,
            None,
            "it is not trusted again before it is read again"
        );
        assert!(keep_as(&mut keeper, &named("new"), &mk_found()).2.is_some_and(|client| Some(client) != first));
    }
}
