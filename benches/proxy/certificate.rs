//! A certificate of our own, for TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

/// Where certificate and private key are: in one file, and in two.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) both: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    /// For clients: they trust it and nothing else.
    pub(crate) trust: Arc<ClientConfig>,
}

// === impl Certificate ===

impl Certificate {
    /// For `localhost`, with a key on P-256.
    pub(crate) fn write(folder: &Path) -> anyhow::Result<Self> {
        let file = |name: &str| folder.join(name);
        let (both, certificate, private_key) = (file("both.pem"), file("certificate.pem"), file("key.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(&both, format!("{chain}{key}"))?;
        std::fs::write(&certificate, chain)?;
        std::fs::write(&private_key, key)?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let trust = client.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { both, certificate, private_key, trust: Arc::new(trust) })
    }
}
