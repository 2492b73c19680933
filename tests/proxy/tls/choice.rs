//! Which LoadBalancer's certificate a client sees, and which LoadBalancers may answer it then.

use ringhold::model::TlsVersion;
use ringhold::tls::ServerTls;

use super::*;

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_certificate_and_load_balancer() {
    let authority = Authority::new();
    let [any, exact, wild] = [Replica::named("any").await, Replica::named("exact").await, Replica::named("wild").await];
    let certificates = [
        authority.issue(&["127.0.0.1", "other.test", "a.b.test"]),
        authority.issue(&["a.web.example"]),
        authority.issue(&["*.web.example", "b.a.web.example"]),
    ];
    let [for_any, for_exact, for_wild] = certificates.each_ref().map(server_tls);
    let fixture = secured(&any, for_any).await;
    add(&fixture, "exact", &["a.web.example"], Some(for_exact), &exact);
    add(&fixture, "wild", &["*.web.example"], Some(for_wild), &wild);
    let config = authority.client();
    for (name, body) in [
        ("a.web.example", "exact"),
        ("A.Web.Example", "exact"),
        ("b.web.example", "wild"),
        ("b.a.web.example", "wild"),
        ("other.test", "any"),
        ("127.0.0.1", "any"),
    ] {
        assert_eq!(ask(fixture.port, name, &config).await, body, "{name}");
    }
    assert_eq!(handshakes(&fixture, "full") + handshakes(&fixture, "resumed"), 6);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_refused_in_the_handshake() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let mut fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    Arc::make_mut(&mut fixture.desired.route).listener.hostnames = vec!["a.example".to_owned()];
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    let config = authority.client();
    assert_eq!(ask(fixture.port, "a.example", &config).await, "a");
    for name in ["b.example", "127.0.0.1"] {
        let error = connect(fixture.port, name, &config).await.err().unwrap();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    until_counted(&fixture, "unknown_name", 2).await;
}

#[tokio::test]
async fn a_host_of_another_certificate_is_misdirected_and_one_of_the_same_is_not() {
    let authority = Authority::new();
    let [any, a, b, c] =
        [Replica::named("any").await, Replica::named("a").await, Replica::named("b").await, Replica::named("c").await];
    let fixture = secured(&any, server_tls(&authority.issue(&["any.test"]))).await;
    let shared = authority.issue(&["a.example", "b.example", "c.example"]);
    // Read twice, as from two Secrets.
    add(&fixture, "a", &["a.example"], Some(server_tls(&shared)), &a);
    add(&fixture, "b", &["b.example"], Some(server_tls(&shared)), &b);
    let strict = ServerTls::new(shared, TlsVersion::Tls13).unwrap();
    add(&fixture, "c", &["c.example"], Some(strict), &c);

    let mut client = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    assert_eq!(client.get("/", &["Host: a.example"]).await.body, "a");
    assert_eq!(client.get("/", &["Host: b.example"]).await.body, "b", "the client has seen its certificate");
    let refused = client.get("/", &["Host: any.test"]).await;
    assert_eq!((refused.status, refused.field("x-ringhold-reason")), (421, Some("misdirectedrequest")));
    assert!(client.is_closed_now().await);

    let mut client = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    assert_eq!(client.get("/", &["Host: c.example"]).await.status, 421, "it might have less than TLS 1.3");
    assert_eq!([&any, &a, &b, &c].map(Replica::requests), [0, 1, 1, 0]);
}

#[tokio::test]
async fn what_wants_tls_is_never_answered_in_the_clear_nor_the_other_way_round() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let mut fixture = Fixture::start(&[replica.address]).await;
    let mut plain = Client::connect(fixture.port).await;
    assert_eq!(plain.get("/", &[]).await.status, 200);

    Arc::make_mut(&mut fixture.desired.route).listener.tls = Some(mk_tls(TlsVersion::Tls12));
    fixture.tls = Some(server_tls(&authority.issue(&["a.example"])));
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    assert_eq!(plain.get("/", &[]).await.status, 421);
    let mut secured = connect(fixture.port, "a.example", &authority.client()).await.unwrap();
    assert_eq!(secured.get("/", &[]).await.status, 200);

    Arc::make_mut(&mut fixture.desired.route).listener.tls = None;
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    assert_eq!(secured.get("/", &[]).await.status, 421);
    assert_eq!(Client::connect(fixture.port).await.get("/", &[]).await.status, 200);
}

#[tokio::test]
async fn one_without_a_certificate_refuses_while_others_serve() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let fixture = configured(&replica, None, |_| {}).await;
    add(&fixture, "b", &["b.example"], Some(server_tls(&authority.issue(&["b.example"]))), &replica);
    let config = authority.client();
    let error = connect(fixture.port, "a.example", &config).await.err().unwrap();
    assert!(error.to_string().contains("InternalError"), "{error}");
    assert_eq!(ask(fixture.port, "b.example", &config).await, "a");
    until_counted(&fixture, "no_certificate", 1).await;
}

#[tokio::test]
async fn a_new_certificate_is_for_those_who_come_later() {
    let (authority, replica) = (Authority::new(), Replica::named("a").await);
    let mut fixture = secured(&replica, server_tls(&authority.issue(&["a.example"]))).await;
    let config = authority.client();
    let mut early = connect(fixture.port, "a.example", &config).await.unwrap();
    assert_eq!(early.get("/", &[]).await.status, 200);

    fixture.tls = Some(server_tls(&authority.issue(&["a.example"])));
    fixture.publish(&[mk_replica(0, 0, replica.address)]);
    let late = connect(fixture.port, "a.example", &config).await.unwrap();
    assert_ne!(late.certificate(), early.certificate());
    assert_eq!(late.kind(), HandshakeKind::Full, "a ticket of the one before is worth nothing any more");
    assert_eq!(early.get("/", &[]).await.status, 200, "its connection goes on");
}
