//! An authority of the tests' own, and clients that trust it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ringhold::tls::Certificate;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Issues certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

// === impl Authority ===

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names, another one each time.
    pub(super) fn issue(&self, names: &[&str]) -> Arc<Certificate> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let (certificate, key) = self.sign(names);
        Arc::new(Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap())
    }

    /// The same for a server of the tests' own.
    pub(super) fn pair(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.sign(vec![name.to_owned()]);
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// Its own certificate.
    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, names: Vec<String>) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap(), key)
    }

    /// A client that trusts this authority alone.
    pub(super) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_of(rustls::DEFAULT_VERSIONS))
    }

    pub(super) fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}
