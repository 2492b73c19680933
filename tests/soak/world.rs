//! What is declared: the manifests and the certificate in a folder that Ringhold follows, and every way to change them.

use std::fmt::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};

pub(crate) const WEB: &str = "web.example";
pub(crate) const SECURE: &str = "secure.example";
/// On the port of `web`; comes and goes in peace.
pub(crate) const GUEST: &str = "guest.example";
/// On a port of its own; comes and goes while it has requests, and has little room.
pub(crate) const STRAY: &str = "stray.example";

/// Where clients ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) web: u16,
    pub(crate) secure: u16,
    pub(crate) stray: u16,
    pub(crate) admin: u16,
}

/// A LoadBalancer's declaration.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) hostnames: Vec<&'static str>,
    pub(crate) tls: bool,
    pub(crate) replicas: u32,
    /// Changing it changes the template.
    pub(crate) version: u32,
    /// Whether its replicas end at their start.
    pub(crate) fails: bool,
    /// More lines of the spec.
    pub(crate) more: Vec<String>,
}

/// The folder.
pub(crate) struct World {
    folder: PathBuf,
    /// Where replicas note requests.
    notes: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

// === impl Ports ===

impl Ports {
    /// Free ones, below the ranges of replicas and of outgoing connections.
    pub(crate) fn free() -> Self {
        let mut next = 10_000 + u16::try_from(std::process::id() % 9_000).unwrap_or(0);
        let mut free = || loop {
            next += 1;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok() {
                return next;
            }
        };
        Self { web: free(), secure: free(), stray: free(), admin: free() }
    }
}

// === impl Declared ===

impl Declared {
    fn new(name: &'static str, port: u16, host: &'static str, replicas: u32) -> Self {
        let (hostnames, more) = (vec![host], Vec::new());
        Self { name, port, hostnames, tls: false, replicas, version: 1, fails: false, more }
    }

    /// The fleet that must not fail.
    pub(crate) fn web(ports: Ports) -> Self {
        Self::new("web", ports.web, WEB, 4)
    }

    /// It waits for nobody for long, and takes no long bodies.
    pub(crate) fn secure(ports: Ports) -> Self {
        let more = ["timeouts: {idleSeconds: 2}", "limits: {maxBodyBytes: 100000}"].map(str::to_owned).into();
        Self { tls: true, more, ..Self::new("secure", ports.secure, SECURE, 2) }
    }

    pub(crate) fn guest(ports: Ports) -> Self {
        Self::new("guest", ports.web, GUEST, 1)
    }

    pub(crate) fn stray(ports: Ports) -> Self {
        let more = vec!["limits: {maxConcurrentPerReplica: 1}".to_owned()];
        Self { more, ..Self::new("stray", ports.stray, STRAY, 1) }
    }

    fn yaml(&self, notes: &Path) -> String {
        let Self { name, port, hostnames, tls, replicas, version, fails, more } = self;
        let tls = if *tls { ", tls: {certificateFile: tls.crt, keyFile: tls.key}" } else { "" };
        let (hostnames, notes) = (hostnames.join("', '"), notes.display());
        let fails = if *fails { ", {name: FAIL, value: \"1\"}" } else { "" };
        let mut yaml = format!(
            "apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  listener: {{port: {port}, hostnames: ['{hostnames}']{tls}}}
  hashKey: [{{header: {{name: X-User-Id}}}}, {{sourceIp: {{}}}}]
  health: {{periodSeconds: 1}}
  template:
    spec:
      containers:
        - name: server
          command: [ringhold-server]
          env: [{{name: VERSION, value: \"{version}\"}}, {{name: REQUEST_LOG, value: \"{notes}\"}}{fails}]
"
        );
        for line in more {
            // Writing to a string does not fail.
            let _ = writeln!(yaml, "  {line}");
        }
        yaml
    }
}

// === impl World ===

impl World {
    pub(crate) fn new(folder: PathBuf, notes: PathBuf) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let world = Self { folder, notes, authority };
        world.renew()?;
        Ok(world)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// False if it has been declared just so already.
    pub(crate) fn declare(&self, declared: &Declared) -> anyhow::Result<bool> {
        let (name, yaml) = (format!("{}.yaml", declared.name), declared.yaml(&self.notes));
        if std::fs::read_to_string(self.folder.join(&name)).is_ok_and(|present| present == yaml) {
            return Ok(false);
        }
        self.put(&name, &yaml)?;
        Ok(true)
    }

    pub(crate) fn remove(&self, declared: &Declared) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.folder.join(format!("{}.yaml", declared.name)))?)
    }

    /// A new certificate, and its key a moment later.
    pub(crate) fn renew(&self) -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([SECURE.to_owned()])?.signed_by(&key, &self.authority)?;
        self.put("tls.crt", &certificate.pem())?;
        self.put("tls.key", &key.serialize_pem())
    }

    /// For clients that trust the certificate.
    pub(crate) fn client(&self, protocols: &[&str]) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Replaces a file in one step.
    fn put(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let next = self.folder.join(name).with_extension("next");
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(next, self.folder.join(name))?)
    }
}
