//! TLS with certificates from Secrets: taken when they appear and when they change, kept when they break or go.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringhold::api::{ListenerTlsSpec, LoadBalancer, ReplicaTlsSpec};
use ringhold_test_cluster::eventually;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Operator, World, condition, granted, secret_rights, shared, world};

const NAME: &str = "web-tls";

type Authority = CertifiedIssuer<'static, KeyPair>;
type Session = TlsStream<TcpStream>;

fn mk_authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A chain and its key, for `web.example`.
fn issue(authority: &Authority) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["web.example".to_owned()]).unwrap();
    [params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem()]
}

fn mk_secured(world: &World) -> LoadBalancer {
    let mut resource = world.unexposed(1);
    resource.spec.listener.tls =
        Some(ListenerTlsSpec { secret_name: Some(NAME.to_owned()), ..ListenerTlsSpec::default() });
    resource
}

async fn put(world: &World, [chain, key]: [&str; 2]) {
    let data = json!({"tls.crt": ByteString(chain.into()), "tls.key": ByteString(key.into())});
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME},
        "type": "kubernetes.io/tls",
        "data": data,
    });
    let params = PatchParams::apply("test").force();
    world.all::<Secret>().patch(NAME, &params, &Patch::Apply(secret)).await.unwrap();
}

async fn connect(operator: &Operator, authority: &Authority) -> std::io::Result<Session> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("web.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(operator.proxy).await?).await
}

fn shown(session: &Session) -> CertificateDer<'static> {
    session.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// The status line, on a connection that stays open.
