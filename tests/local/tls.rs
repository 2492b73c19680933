//! TLS with certificates from files: taken at the start, taken anew when the files change, and kept when they break.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Manifest, PATIENCE, Ringhold, free_port, refused};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A Ringhold with a certificate beside its manifest.
struct Secured {
    ringhold: Ringhold,
    folder: PathBuf,
    authority: Authority,
    config: Arc<ClientConfig>,
}

fn mk_manifest(port: u16) -> String {
    let listener = format!("listener: {{port: {port}}}");
    let tls = "tls: {certificateFile: tls.crt, keyFile: secret/tls.key}";
    let secured = format!("listener: {{port: {port}, hostnames: [web.example], {tls}}}");
    Manifest { replicas: 1, ..Manifest::new(port) }.yaml().replace(&listener, &secured)
}

fn mk_authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own, or curl takes what it issues for signed by itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A chain and its key, for `web.example` until the end of a year.
fn issue(authority: &Authority, until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["web.example".to_owned()]).unwrap();
    params.not_after = date_time_ymd(until + 1, 1, 1);
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn put(folder: &Path, (chain, key): &(String, String)) {
    for (file, text) in [("tls.crt", chain), ("secret/tls.key", key)] {
        std::fs::write(folder.join("next"), text).unwrap();
        std::fs::rename(folder.join("next"), folder.join(file)).unwrap();
    }
}

fn condition(shown: &Value) -> (&str, &str) {
    let conditions = shown["conditions"].as_array().unwrap();
    let Some(stated) = conditions.iter().find(|condition| condition["type"] == "TlsReady") else { return ("", "") };
    (stated["status"].as_str().unwrap(), stated["reason"].as_str().unwrap())
}

// === impl Secured ===

impl Secured {
    async fn start(until: i32) -> Self {
        let authority = mk_authority();
        let temporary: TempDir = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        std::fs::create_dir(folder.join("secret")).unwrap();
        put(&folder, &issue(&authority, until));
        std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
        let port = free_port();
        std::fs::write(folder.join("web.yaml"), mk_manifest(port)).unwrap();
        let manifest = folder.join("web.yaml");
        let ringhold = Ringhold::start_on(temporary, manifest, port);
        ringhold.settled().await;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { ringhold, folder, authority, config: Arc::new(config) }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.ringhold.port)).await.unwrap();
        let name = ServerName::try_from("web.example").unwrap();
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await.unwrap()
    }

    async fn until(&self, status: &str, reason: &str) {
        self.ringhold.until(reason, |shown| condition(shown) == (status, reason)).await;
    }

    /// Waits until another certificate than this is shown; returns it.
    async fn until_other(&self, certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = shown(&self.connect().await);
            if shown != *certificate {
                return shown;
            }
            assert!(Instant::now() < deadline, "the new certificate is not taken:\n{}", self.ringhold.story());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// One request on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"HEAD /whoami HTTP/1.1\r\nHost: web.example\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn changed_files_are_taken_and_broken_ones_are_not() {
    let web = Secured::start(2090).await;
    web.until("True", "CertificateValid").await;
    let mut early = web.connect().await;
    let first = shown(&early);
    assert!(ask(&mut early).await.starts_with("HTTP/1.1 200 "));

    let pair = issue(&web.authority, 2091);
    put(&web.folder, &pair);
    let second = web.until_other(&first).await;
    assert!(ask(&mut early).await.starts_with("HTTP/1.1 200 "), "who is connected goes on");
    web.ringhold.says("the certificate is valid until 2092-01-01T00:00:00Z").await;

    std::fs::write(web.folder.join("secret/tls.key"), issue(&web.authority, 2091).1).unwrap();
    web.until("False", "CertificateInvalid").await;
    let said = web.ringhold.says("secret/tls.key: is not the key of the certificate").await;
    assert!(said.contains("spec.listener.tls.keyFile: ") && said.ends_with("goes on serving"), "{said}");
    std::fs::remove_file(web.folder.join("tls.crt")).unwrap();
    web.until("False", "CertificateMissing").await;
    put(&web.folder, &issue(&web.authority, 2020));
    web.until("False", "CertificateExpired").await;
    assert_eq!(shown(&web.connect().await), second, "the last good one serves");
    let ends =
        web.ringhold.says("the certificate has expired on 2021-01-01T00:00:00Z; renew it; what was there before").await;
    assert!(ends.ends_with("goes on serving"), "{ends}");

    put(&web.folder, &pair);
    web.until("True", "CertificateValid").await;
    assert!(!web.ringhold.story().contains("PRIVATE"), "{}", web.ringhold.story());
}

#[tokio::test]
async fn a_broken_certificate_keeps_no_edit_from_being_taken() {
    let web = Secured::start(2090).await;
    std::fs::remove_file(web.folder.join("secret/tls.key")).unwrap();
    web.until("False", "CertificateMissing").await;
    web.ringhold.write(&mk_manifest(web.ringhold.port).replace("replicas: 1", "replicas: 2"));
    web.ringhold.until("scaled", |shown| shown["readyReplicas"] == 2).await;
    assert!(ask(&mut web.connect().await).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn curl_agrees() {
    let web = Secured::start(2090).await;
    let port = web.ringhold.port;
    let curl = |options: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--write-out", "%{http_code}", "--output", "/dev/null"]);
        curl.args(["--resolve", &format!("web.example:{port}:127.0.0.1")]).args(options);
        curl.arg(format!("https://web.example:{port}/whoami")).output()
    };
    let ca = web.folder.join("ca.crt").display().to_string();
    let trusting = match curl(&["--cacert", &ca]) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // The other tests ask the same by other means.
            assert!(std::env::var_os("CI").is_none(), "curl is missing");
            return;
        }
        output => output.unwrap(),
    };
    assert_eq!(String::from_utf8_lossy(&trusting.stdout), "200", "{trusting:?}");
    assert_eq!(curl(&[]).unwrap().status.code(), Some(60), "nobody else vouches for the certificate");
}

#[test]
fn a_certificate_that_is_not_there_is_refused_before_anything_starts() {
    let said = refused(&mk_manifest(free_port()));
    assert!(said.starts_with("ringhold: web.yaml: web: spec.listener.tls.certificateFile: "), "{said}");
    assert!(said.contains("/tls.crt: can't be read: No such file or directory"), "{said}");
}

#[test]
fn a_certificate_of_a_cluster_is_none_without_one() {
    let yaml = mk_manifest(5000).replace("certificateFile: tls.crt, keyFile: secret/tls.key", "secretName: web-tls");
    let said = refused(&yaml);
    assert!(
        said.contains("spec.listener.tls.secretName: web-tls: there is no cluster that has it; name the files"),
        "{said}"
    );
}
