//! A certificate and its key in two files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::controller::accept::Refusal;
use crate::controller::kept::Found;
use crate::model::{CertificateFiles, Listener};
use crate::tls::{Certificate, Part};

const CERTIFICATE: &str = "spec.listener.tls.certificateFile";
const KEY: &str = "spec.listener.tls.keyFile";

/// Where a LoadBalancer's certificate is, and what was there when it was last read.
#[derive(Debug)]
pub(super) struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    pub(super) found: Found<Certificate>,
}

// === impl Pair ===

impl Pair {
    /// Reads the pair that a listener wants; its paths are relative to the manifest. `None`: it wants none.
    ///
    /// # Errors
    /// It can only come out of a cluster.
    pub(super) fn of(listener: &Listener, manifest: &Path) -> Result<Option<Self>, Refusal> {
        let Some(tls) = &listener.tls else { return Ok(None) };
        let Some(CertificateFiles { certificate, key }) = &tls.files else {
            let name = tls.secret.as_deref().unwrap_or_default();
            let message = format!(
                "spec.listener.tls.secretName: {name}: there is no cluster that has it; name the files of the certificate in \
                 spec.listener.tls.certificateFile and keyFile"
            );
            return Err(Refusal::new("Unsupported", &message));
        };
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let (certificate, key) = (folder.join(certificate), folder.join(key));
        let found = read(&certificate, &key);
        Ok(Some(Self { certificate, key, found }))
    }

    pub(super) fn files(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    pub(super) fn read_again(&mut self) {
        self.found = read(&self.certificate, &self.key);
    }
}

fn read(certificate: &Path, key: &Path) -> Found<Certificate> {
    let place = format!("{CERTIFICATE}: {}", certificate.display());
    Found { place, content: parse(certificate, key) }
}

fn parse(certificate: &Path, key: &Path) -> Result<Arc<Certificate>, Refusal> {
    let bytes = |field: &str, file: &Path| {
        std::fs::read(file).map_err(|error| {
            let message = format!("{field}: {}: can't be read: {error}; put the file there", file.display());
            Refusal::new("CertificateMissing", &message)
        })
    };
    let (chain, private) = (bytes(CERTIFICATE, certificate)?, bytes(KEY, key)?);
    Certificate::from_pem(&chain, &private).map(Arc::new).map_err(|error| {
        let (field, file) = match error.part() {
            Part::Certificate => (CERTIFICATE, certificate),
            Part::Key => (KEY, key),
        };
        Refusal::new("CertificateInvalid", &format!("{field}: {}: {error}", file.display()))
    })
}
