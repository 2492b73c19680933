//! What a listener has of TLS: the last good certificate serves, whatever becomes of the place that it came from.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::controller::accept::Refusal;
use crate::controller::kept::{Found, Kept, Said, and_before, stated};
use crate::model::{Condition, ConditionType, Listener, TlsVersion};
use crate::tls::{Certificate, ServerTls, TlsError};

/// So long before its end a certificate is said to need another one. Who renews by machine has done so by then.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Nobody waits longer than this for a certificate's time.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything is as it should be; any other reason wants somebody.
pub(super) const VALID: &str = "CertificateValid";

/// What a listener that wants TLS has of it.
#[derive(Debug, Clone)]
pub struct Security {
    /// For handshakes; `None`: there has been no certificate yet.
    pub server: Option<ServerTls>,
    /// What people are told.
    pub condition: Condition,
    /// When there will be something else to tell though nothing happens.
    pub next_check: Option<Timestamp>,
}

/// One LoadBalancer's certificate over time.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    kept: Option<Kept<Certificate, TlsVersion, ServerTls>>,
    told: Option<Condition>,
}

// === impl Keeper ===

impl Keeper {
    /// What another process said last.
    pub(super) fn recall(&mut self, told: Option<Condition>) {
        self.told = told.or(self.told.take());
    }

    /// Whether there is a certificate to serve with.
    pub(super) fn has_certificate(&self) -> bool {
        self.kept.is_some()
    }

    /// Takes what was found if it is better than what there is, and says what there is now. `None`: no TLS is wanted.
    pub(super) fn keep(
        &mut self,
        listener: &Listener,
        found: Option<&Found<Certificate>>,
        generation: i64,
        now: Timestamp,
    ) -> Option<Security> {
        let (Some(tls), Some(found)) = (&listener.tls, found) else {
            *self = Self::default();
            return None;
        };
        let Found { place, content } = found;
        // What was there before goes on on the terms of now.
        let good = Kept::last_good(self.kept.as_ref(), found);
        let taken = good.map_or(Ok(true), |good| self.take(&good, tls.min_version, now));
        let said = match (content, taken) {
            (_, Err(error)) => (false, "TlsFailed", format!("{place}: can't be set up: {error}")),
            (Err(Refusal { reason, message }), Ok(_)) => (false, *reason, and_before(message, self.has_certificate())),
            (Ok(found), Ok(true)) => state(found, place, listener, now),
            (Ok(found), Ok(false)) => {
                let (_, reason, message) = state(found, place, listener, now);
                (false, reason, and_before(&message, true))
            }
        };
        let condition = stated(&mut self.told, ConditionType::TlsReady, said, generation, now);
        let kept = self.kept.as_ref().map(|kept| &kept.content);
        let next_check = kept.into_iter().chain(content.as_ref().ok()).filter_map(|it| next_check(it, now)).min();
        let server = self.kept.as_ref().map(|kept| kept.made.clone());
        Some(Security { server, condition, next_check })
    }

    /// Serves with this from now on; `false` if it is not its time and another one's is. Whoever has the same already keeps
    /// it, and with it the tickets of its clients.
    fn take(&mut self, found: &Arc<Certificate>, min_version: TlsVersion, now: Timestamp) -> Result<bool, TlsError> {
        let kept = self.kept.as_ref().map(|kept| &kept.content);
        let better = kept.filter(|kept| is_its_time(kept, now) && !is_its_time(found, now));
        let certificate = Arc::clone(better.unwrap_or(found));
        let make =
            |certificate: &Arc<Certificate>, version: &TlsVersion| ServerTls::new(Arc::clone(certificate), *version);
        Kept::renew(&mut self.kept, &certificate, min_version, Certificate::is_same, make)?;
        Ok(certificate.is_same(found))
    }
}

/// What there is to say of a certificate by itself.
fn state(certificate: &Certificate, place: &str, listener: &Listener, now: Timestamp) -> Said {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if now < not_before {
        let message = format!("{place}: the certificate is not valid before {not_before}; wait, or check the clock");
        return (false, "CertificateNotYetValid", message);
    }
    if now >= not_after {
        return (false, "CertificateExpired", format!("{place}: the certificate has expired on {not_after}; renew it"));
    }
    if now >= not_after - SOON {
        let message = format!("{place}: the certificate ends on {not_after}; renew it before");
        return (true, "CertificateExpiresSoon", message);
    }
    if let Some(hostname) = listener.hostnames.iter().find(|hostname| !certificate.names(hostname)) {
        let message =
            format!("{place}: the certificate is not for {hostname}, whose clients refuse it; add the name to it");
        return (true, "HostnameNotInCertificate", message);
    }
    (true, VALID, format!("the certificate is valid until {not_after}"))
}

fn is_its_time(certificate: &Certificate, now: Timestamp) -> bool {
    certificate.not_before() <= now && now < certificate.not_after()
}

