//! Opening and closing ports.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ringhold::routes::ListenError;

use crate::support::{Client, Fixture, Replica, eventually, free_port, get, mk_replica};

#[tokio::test]
async fn a_port_that_somebody_has_is_refused() {
    let fixture = Fixture::start(&[]).await;
    let port = free_port();
    let _taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(fixture.listeners.listen(port).await, Err(ListenError::InUse { port }));
}

#[tokio::test]
async fn another_proxy_cannot_share_a_port_unseen() {
    let (one, other) = (Fixture::start(&[]).await, Fixture::start(&[]).await);
    assert_eq!(other.listeners.listen(one.port).await, Err(ListenError::InUse { port: one.port }));
}

#[tokio::test]
async fn a_port_of_our_own_is_fine() {
    let fixture = Fixture::start(&[]).await;
    assert_eq!(fixture.listeners.listen(fixture.port).await, Ok(()));
}

#[tokio::test]
async fn a_withdrawn_port_closes_and_can_be_opened_again() {
    let a = Replica::named("a").await;
    let two = NonZeroUsize::new(2).unwrap();
    let mut fixture = Fixture::configured(&[a.address], |_| {}, |config| config.workers = two).await;
    let (old, new) = (fixture.port, free_port());
    let mut client = Client::connect(old).await;
    assert_eq!(client.get("/", &[]).await.status, 200);

    fixture.listeners.listen(new).await.unwrap();
    Arc::make_mut(&mut fixture.desired.route).listener.port = new;
    fixture.publish(&[mk_replica(0, 0, a.address)]);
    eventually("the old port is closed", || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, old)).is_err()).await;
    assert_eq!(get(new, "/", &[]).await.body, "a");

    let last = client.get("/", &[]).await;
    assert_eq!((last.status, last.field("connection")), (404, Some("close")));
    assert!(client.is_closed_now().await);

    fixture.listeners.listen(old).await.unwrap();
    Arc::make_mut(&mut fixture.desired.route).listener.port = old;
    fixture.publish(&[mk_replica(0, 0, a.address)]);
    assert_eq!(get(old, "/", &[]).await.body, "a");
}

fn is_open(port: u16) -> bool {
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[tokio::test]
async fn a_port_that_no_table_comes_to_name_closes_after_its_grace() {
    let a = Replica::named("a").await;
    let grace = Duration::from_millis(300);
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.port_grace = grace).await;
    let port = free_port();
    fixture.listeners.listen(port).await.unwrap();
    assert!(is_open(port));
    eventually("it is closed", || !is_open(port)).await;
    assert!(is_open(fixture.port), "a port in use stays open for ever");
}

#[tokio::test]
async fn a_port_can_be_handed_on_in_two_steps() {
    let a = Replica::named("a").await;
    let mut fixture = Fixture::start(&[a.address]).await;
    let replica = [mk_replica(0, 0, a.address)];
    let (port, other) = (fixture.port, free_port());
    fixture.listeners.listen(other).await.unwrap();
    // Somebody else wants the port, and meanwhile whoever has it is published once more.
    fixture.listeners.listen(port).await.unwrap();
    fixture.publish(&replica);
    for next in [other, port] {
        Arc::make_mut(&mut fixture.desired.route).listener.port = next;
        fixture.publish(&replica);
        assert_eq!(get(next, "/", &[]).await.body, "a");
        assert!(is_open(port));
    }
}
