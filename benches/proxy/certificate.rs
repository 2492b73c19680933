//! A certificate of our own, for TLS.

use std::path::{Path, PathBuf};

/// Where certificate and private key are: in one file, and in two.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) both: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
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
        Ok(Self { both, certificate, private_key })
    }
}
