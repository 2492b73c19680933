//! A Ringhold that clients ask: three replicas, in the clear or by TLS.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::client::Client;
use crate::harness::{Manifest, Ringhold, free_port};

pub(crate) struct Served {
    pub(crate) ringhold: Ringhold,
    pub(crate) scheme: &'static str,
    /// The certificate to trust.
    pub(crate) authority: PathBuf,
}

// === impl Served ===

impl Served {
    pub(crate) async fn clear() -> Self {
        Self::with("", &[]).await
    }

    /// In the clear, with more in its spec and on its command line.
    pub(crate) async fn with(spec: &str, args: &[&str]) -> Self {
        let manifest = Manifest { spec: spec.to_owned(), ..Manifest::new(free_port()) };
        Self::start(&manifest, "http", args).await
    }

    pub(crate) async fn secured() -> Self {
        Self::start(&Manifest::new(free_port()), "https", &[]).await
    }

    /// In the clear, and the same by TLS.
    pub(crate) async fn both() -> [Self; 2] {
        tokio::join!(Self::clear(), Self::secured()).into()
    }

    pub(crate) async fn start(manifest: &Manifest, scheme: &'static str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.crt");
        let port = manifest.port;
        let mut yaml = manifest.yaml();
        if scheme == "https" {
            for (file, text) in ["ca.crt", "tls.crt", "tls.key"].iter().zip(certificates()) {
                std::fs::write(folder.path().join(file), text).unwrap();
            }
            let listener = format!("listener: {{port: {port}");
            yaml = yaml.replace(&listener, &format!("{listener}, tls: {{certificateFile: tls.crt, keyFile: tls.key}}"));
        }
        let file = folder.path().join("web.yaml");
        std::fs::write(&file, yaml).unwrap();
        let ringhold = Ringhold::spawn(folder, file, port, args);
        ringhold.settled().await;
        Self { ringhold, scheme, authority }
    }

    pub(crate) fn is_secured(&self) -> bool {
        self.scheme == "https"
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.ringhold.port)
    }

    /// A number of Ringhold's own, over all its labels.
    pub(crate) async fn counted(&self, metric: &str) -> f64 {
        let (status, body) = Client::new(self.ringhold.admin).get("/metrics", &[]).await.unwrap();
        assert_eq!(status, 200);
        let text = String::from_utf8(body.to_vec()).unwrap();
        let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }
}

/// An authority's certificate, and a chain and key of it for this machine.
fn certificates() -> [String; 3] {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own, or OpenSSL takes what it issues for signed by itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    [authority.pem(), params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem()]
}