async fn ask(session: &mut Session) -> String {
    session.write_all(b"HEAD /whoami HTTP/1.1\r\nHost: web.example\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(session.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_secret_is_taken_when_it_appears_and_changes_and_kept_when_it_breaks_or_goes() {
    let Some(world) = world().await else { return };
    world.grant_besides("tls", &secret_rights(NAME)).await;
    let (operator, authority) = (world.operator("a").await, mk_authority());
    world.apply(&mk_secured(&world)).await;
    let missing = world.until_stated("TlsReady", "False", "CertificateMissing").await;
    assert!(missing.starts_with("spec.listener.tls.secretName: web-tls: there is no such Secret"), "{missing}");
    world.until_ready(1).await;
    assert!(connect(&operator, &authority).await.is_err(), "there is nothing to show yet");

    let [chain, key] = &issue(&authority);
    put(&world, [chain, key]).await;
    world.until_stated("TlsReady", "True", "CertificateValid").await;
    let mut early = connect(&operator, &authority).await.unwrap();
    assert_eq!(ask(&mut early).await, "HTTP/1.1 200 OK");

    let [chain, key] = &issue(&authority);
    put(&world, [chain, key]).await;
    let second = eventually("the new certificate is shown", async || {
        let now = shown(&connect(&operator, &authority).await.unwrap());
        (now != shown(&early)).then_some(now)
    })
    .await;
    assert_eq!(ask(&mut early).await, "HTTP/1.1 200 OK", "who is connected goes on");

    put(&world, [chain, &issue(&authority)[1]]).await;
    let broken = world.until_stated("TlsReady", "False", "CertificateInvalid").await;
    assert!(broken.contains("its tls.key is not the key of the certificate"), "{broken}");
    assert_eq!(world.until_told("CertificateInvalid").await, broken);
    world.all::<Secret>().delete(NAME, &DeleteParams::default()).await.unwrap();
    let gone = world.until_stated("TlsReady", "False", "CertificateMissing").await;
    assert!(gone.ends_with("goes on serving"), "{gone}");
    let mut last = connect(&operator, &authority).await.unwrap();
    assert_eq!((shown(&last), &*ask(&mut last).await), (second, "HTTP/1.1 200 OK"));
    assert!(!operator.log().contains("PRIVATE"), "keys are not logged");
}

#[tokio::test]
async fn an_operator_that_begins_has_the_certificate_before_it_is_ready() {
    let Some(world) = world().await else { return };
    world.grant_besides("tls", &secret_rights(NAME)).await;
    let (first, authority) = (world.operator("a").await, mk_authority());
    let [chain, key] = &issue(&authority);
    put(&world, [chain, key]).await;
    world.apply(&mk_secured(&world)).await;
    world.until_settled(1).await;
    world.until_stated("TlsReady", "True", "CertificateValid").await;
    let before = world.status().await;
    assert_eq!(before.listener.clone().unwrap().tls.unwrap().secret_name.as_deref(), Some(NAME));
    // A time has whole seconds: only from the next one on a new time would be another.
    let then = jiff::Timestamp::now().as_second();
    eventually("a second is over", async || (jiff::Timestamp::now().as_second() > then).then_some(())).await;
    let second = world.operator("b").await;
    assert_eq!(ask(&mut connect(&second, &authority).await.unwrap()).await, "HTTP/1.1 200 OK");
    first.stop().await;
    eventually("the second leads", async || (world.leader().await.as_deref() == Some("b")).then_some(())).await;
    world.look_again(&second).await;
    assert_eq!(world.status().await, before, "a condition keeps its time over leaders");
}

#[tokio::test]
async fn unless_the_secret_may_be_read_the_way_out_is_told() {
    let Some(cluster) = shared().await else { return };
    let world = World::new(cluster, &granted()).await;
    let (operator, authority) = (world.operator("a").await, mk_authority());
    let [chain, key] = &issue(&authority);
    put(&world, [chain, key]).await;
    world.apply(&mk_secured(&world)).await;
    let forbidden = world.until_stated("TlsReady", "False", "CertificateForbidden").await;
    assert!(forbidden.contains("let it list and watch this Secret, in the Helm chart with tls.secrets"), "{forbidden}");
    world.until_ready(1).await;
    // The right to this one, and to no other.
    world.grant_besides("tls", &secret_rights(NAME)).await;
    world.until_stated("TlsReady", "True", "CertificateValid").await;
    assert_eq!(ask(&mut connect(&operator, &authority).await.unwrap()).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn files_are_not_for_a_cluster() {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    let mut resource = mk_secured(&world);
    let [certificate, key] = ["tls.crt", "tls.key"].map(|file| Some(file.to_owned()));
    resource.spec.listener.tls =
        Some(ListenerTlsSpec { certificate_file: certificate, key_file: key, ..ListenerTlsSpec::default() });
    world.apply(&resource).await;
    let message = world.until_stated("Accepted", "False", "Unsupported").await;
    assert!(message.contains("spec.listener.tls.certificateFile: tls.crt: "), "{message}");
    assert_eq!(condition(&world.status().await, "TlsReady"), "");
}

#[tokio::test]
async fn replicas_that_do_not_prove_who_they_are_get_nothing() {
    let Some(world) = world().await else { return };
    world.grant_besides("tls", &secret_rights("web-ca")).await;
    let operator = world.operator("a").await;
    let mut resource = world.unexposed(1);
    let (hostname, ca_secret_name) = ("web.internal".to_owned(), "web-ca".to_owned());
    resource.spec.replica_tls = Some(ReplicaTlsSpec { hostname, ca_secret_name });
    // They speak in the clear, as the probe does.
    let probe = json!({"httpGet": {"path": "/heartbeat", "port": 8080}, "periodSeconds": 1});
    resource.spec.template.0["spec"]["containers"][0]["readinessProbe"] = probe;
    world.apply(&resource).await;
    world.until_stated("ReplicaTlsReady", "False", "CertificateMissing").await;
    world.until_ready(1).await;
    let refused = operator.try_ask("ann").await.unwrap_err();
    assert!(refused.contains("502 Bad Gateway") && refused.contains("ReplicaTlsFailed"), "{refused}");

    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web-ca"},
        "data": {"ca.crt": ByteString(mk_authority().pem().into())},
    });
    let params = PatchParams::apply("test").force();
    world.all::<Secret>().patch("web-ca", &params, &Patch::Apply(secret)).await.unwrap();
    world.until_stated("ReplicaTlsReady", "True", "AuthoritiesKnown").await;
    let refused = operator.try_ask("ann").await.unwrap_err();
    assert!(refused.contains("502 Bad Gateway") && refused.contains("ReplicaTlsFailed"), "{refused}");
    world.patch(&json!({"spec": {"replicaTls": null}})).await;
    eventually("requests go in the clear", async || operator.try_ask("ann").await.ok()).await;
    assert_eq!(condition(&world.status().await, "ReplicaTlsReady"), "");
}
