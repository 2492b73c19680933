//! A certificate chain with its private key, out of two texts in PEM form.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError as Verdict, Error, InconsistentKeys, RootCertStore};

use crate::tls::{damage, provider};

/// Earlier and later than any certificate.
const BEGIN_OF_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::ZERO);
const END_OF_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));

/// A chain and the key that belongs to it. Whether its time has come, or is over, changes by itself: see
/// [`Certificate::not_before`] and [`Certificate::not_after`].
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Which of the two texts is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chain: `tls.crt`.
    Certificate,
    /// The private key: `tls.key`.
    Key,
}

/// Why a certificate can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no chain in the text.
    #[error("holds no certificate; put the chain there in PEM form, the server's own certificate first")]
    NoCertificate,
    /// There is no key in the text.
    #[error("holds no private key; put it there in PEM form, as PKCS#8, PKCS#1 or SEC1, without a password")]
    NoKey,
    /// A PEM section is damaged.
    #[error("is damaged ({message}); write it anew")]
    Damaged {
        /// Where.
        part: Part,
        /// What it lacks.
        message: &'static str,
    },
    /// What it holds is of a kind that we don't know.
    #[error("can't be used ({message}); use a certificate of version 3 with an RSA, ECDSA or Ed25519 key")]
    Unsupported {
        /// Where.
        part: Part,
        /// The parser's words.
        message: String,
    },
    /// Another key's certificate.
    #[error("is not the key of the certificate; put the two that were issued together there")]
    KeyMismatch,
}

// === impl Certificate ===

impl Certificate {
    /// Reads a chain and its key, and checks that they belong together.
    ///
    /// # Errors
    /// There are none, or they don't.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let damaged = |part, error: &pem::Error| CertificateError::Damaged { part, message: damage(error) };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| damaged(Part::Certificate, &error))?;
        let leaf = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (not_before, not_after) = validity(leaf)?;
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey),
            Err(error) => return Err(damaged(Part::Key, &error)),
        };
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key), not_before, not_after }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(CertificateError::KeyMismatch),
            Err(error) => Err(CertificateError::Unsupported { part: Part::Key, message: error.to_string() }),
        }
    }

    /// Its first moment.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Its last moment.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether both are the same chain, wherever they were read. The key is the same then, too: it fits.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Whether it is for this host: a name, or `*.` and the name above.
    #[must_use]
    pub fn names(&self, hostname: &str) -> bool {
        let name = hostname.replacen('*', "any", 1);
        let name = ServerName::try_from(name.as_str());
        let leaf = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        leaf.is_ok_and(|leaf| name.is_ok_and(|name| verify_server_name(&leaf, &name).is_ok()))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// First and last moment. The verifier looks at the time before anything else and says when a certificate begins or ended,
/// so these are what it says at the begin and at the end of time. All else it might say is for clients to judge.
fn validity(leaf: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), CertificateError> {
    let unsupported = |message| CertificateError::Unsupported { part: Part::Certificate, message };
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| unsupported(error.to_string()))?;
    let algorithms = provider().signature_verification_algorithms.all;
    let nobody = RootCertStore::empty();
    let verdict = |now| verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms);
    let not_before = match verdict(BEGIN_OF_TIME) {
        Err(Error::InvalidCertificate(Verdict::NotValidYetContext { not_before, .. })) => timestamp(not_before),
        _ => Timestamp::UNIX_EPOCH,
    };
    match verdict(END_OF_TIME) {
        Err(Error::InvalidCertificate(Verdict::ExpiredContext { not_after, .. })) => {
            Ok((not_before, timestamp(not_after)))
        }
        Err(error) => Err(unsupported(error.to_string())),
        Ok(()) => Ok((not_before, Timestamp::MAX)),
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

// === impl CertificateError ===

impl CertificateError {
    /// Which of the two texts is at fault.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::NoCertificate => Part::Certificate,
            Self::NoKey | Self::KeyMismatch => Part::Key,
            Self::Damaged { part, .. } | Self::Unsupported { part, .. } => *part,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Valid from 2020 to 2030.
    fn mk_pair() -> (String, String) {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_pair_is_read_with_its_time() {
        let (chain, key) = mk_pair();
        let certificate = read(&chain, &key).unwrap();
        let time = (certificate.not_before().to_string(), certificate.not_after().to_string());
        assert_eq!(time, ("2020-01-01T00:00:00Z".to_owned(), "2030-01-01T00:00:00Z".to_owned()));
        let text_around = format!("subject=CN = a.example\n{chain}");
        assert!(read(&text_around, &key).is_ok(), "openssl writes words around it");
    }

    #[test]
    fn what_is_broken_is_named_with_its_place() {
        let ((chain, key), (_, other_key)) = (mk_pair(), mk_pair());
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let cut = &chain[..chain.len() / 2];
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, key, part, says) in [
            ("", &*key, Part::Certificate, "holds no certificate"),
            (&*key, &*key, Part::Certificate, "holds no certificate"),
            (cut, &*key, Part::Certificate, "is damaged"),
            (no_certificate, &*key, Part::Certificate, "can't be used"),
            (&*chain, "", Part::Key, "holds no private key"),
            (&*chain, &*encrypted, Part::Key, "holds no private key"),
            (&*chain, &*other_key, Part::Key, "is not the key of the certificate"),
        ] {
            let error = read(chain, key).unwrap_err();
            assert!(error.part() == part && error.to_string().contains(says), "{error:?}: {says}");
        }
    }

    #[test]
    fn it_is_for_the_names_in_it() {
        let key = KeyPair::generate().unwrap();
        let names = ["a.example".to_owned(), "*.web.example".to_owned()];
        let chain = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
        let certificate = read(&chain, &key.serialize_pem()).unwrap();
        let named = ["a.example", "b.web.example", "*.web.example", "b.example", "*.example", "a_b.example"];
        assert_eq!(named.map(|name| certificate.names(name)), [true, true, true, false, false, false]);
    }

    #[test]
    fn keys_are_not_printed() {
        let (chain, key) = mk_pair();
        let certificate = read(&chain, &key).unwrap();
        assert_eq!(format!("{certificate:?}"), "Certificate { not_after: 2030-01-01T00:00:00Z, .. }");
        let lines: Vec<&str> = key.lines().collect();
        let (secret, section) = (lines[1], lines[1..].join("\n"));
        for damaged in [
            lines.join(" "),
            lines.join("\\n"),
            lines.join(""),
            key.replace("END", "END OF"),
            key.replace(secret, &format!("{secret}*")),
            format!("-----BEGIN {section}"),
        ] {
            let error = read(&chain, &damaged).unwrap_err();
            assert_eq!(error.part(), Part::Key);
            let told = format!("{error} {error:?}");
            let bytes = format!("{:?}", secret.as_bytes());
            let is_told = told.contains(secret) || told.contains(bytes.trim_matches(['[', ']']));
            assert!(!is_told && told.len() < 300, "{told}");
        }
    }
}
