//! A running proxy with one LoadBalancer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use ringhold::model::{Desired, FleetStatus, Observed, Ordinal, Replica, RoutePolicy};
use ringhold::proxy::{self, ProxyConfig, ProxyHandle};
use ringhold::ring::{KeyHash, KeyHasher};
use ringhold::routes::{Listeners, Placement, Publisher, Route, bridge};
use ringhold::tls::{ClientTls, ServerTls};

use crate::support::{mk_desired, mk_replica};

/// A proxy, and the controller's ends of the bridge.
pub(crate) struct Fixture {
    pub(crate) port: u16,
    pub(crate) desired: Desired,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) replica_tls: Option<ClientTls>,
    pub(crate) publisher: Publisher,
    pub(crate) listeners: Listeners,
    pub(crate) handle: ProxyHandle,
}

/// Below the ports that the kernel gives out by itself, each given to one test.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let _ = NEXT.compare_exchange(0, fastrand::u16(10_000..25_000), Ordering::SeqCst, Ordering::SeqCst);
    loop {
        let port = NEXT.fetch_add(1, Ordering::SeqCst);
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

// === impl Fixture ===

impl Fixture {
    /// A LoadBalancer whose ordinals 0, 1 … are served at these addresses.
    pub(crate) async fn start(addresses: &[SocketAddr]) -> Self {
        Self::with(addresses, |_| {}).await
    }

    /// The same with another policy.
    pub(crate) async fn with(addresses: &[SocketAddr], change: impl FnOnce(&mut RoutePolicy)) -> Self {
        Self::configured(addresses, change, |_| {}).await
    }

    /// The same with another configuration of the process.
    pub(crate) async fn configured(
        addresses: &[SocketAddr],
        change: impl FnOnce(&mut RoutePolicy),
        configure: impl FnOnce(&mut ProxyConfig),
    ) -> Self {
        let bridge = bridge();
        let mut config = ProxyConfig::new(KeyHasher::new(&[7; 16]));
        config.addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        config.workers = NonZeroUsize::MIN;
        configure(&mut config);
        let handle = proxy::start(config, bridge.reader, bridge.listen_requests).unwrap();
        let port = free_port();
        bridge.listeners.listen(port).await.unwrap();
        let mut desired = mk_desired(port);
        change(Arc::make_mut(&mut desired.route));
        let fixture = Self {
            port,
            desired,
            tls: None,
            replica_tls: None,
            publisher: bridge.publisher,
            listeners: bridge.listeners,
            handle,
        };
        let replicas: Vec<Replica> =
            (0..).zip(addresses).map(|(ordinal, address)| mk_replica(ordinal, 0, *address)).collect();
        fixture.publish(&replicas);
        fixture
    }

    /// Publishes these replicas, with a member for each ordinal among them.
    pub(crate) fn publish(&self, replicas: &[Replica]) {
        let members: Vec<Ordinal> = replicas.iter().map(|replica| replica.ordinal).collect();
        let observed = Observed { replicas: replicas.to_vec(), ..Observed::default() };
        let placement = Placement::new(&self.desired, &observed, &members, Timestamp::now());
        let placement = placement.with_tls(self.tls.clone()).with_replica_tls(self.replica_tls.clone());
        self.publisher.publish(&self.desired.id, FleetStatus::default(), Some(&placement)).unwrap();
    }

    pub(crate) fn route(&self) -> Arc<Route> {
        Arc::clone(self.publisher.table().fleet(&self.desired.id).unwrap().route.as_ref().unwrap())
    }

    /// A value of `X-User-Id` whose first candidate is this ordinal.
    pub(crate) fn key_for(&self, ordinal: u16) -> String {
        let route = self.route();
        let hasher = KeyHasher::new(&[7; 16]);
        (0..10_000)
            .map(|number| format!("user-{number}"))
            .find(|key| route.ring.candidates(hasher.hash(KeyHash::SipHash, key.as_bytes())).next() == Some(ordinal))
            .unwrap()
    }

    /// The field that makes a request go to this ordinal.
    pub(crate) fn to(&self, ordinal: u16) -> String {
        format!("X-User-Id: {}", self.key_for(ordinal))
    }

    /// Requests that all replicas together have now.
    pub(crate) fn in_flight(&self) -> usize {
        self.route().seats().iter().filter_map(|seat| seat.upstream.as_ref()).map(|upstream| upstream.in_flight()).sum()
    }

    pub(crate) fn is_ejected(&self, ordinal: usize) -> bool {
        self.route().seats()[ordinal].upstream.as_ref().unwrap().is_ejected()
    }

    /// The scrape.
    pub(crate) fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(self.handle.metrics()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}
