//! TLS with clients and replicas: whose certificate clients see, what they are refused for, and that neither a new certificate nor a slow
//! handshake disturbs who is connected.

mod authority;
mod choice;
mod collector;
mod handshakes;
mod replicas;
mod sessions;

use std::sync::Arc;

use ringhold::model::{FleetId, FleetStatus, ListenerTls, Observed, Ordinal, ReplicaUid, TlsVersion};
use ringhold::proxy::ProxyConfig;
use ringhold::routes::Placement;
use ringhold::tls::{Certificate, ServerTls};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Client, Fixture, Replica, eventually, mk_replica};
use authority::Authority;

/// As a spec would have it; the certificate comes with what is published.
fn mk_tls(min_version: TlsVersion) -> ListenerTls {
    ListenerTls { secret: Some("web-tls".to_owned()), files: None, min_version }
}

fn server_tls(certificate: &Arc<Certificate>) -> ServerTls {
    ServerTls::new(Arc::clone(certificate), TlsVersion::Tls12).unwrap()
}

/// A LoadBalancer for any host that speaks TLS with this certificate, before one replica.
async fn secured(replica: &Replica, tls: ServerTls) -> Fixture {
    configured(replica, Some(tls), |_| {}).await
}

async fn configured(replica: &Replica, tls: Option<ServerTls>, configure: impl FnOnce(&mut ProxyConfig)) -> Fixture {
    let change = |policy: &mut ringhold::model::RoutePolicy| policy.listener.tls = Some(mk_tls(TlsVersion::Tls12));
    let mut fixture = Fixture::configured(&[replica.address], change, configure).await;
    fixture.tls = tls;
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    fixture
}

/// One more LoadBalancer on the fixture's port.
fn add(fixture: &Fixture, name: &str, hostnames: &[&str], tls: Option<ServerTls>, replica: &Replica) {
    let mut desired = fixture.desired.clone();
    desired.id = FleetId::local(name);
    let listener = &mut Arc::make_mut(&mut desired.route).listener;
    listener.hostnames = hostnames.iter().map(|&name| name.to_owned()).collect();
    let mut replica = mk_replica(0, 0, replica.address);
    replica.uid = ReplicaUid(format!("uid-{name}").into());
    let observed = Observed { replicas: vec![replica], ..Observed::default() };
    let placement = Placement::new(&desired, &observed, &[Ordinal(0)], jiff::Timestamp::now()).with_tls(tls);
    fixture.publisher.publish(&desired.id, FleetStatus::default(), Some(&placement)).unwrap();
}

/// A client that trusts the authority and asks for this name; an address asks for none.
async fn connect(port: u16, name: &str, config: &Arc<ClientConfig>) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Ok(Client::over(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
}

/// Asks once, on a connection of its own, with the host that the connection is for.
async fn ask(port: u16, name: &str, config: &Arc<ClientConfig>) -> String {
    let mut client = connect(port, name, config).await.unwrap();
    client.get("/", &[&format!("Host: {name}")]).await.body
}

/// What the handshake brought.
impl Client<TlsStream<TcpStream>> {
    fn certificate(&self) -> CertificateDer<'static> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    fn kind(&self) -> HandshakeKind {
        self.stream.get_ref().1.handshake_kind().unwrap()
    }

    fn version(&self) -> ProtocolVersion {
        self.stream.get_ref().1.protocol_version().unwrap()
    }

    fn protocol(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }
}

/// Waits until so many handshakes have ended so: clients know of it a little sooner than the counters.
async fn until_counted(fixture: &Fixture, result: &str, count: u64) {
    eventually(&format!("{count} handshakes are {result}"), || handshakes(fixture, result) == count).await;
}

/// How many handshakes ended so.
fn handshakes(fixture: &Fixture, result: &str) -> u64 {
    let series = format!("ringhold_tls_handshakes_total{{result=\"{result}\"}} ");
    let text = fixture.metrics();
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}
