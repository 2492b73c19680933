//! Every endpoint of the admin server, over real sockets and a real bridge.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{HASHER_SECRET, READY, series, start};
use jiff::Timestamp;
use ringhold::admin::Readiness;
use ringhold::model::{FleetId, ReplicaState};
use ringhold::ring::{KeyHash, KeyHasher};
use ringhold::routes::{Reader, ScaleError, Upstream};
use serde_json::{Value, json};

const UNREADY: ReplicaState = ReplicaState::Unready { since: Timestamp::UNIX_EPOCH };

fn upstream(reader: &Reader, id: &FleetId, seat: usize) -> std::sync::Arc<Upstream> {
    let table = std::sync::Arc::clone(reader.clone().table());
    table.fleet(id).unwrap().route.as_ref().unwrap().seats()[seat].upstream.clone().unwrap()
}

#[tokio::test]
async fn health_follows_readiness() {
    let admin = start().await;
    let live = admin.get("/livez").await;
    assert_eq!((live.status, live.body.as_str()), (200, "ok\n"));
    for (readiness, status, body) in [
        (Readiness::Starting, 503, "starting: the fleets are not known yet\n"),
        (Readiness::Ready, 200, "ok\n"),
        (Readiness::Draining, 503, "draining: shutting down\n"),
    ] {
        admin.readiness.send_replace(readiness);
        let ready = admin.get("/readyz").await;
        assert_eq!((ready.status, ready.body.as_str()), (status, body));
    }
}

#[tokio::test]
async fn a_loadbalancer_shows_ring_ordinals_replicas_and_conditions() {
    let admin = start().await;
    let id = FleetId::local("web");
    admin.publish(&id, &[READY, UNREADY]);
    let route = admin.reader.clone().table().fleet(&id).unwrap().route.clone().unwrap();
    let _pick = route.pick(0, &[]).unwrap();
    let expected = json!({
        "namespace": "default",
        "name": "web",
        "listener": {"port": 5000, "hostnames": ["a.example"], "tls": false},
        "observedGeneration": 3,
        "desiredReplicas": 2,
        "readyReplicas": 1,
        "updatedReplicas": 2,
        "availableReplicas": 1,
        "ring": {
            "algorithm": "Rendezvous",
            "members": 2,
            "fingerprint": route.ring.fingerprint().to_string(),
            "slots": 256,
        },
        "ordinals": [
            {
                "ordinal": 0,
                "share": route.shares[0],
                "replica": "web-0-abc-0",
                "address": "127.0.0.1:9000",
                "inFlight": 1,
                "ejected": false,
            },
            {
                "ordinal": 1,
                "share": route.shares[1],
                "replica": null,
                "address": null,
                "inFlight": null,
                "ejected": false,
            },
        ],
        "replicas": [
            {
                "name": "web-0-abc-0",
                "uid": "web-0-abc-0",
                "ordinal": 0,
                "incarnation": 0,
                "template": "abc",
                "state": "Ready",
                "address": "127.0.0.1:9000",
                "inFlight": 1,
            },
            {
                "name": "web-1-abc-0",
                "uid": "web-1-abc-0",
                "ordinal": 1,
                "incarnation": 0,
                "template": "abc",
                "state": "Unready",
                "reason": "no answer from /heartbeat",
                "address": "127.0.0.1:9001",
                "inFlight": null,
            },
        ],
        "conditions": [{
            "type": "Accepted",
            "status": "True",
            "observedGeneration": 3,
            "lastTransitionTime": "1970-01-01T00:00:00Z",
            "reason": "Serving",
            "message": "port 5000 is in use",
        }],
    });
    assert_eq!(admin.get("/api/v1/loadbalancers/web").await.json(), expected);
    assert_eq!(admin.get("/api/v1/loadbalancers/default/web").await.json(), expected);
    assert_eq!(admin.get("/api/v1/loadbalancers").await.json(), json!({"items": [expected]}));
}

#[tokio::test]
async fn the_list_is_sorted_and_has_what_is_not_routed() {
    let admin = start().await;
    assert_eq!(admin.get("/api/v1/loadbalancers").await.json(), json!({"items": []}));
    admin.publish(&FleetId::new("shop", "api"), &[READY]);
    admin.publisher.publish(&FleetId::local("web"), harness::not_accepted(), None).unwrap();
    let list = admin.get("/api/v1/loadbalancers").await.json();
    let names: Vec<[&Value; 3]> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| [&item["namespace"], &item["name"], &item["ring"]])
        .collect();
    assert_eq!(names[0], [&json!("default"), &json!("web"), &Value::Null]);
    assert_eq!(names[1][..2], [&json!("shop"), &json!("api")]);
}

