//! What a listener needs to speak TLS for one LoadBalancer.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use crate::model::TlsVersion;
use crate::tls::{Certificate, TlsError, provider};

/// What is spoken after the handshake, the best first (ALPN).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// From [`TlsVersion::Tls13`] on.
static SINCE_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
static SINCE_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// One LoadBalancer's side of every handshake. Cheap to clone, and equal to its clones alone: who has made it anew wants
/// it to be used.
#[derive(Clone)]
pub struct ServerTls(Arc<Terms>);

struct Terms {
    config: Arc<ServerConfig>,
    certificate: Arc<Certificate>,
    min_version: TlsVersion,
}

// === impl ServerTls ===

impl ServerTls {
    /// Speaks for whoever this certificate names.
    ///
    /// Sessions are resumed by tickets, whose keys change every six hours and are this object's alone: a client that
    /// resumes has verified this very certificate, and no other LoadBalancer can read its ticket. There is no early
    /// data (0-RTT): it can be replayed, and behind us may be anything.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(certificate: Arc<Certificate>, min_version: TlsVersion) -> Result<Self, TlsError> {
        let versions: &[_] = match min_version {
            TlsVersion::Tls12 => &SINCE_12,
            TlsVersion::Tls13 => &SINCE_13,
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.key))));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        config.ticketer = Ticketer::new()?;
        // With tickets nothing has to be kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Self(Arc::new(Terms { config: Arc::new(config), certificate, min_version })))
    }

    /// For the handshake.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config)
    }

    /// What is shown.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.0.certificate
    }

    /// Whether a client that shook hands with `other` has seen what it would see here: the same certificate, on the same
    /// terms.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.min_version == other.min_version && one.certificate.is_same(&other.certificate)
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms { config: _, certificate, min_version } = &*self.0;
        let mut debug = f.debug_struct("ServerTls");
        debug.field("certificate", certificate).field("min_version", min_version).finish_non_exhaustive()
    }
}