fn next_check(certificate: &Certificate, now: Timestamp) -> Option<Timestamp> {
    let (begin, end) = (certificate.not_before(), certificate.not_after());
    let next = [begin, end - SOON, end].into_iter().find(|then| *then > now)?;
    Some(next.min(now + LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::model::{ConditionStatus, ListenerTls};

    fn mk_found(name: &str, years: [i32; 2]) -> Found<Certificate> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let certificate = Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        Found { place: "tls.crt".to_owned(), content: Ok(Arc::new(certificate)) }
    }

    fn mk_listener(hostnames: &[&str], min_version: TlsVersion) -> Listener {
        let tls = Some(ListenerTls { secret: Some("web-tls".to_owned()), files: None, min_version });
        Listener { port: 443, hostnames: hostnames.iter().map(|&name| name.to_owned()).collect(), tls }
    }

    fn at(time: &str) -> Timestamp {
        format!("{time}T00:00:00Z").parse().unwrap()
    }

    /// Keeps what was found; status, reason and what serves.
    fn keep(keeper: &mut Keeper, found: &Found<Certificate>, now: &str) -> (bool, &'static str, Option<ServerTls>) {
        let security = keeper.keep(&mk_listener(&[], TlsVersion::Tls12), Some(found), 1, at(now)).unwrap();
        (security.condition.status == ConditionStatus::True, security.condition.reason, security.server)
    }

    #[test]
    fn the_last_good_certificate_goes_on_serving() {
        let (mut keeper, good) = (Keeper::default(), mk_found("a.example", [2020, 2030]));
        let broken = || Found { place: String::new(), content: Err(Refusal::new("CertificateInvalid", &"no PEM")) };
        assert_eq!(keep(&mut keeper, &broken(), "2025-01-01"), (false, "CertificateInvalid", None));
        let (is_ready, reason, first) = keep(&mut keeper, &good, "2025-01-01");
        assert_eq!((is_ready, reason, first.is_some()), (true, VALID, true));
        assert_eq!(keep(&mut keeper, &broken(), "2025-01-02"), (false, "CertificateInvalid", first.clone()));
        let early = mk_found("a.example", [2026, 2036]);
        assert_eq!(keep(&mut keeper, &early, "2025-01-03"), (false, "CertificateNotYetValid", first.clone()));
        let late = mk_found("a.example", [2010, 2024]);
        assert_eq!(keep(&mut keeper, &late, "2025-01-04"), (false, "CertificateExpired", first.clone()));
        let (is_ready, reason, next) = keep(&mut keeper, &early, "2026-01-01");
        assert_eq!((is_ready, reason), (true, VALID));
        assert_ne!(next, first, "its time has come");
    }

    #[test]
    fn one_that_has_expired_is_better_than_none() {
        let (mut keeper, late) = (Keeper::default(), mk_found("a.example", [2010, 2024]));
        let (is_ready, reason, server) = keep(&mut keeper, &late, "2025-01-01");
        assert_eq!((is_ready, reason, server.is_some()), (false, "CertificateExpired", true));
        let (is_ready, reason, other) = keep(&mut keeper, &mk_found("a.example", [2020, 2030]), "2025-01-02");
        assert_eq!((is_ready, reason), (true, VALID));
        assert_ne!(other, server);
    }

    #[test]
    fn the_same_read_once_more_changes_nothing_and_other_terms_do() {
        let (mut keeper, found) = (Keeper::default(), mk_found("a.example", [2020, 2030]));
        let now = at("2025-01-01");
        let mut server = |version| {
            keeper.keep(&mk_listener(&[], version), Some(&found), 1, now).and_then(|security| security.server)
        };
        let first = server(TlsVersion::Tls12);
        assert_eq!(server(TlsVersion::Tls12), first, "its clients' tickets stay good");
        let strict = server(TlsVersion::Tls13);
        assert_ne!(strict, first);
        let gone = Found { place: String::new(), content: Err(Refusal::new("CertificateMissing", &"gone")) };
        let mut without =
            |version| keeper.keep(&mk_listener(&[], version), Some(&gone), 1, now).and_then(|security| security.server);
        assert_eq!(without(TlsVersion::Tls13), strict);
        let loose = without(TlsVersion::Tls12);
        assert!(loose.is_some() && loose != strict, "the terms of now hold for the certificate of before");
        assert!(keeper.keep(&Listener { tls: None, ..mk_listener(&[], TlsVersion::Tls12) }, None, 1, now).is_none());
        assert!(!keeper.has_certificate(), "nobody wants it any more");
    }

    #[test]
    fn what_wants_somebody_is_told_in_time() {
        let found = mk_found("a.example", [2020, 2030]);
        let said = |hostnames: &[&str], now: &str| {
            let listener = mk_listener(hostnames, TlsVersion::Tls12);
            let security = Keeper::default().keep(&listener, Some(&found), 1, at(now)).unwrap();
            (security.condition.reason, security.next_check)
        };
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(said(&["a.example"], "2025-01-01"), (VALID, Some(at("2025-01-02"))));
        assert_eq!(said(&["b.example"], "2025-01-01").0, "HostnameNotInCertificate");
        assert_eq!(said(&[], "2029-12-17"), (VALID, Some(at("2029-12-18"))));
        assert_eq!(said(&[], "2029-12-18"), ("CertificateExpiresSoon", Some(at("2029-12-18") + day)));
        assert_eq!(said(&[], "2030-01-01"), ("CertificateExpired", None));
    }
}