#[tokio::test]
async fn an_unknown_name_is_told_those_that_there_are() {
    let admin = start().await;
    let answer = admin.get("/api/v1/loadbalancers/x").await;
    assert_eq!(answer.error(), (404, "no LoadBalancer is called x; there are none".to_owned()));
    admin.publish(&FleetId::local("web"), &[READY]);
    admin.publish(&FleetId::new("shop", "api"), &[READY]);
    let expected = (404, "no LoadBalancer is called shop/web; there are: web, shop/api".to_owned());
    assert_eq!(admin.get("/api/v1/loadbalancers/shop/web").await.error(), expected);
    assert_eq!(admin.get("/api/v1/loadbalancers/shop/web/route?key=k").await.error(), expected);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_json() {
    let admin = start().await;
    let (status, message) = admin.get("/api/v2").await.error();
    assert_eq!(
        (status, message.as_str()),
        (404, "there is nothing at /api/v2; the API begins at /api/v1/loadbalancers")
    );
    let answer = admin.send("POST", "/api/v1/loadbalancers/web/scale", "{}").await;
    assert_eq!(answer.error().0, 405);
    assert!(answer.head.contains("allow: put"), "{}", answer.head);
}

#[tokio::test]
async fn scaling_goes_through_the_controller() {
    let mut admin = start().await;
    let (answer, id, replicas) = admin.scale("/api/v1/loadbalancers/web/scale", r#"{"replicas": 5}"#, Ok(())).await;
    assert_eq!((id, replicas), (FleetId::local("web"), 5));
    assert_eq!((answer.status, answer.json()), (200, json!({"namespace": "default", "name": "web", "replicas": 5})));

    let (answer, id, _) = admin.scale("/api/v1/loadbalancers/shop/api/scale", r#"{"replicas": 0}"#, Ok(())).await;
    assert_eq!(id, FleetId::new("shop", "api"));
    assert_eq!((answer.status, answer.json()), (200, json!({"namespace": "shop", "name": "api", "replicas": 0})));
}

#[tokio::test]
async fn the_controllers_refusals_have_their_status() {
    let mut admin = start().await;
    let (target, body) = ("/api/v1/loadbalancers/web/scale", r#"{"replicas": -1}"#);
    let refusals = [
        (ScaleError::Invalid("replicas is -1; use 0 to 1000".into()), 400, "replicas is -1; use 0 to 1000"),
        (ScaleError::NotFound(FleetId::local("web")), 404, "no LoadBalancer is called web; there are none"),
        (ScaleError::ShuttingDown, 503, "Ringhold is shutting down; ask another process or try again"),
    ];
    for (refusal, status, message) in refusals {
        let (answer, ..) = admin.scale(target, body, Err(refusal)).await;
        assert_eq!(answer.error(), (status, message.to_owned()));
    }
    admin.scale_requests.close();
    assert_eq!(admin.send("PUT", target, body).await.status, 503);
}

#[tokio::test]
async fn bad_scale_bodies_are_refused_before_anybody_is_asked() {
    let mut admin = start().await;
    let target = "/api/v1/loadbalancers/web/scale";
    let (status, message) = admin.send("PUT", target, r#"{"replicas": "four"}"#).await.error();
    assert_eq!(
        (status, message.as_str()),
        (400, r#"replicas is "four"; use a whole number, as in send {"replicas": 3}"#)
    );
    assert_eq!(admin.send("PUT", target, "four").await.status, 400);
    let long = format!(r#"{{"replicas": {}4}}"#, " ".repeat(5000));
    assert_eq!(admin.send("PUT", target, &long).await.error().0, 413);
    assert!(admin.scale_requests.try_recv().is_err());
}

#[tokio::test]
async fn a_key_is_explained() {
    let admin = start().await;
    let id = FleetId::local("web");
    admin.publish(&id, &[READY, READY, READY]);
    let hash = KeyHasher::new(&HASHER_SECRET).hash(KeyHash::SipHash, "user 42+ü".as_bytes());
    let route = admin.reader.clone().table().fleet(&id).unwrap().route.clone().unwrap();
    let order: Vec<u16> = route.ring.candidates(hash).collect();
    let candidate = |place: usize, verdict: &str| {
        let ordinal = order[place];
        json!({"ordinal": ordinal, "replica": format!("web-{ordinal}-abc-0"), "verdict": verdict})
    };
    let target = "/api/v1/loadbalancers/web/route?a=1&key=user%2042+%C3%BC&key=second";
    assert_eq!(
        admin.get(target).await.json(),
        json!({
            "key": "user 42+ü",
            "hash": format!("{hash:016x}"),
            "candidates": [candidate(0, "Taken"), candidate(1, "Spare"), candidate(2, "Spare")],
            "taken": format!("web-{}-abc-0", order[0]),
            "why": format!("ordinal {} owns this key and is taken", order[0]),
        })
    );

    upstream(&admin.reader, &id, usize::from(order[0])).eject();
    let answer = admin.get("/api/v1/loadbalancers/default/web/route?key=user%2042+%C3%BC").await.json();
    assert_eq!(answer["taken"], format!("web-{}-abc-0", order[1]));
    let (owner, next) = (order[0], order[1]);
    let why = format!(
        "ordinal {owner} owns this key; passed over: {owner} (ejected after failures); ordinal {next} is taken"
    );
    assert_eq!(answer["why"], why);
}

#[tokio::test]
async fn a_key_that_nobody_can_take_is_explained_too() {
    let admin = start().await;
    let target = "/api/v1/loadbalancers/web/route?key=k";
    admin.publish(&FleetId::local("web"), &[UNREADY]);
    let answer = admin.get(target).await.json();
    assert_eq!((&answer["taken"], &answer["why"]), (&Value::Null, &json!("no replica is ready")));
    assert_eq!(answer["candidates"], json!([{"ordinal": 0, "replica": null, "verdict": "NotReady"}]));
    admin.publish(&FleetId::local("web"), &[]);
    assert_eq!(admin.get(target).await.json()["why"], "the ring has no members");
    admin.publisher.publish(&FleetId::local("web"), harness::not_accepted(), None).unwrap();
    let expected = (409, "web is not routed now: port 5000 is in use".to_owned());
    assert_eq!(admin.get(target).await.error(), expected);
}

#[tokio::test]
async fn a_route_without_a_key_is_refused() {
    let admin = start().await;
    admin.publish(&FleetId::local("web"), &[READY]);
    for query in ["", "?", "?key", "?key=", "?monkey=1"] {
        let answer = admin.get(&format!("/api/v1/loadbalancers/web/route{query}")).await;
        assert_eq!(answer.error(), (400, "key is missing; ask with ?key=K".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn metrics_tell_rings_seats_and_replicas() {
    let admin = start().await;
    let id = FleetId::local("web");
    admin.publish(&id, &[READY, UNREADY]);
    admin.publisher.publish(&FleetId::new("shop", "api"), harness::not_accepted(), None).unwrap();
    let route = admin.reader.clone().table().fleet(&id).unwrap().route.clone().unwrap();
    let _pick = route.pick(0, &[]).unwrap();
    let answer = admin.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(content_type), "{}", answer.head);
    assert!(answer.body.ends_with("# EOF\n"));

    let fleet = r#"namespace="default",loadbalancer="web""#;
    let found = |name| series(&answer.body, name);
    let expect = |pairs: &[(String, String)], name| {
        let expected: BTreeMap<&str, &str> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found(name), expected, "{name}");
    };
    expect(&[(fleet.to_owned(), "2".to_owned())], "ringhold_ring_members");
    let ring = format!(r#"algorithm="Rendezvous",fingerprint="{}",{fleet}"#, route.ring.fingerprint());
    expect(&[(ring, "1".to_owned())], "ringhold_ring_info");
    let by_ordinal = |values: [String; 2]| {
        let [zero, one] = values;
        [(format!(r#"{fleet},ordinal="0""#), zero), (format!(r#"{fleet},ordinal="1""#), one)]
    };
    expect(&by_ordinal([route.shares[0].to_string(), route.shares[1].to_string()]), "ringhold_ring_share");
    expect(&by_ordinal(["1".to_owned(), "0".to_owned()]), "ringhold_requests_in_flight");
    expect(&[(fleet.to_owned(), "0.0".to_owned())], "ringhold_ring_moved_share");
    let replicas: BTreeMap<&str, &str> =
        found("ringhold_replicas").into_iter().filter(|(_, count)| *count != "0").collect();
    let (ready, unready) = (format!(r#"{fleet},state="Ready""#), format!(r#"{fleet},state="Unready""#));
    assert_eq!(replicas, BTreeMap::from([(ready.as_str(), "1"), (unready.as_str(), "1")]));
    assert_eq!(found("ringhold_replicas").len(), 12, "six states of two LoadBalancers");
    assert!(!answer.body.contains("abc"), "no replica's name is a label");
}

#[tokio::test]
async fn shutdown_ends_the_server() {
    let admin = start().await;
    drop(admin.shutdown);
    tokio::time::timeout(Duration::from_secs(20), admin.served).await.unwrap().unwrap().unwrap();
}
