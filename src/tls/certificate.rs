//! A certificate chain with its private key, out of two texts in PEM form.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError as Verdict, Error, InconsistentKeys, RootCertStore};

use crate::tls::provider;

/// Later than any certificate ends.
const END_OF_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));

/// A chain and the key that belongs to it.
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
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
        /// The parser's words.
        message: String,
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
    /// Too late.
    #[error("has expired on {not_after}; renew it")]
    Expired {
        /// Its last moment.
        not_after: Timestamp,
    },
    /// Too early.
    #[error("is not valid before {not_before}; wait until then or check the clock")]
    NotYetValid {
        /// Its first moment.
        not_before: Timestamp,
    },
}

// === impl Certificate ===

impl Certificate {
    /// Reads a chain and its key, and checks that they belong together and are valid `now`.
    ///
    /// # Errors
    /// Whatever of this is not so.
    pub fn from_pem(chain: &[u8], key: &[u8], now: Timestamp) -> Result<Self, CertificateError> {
        let damaged = |part, error: rustls::pki_types::pem::Error| {
            let message = error.to_string();
            CertificateError::Damaged { part, message }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| damaged(Part::Certificate, error))?;
        let Some(leaf) = chain.first() else { return Err(CertificateError::NoCertificate) };
        check_time(leaf, now)?;
        let not_after = not_after(leaf)?;
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(rustls::pki_types::pem::Error::NoItemsFound) => return Err(CertificateError::NoKey),
            Err(error) => return Err(damaged(Part::Key, error)),
        };
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key), not_after }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(CertificateError::KeyMismatch),
            Err(error) => Err(CertificateError::Unsupported { part: Part::Key, message: error.to_string() }),
        }
    }

    /// Its last moment.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether both are the same certificate, wherever they were read.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert.first() == other.key.cert.first()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

fn check_time(leaf: &CertificateDer<'_>, now: Timestamp) -> Result<(), CertificateError> {
    match verdict(leaf, unix_time(now))? {
        Some(Verdict::ExpiredContext { not_after, .. }) => {
            Err(CertificateError::Expired { not_after: timestamp(not_after) })
        }
        Some(Verdict::NotValidYetContext { not_before, .. }) => {
            Err(CertificateError::NotYetValid { not_before: timestamp(not_before) })
        }
        // Who issued it, for what and for whom is for the client to judge.
        _ => Ok(()),
    }
}

/// The verifier looks at the time before anything else and says when a certificate ended, so the last moment of one is
/// what it says at the end of time.
fn not_after(leaf: &CertificateDer<'_>) -> Result<Timestamp, CertificateError> {
    match verdict(leaf, END_OF_TIME)? {
        Some(Verdict::ExpiredContext { not_after, .. }) => Ok(timestamp(not_after)),
        other => Err(unsupported(format!("{other:?}"))),
    }
}

/// What a client that trusts nobody would say.
fn verdict(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<Option<Verdict>, CertificateError> {
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| unsupported(error.to_string()))?;
    let algorithms = provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], now, algorithms) {
        Ok(()) => Ok(None),
        Err(Error::InvalidCertificate(verdict)) => Ok(Some(verdict)),
        Err(error) => Err(unsupported(error.to_string())),
    }
}

fn unsupported(message: String) -> CertificateError {
    CertificateError::Unsupported { part: Part::Certificate, message }
}

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or_default()))
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
            Self::NoCertificate | Self::Expired { .. } | Self::NotYetValid { .. } => Part::Certificate,
            Self::NoKey | Self::KeyMismatch => Part::Key,
            Self::Damaged { part, .. } | Self::Unsupported { part, .. } => *part,
        }
    }

    /// The CamelCase word, for conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "CertificateExpired",
            _ => "CertificateInvalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Valid from 2020 to the end of 2029.
    fn mk_pair() -> (String, String) {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn read(chain: &str, key: &str, now: &str) -> Result<Timestamp, CertificateError> {
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), now.parse().unwrap());
        certificate.map(|certificate| certificate.not_after())
    }

    const NOW: &str = "2025-06-01T00:00:00Z";

    #[test]
    fn a_pair_is_read_with_its_end() {
        let (chain, key) = mk_pair();
        assert_eq!(read(&chain, &key, NOW), Ok("2030-01-01T00:00:00Z".parse().unwrap()));
        let text_around = format!("subject=CN = a.example\n{chain}");
        assert!(read(&text_around, &key, NOW).is_ok(), "openssl writes words around it");
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
            let error = read(chain, key, NOW).unwrap_err();
            assert!(error.part() == part && error.to_string().contains(says), "{error:?}: {says}");
            assert_eq!(error.reason(), "CertificateInvalid");
        }
    }

    #[test]
    fn only_its_time_makes_it_valid() {
        let (chain, key) = mk_pair();
        let expired = read(&chain, &key, "2030-01-02T00:00:00Z").unwrap_err();
        assert_eq!(expired, CertificateError::Expired { not_after: "2030-01-01T00:00:00Z".parse().unwrap() });
        assert_eq!(expired.reason(), "CertificateExpired");
        let early = read(&chain, &key, "2019-01-01T00:00:00Z").unwrap_err();
        assert_eq!(early, CertificateError::NotYetValid { not_before: "2020-01-01T00:00:00Z".parse().unwrap() });
    }

    #[test]
    fn keys_are_not_printed() {
        let (chain, key) = mk_pair();
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), NOW.parse().unwrap()).unwrap();
        assert_eq!(format!("{certificate:?}"), "Certificate { not_after: 2030-01-01T00:00:00Z, .. }");
    }
}
