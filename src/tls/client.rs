//! What the proxy needs to speak TLS with replicas, and to know that they are those that were meant.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::model::TargetProtocol;
use crate::tls::{TlsError, damage, provider};

/// Who vouches for replicas.
pub struct Authorities {
    roots: RootCertStore,
    read: Vec<CertificateDer<'static>>,
}

/// Why authorities can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// There is none in the text.
    #[error("holds no certificate; put those of the authorities there in PEM form")]
    None,
    /// A PEM section is damaged, or holds no certificate that could vouch for others.
    #[error("is damaged ({0}); write it anew")]
    Damaged(String),
}

/// One LoadBalancer's side of every handshake with its replicas. Cheap to clone, and equal to its clones alone.
#[derive(Clone)]
pub struct ClientTls(Arc<Terms>);

struct Terms {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    name: ServerName<'static>,
}

// === impl Authorities ===

impl Authorities {
    /// Reads certificates in PEM form.
    ///
    /// # Errors
    /// There is none, or one can't be used.
    pub fn from_pem(text: &[u8]) -> Result<Self, AuthoritiesError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let read = read.map_err(|error| AuthoritiesError::Damaged(damage(&error).to_owned()))?;
        if read.is_empty() {
            return Err(AuthoritiesError::None);
        }
        let mut roots = RootCertStore::empty();
        for certificate in &read {
            roots.add(certificate.clone()).map_err(|error| AuthoritiesError::Damaged(error.to_string()))?;
        }
        Ok(Self { roots, read })
    }

    /// For handshakes with whoever they vouch for.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        Ok(ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth())
    }

    /// Whether both are the same, wherever they were read.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.read == other.read
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("count", &self.read.len()).finish_non_exhaustive()
    }
}

// === impl ClientTls ===

impl ClientTls {
    /// Trusts who shows a certificate for this host name that one of the authorities vouches for.
    ///
    /// # Errors
    /// The name is none.
    pub fn new(authorities: &Authorities, hostname: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(hostname.to_owned()).map_err(|error| TlsError::General(error.to_string()))?;
        let mut config = authorities.config()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(Terms { http1: Arc::new(config), http2: Arc::new(http2), name })))
    }

    /// For the handshake, which offers this protocol alone.
    #[must_use]
    pub fn config(&self, protocol: TargetProtocol) -> Arc<ClientConfig> {
        Arc::clone(match protocol {
            TargetProtocol::Http1 => &self.0.http1,
            TargetProtocol::Http2 => &self.0.http2,
        })
    }

    /// Whose certificate is asked for and expected.
    #[must_use]
    pub fn name(&self) -> ServerName<'static> {
        self.0.name.clone()
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("name", &self.0.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_repeated() {
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA";
        for text in [cut.to_owned(), cut.replace('\n', " "), cut.replace("AAAA", "****\n-----END CERTIFICATE-----")] {
            let error = Authorities::from_pem(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("is damaged (a ") && !error.contains("[67") && !error.contains("[45"), "{error}");
        }
    }
}
