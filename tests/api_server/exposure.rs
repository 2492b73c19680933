//! What stands before a fleet: Service, EndpointSlices and PodDisruptionBudget, and the proxies that they lead to.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use ringhold_test_cluster::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{World, world};

const FLAGS: [&str; 2] = ["--proxy-selector", "app=ringhold"];
const SLICE: &str = "web-ringhold";

#[tokio::test]
async fn a_fleet_owns_what_leads_to_it_and_takes_it_along() {
    let Some(world) = world().await else { return };
    let _operator = world.operator_with("a", &FLAGS).await;
    world.apply(&world.manifest(1)).await;
    world.until_settled(1).await;
    let uid = world.loadbalancers.get("web").await.unwrap().uid().unwrap();
    let (services, slices, budgets) =
        (world.all::<Service>(), world.all::<EndpointSlice>(), world.all::<PodDisruptionBudget>());
    let (service, slice, budget) =
        (services.get("web").await.unwrap(), slices.get(SLICE).await.unwrap(), budgets.get("web").await.unwrap());
    for owners in [service.owner_references(), slice.owner_references(), budget.owner_references()] {
        let owners: Vec<_> = owners.iter().map(|owner| (&*owner.kind, &owner.uid, owner.controller)).collect();
        assert_eq!(owners, [("LoadBalancer", &uid, Some(true))]);
    }
    let spec = serde_json::to_value(service.spec).unwrap();
    let port = json!({"name": "http", "port": 80, "targetPort": world.listener, "protocol": "TCP"});
    assert_eq!((&spec["type"], &spec["ports"], &spec["selector"]), (&json!("ClusterIP"), &json!([port]), &Value::Null));
    let spec = serde_json::to_value(budget.spec).unwrap();
    assert_eq!(spec["maxUnavailable"], 1);
    assert_eq!(spec["selector"], json!({"matchLabels": {"ringhold.dev/loadbalancer": "web"}}));

    services.delete("web", &DeleteParams::default()).await.unwrap();
    eventually("one that was deleted is made anew", async || {
        services.get_opt("web").await.unwrap().filter(|now| now.metadata.deletion_timestamp.is_none())
    })
    .await;
    world.loadbalancers.delete("web", &DeleteParams::default()).await.unwrap();
    eventually("all is gone with the fleet", async || {
        let is_gone = services.get_opt("web").await.unwrap().is_none()
            && slices.get_opt(SLICE).await.unwrap().is_none()
            && budgets.get_opt("web").await.unwrap().is_none();
        is_gone.then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_slices_lead_to_the_proxies_and_say_which_are_ready() {
    let Some(world) = world().await else { return };
    let (one, other): (SocketAddr, SocketAddr) = ("10.1.2.3:5001".parse().unwrap(), "10.1.2.4:5001".parse().unwrap());
    world.pretend_pod("one", one, true).await;
    world.pretend_pod("other", other, false).await;
    world.pretend_pod("six", "[fd00::6]:5001".parse().unwrap(), true).await;
    let _operator = world.operator_with("a", &FLAGS).await;
    world.apply(&world.manifest(1)).await;
    until_led_to(&world, SLICE, &[("10.1.2.3", true), ("10.1.2.4", false)]).await;
    until_led_to(&world, "web-ringhold-v6", &[("fd00::6", true)]).await;
    let slice = world.all::<EndpointSlice>().get(SLICE).await.unwrap();
    assert_eq!(slice.labels()["kubernetes.io/service-name"], "web");
    assert_eq!(slice.ports.unwrap()[0].port, Some(i32::from(world.listener)));

    world.pretend_ready("other", other, true).await;
    until_led_to(&world, SLICE, &[("10.1.2.3", true), ("10.1.2.4", true)]).await;
    world.pretend_ready("one", one, false).await;
    until_led_to(&world, SLICE, &[("10.1.2.3", false), ("10.1.2.4", true)]).await;
}

#[tokio::test]
async fn a_service_that_is_refused_is_told_and_what_led_to_the_fleet_still_does() {
    let Some(world) = world().await else { return };
    world.pretend_pod("one", "10.1.2.3:5001".parse().unwrap(), true).await;
    let _operator = world.operator_with("a", &FLAGS).await;
    world.apply(&world.manifest(1)).await;
    world.until_settled(1).await;
    until_led_to(&world, SLICE, &[("10.1.2.3", true)]).await;
    let before = world.all::<EndpointSlice>().get(SLICE).await.unwrap();
    // Outside of the range that the cluster has for ports of nodes, which only the API server knows.
    world.patch(&json!({"spec": {"service": {"type": "NodePort", "nodePort": 1}}})).await;
    let message = world.until_stated("Degraded", "True", "ExposeFailed").await;
    assert!(message.contains("the Service web") && message.contains("not in the valid range"), "{message}");
    world.until_told("ExposeFailed").await;
    assert_eq!(world.all::<EndpointSlice>().get(SLICE).await.unwrap(), before);
    world.patch(&json!({"spec": {"service": {"type": "ClusterIP", "nodePort": null}}})).await;
    world.until_stated("Degraded", "False", "AsExpected").await;
}

#[tokio::test]
async fn a_service_that_is_refused_from_the_beginning_is_told_in_the_api_servers_words() {
    let Some(world) = world().await else { return };
    let _operator = world.operator_with("a", &FLAGS).await;
    let mut resource = world.manifest(1);
    resource.spec.service = serde_json::from_value(json!({"type": "NodePort", "port": 80, "nodePort": 1})).unwrap();
    world.apply(&resource).await;
    let message = world.until_stated("Degraded", "True", "ExposeFailed").await;
    assert!(message.contains("not in the valid range"), "{message}");
    world.until_ready(1).await;
}

#[tokio::test]
async fn a_drain_waits_for_the_requests_of_every_proxy() {
    let Some(world) = world().await else { return };
    let acts = world.operator_with("a", &FLAGS).await;
    eventually("it leads", async || (world.leader().await.as_deref() == Some("a")).then_some(())).await;
    let other = world.operator_with("b", &FLAGS).await;
    world.pretend(&acts).await;
    world.pretend(&other).await;
    let mut resource = world.unexposed(2);
    resource.spec.rollout.drain_timeout_seconds = 3_600;
    world.apply(&resource).await;
    world.until_settled(2).await;
    eventually("the other knows the fleet", async || other.try_ask("ann").await.ok()).await;
    let key = other.key_of(1).await;
    let leaving = other.ask(&key).await.name;

    // A request whose end is in our hands.
    let mut stream = TcpStream::connect(other.proxy).await.unwrap();
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: test\r\nX-User-Id: {key}\r\nConnection: close\r\nContent-Length: 8\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"half").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"half") && !String::from_utf8_lossy(&answer).contains("half\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    world.scale(1).await;
    eventually("it is marked", async || {
        world.pods.get(&leaving).await.unwrap().annotations().get("ringhold.dev/draining-since").map(drop)
    })
    .await;
    // Looked at again and again, it stays, though the one that acts has nothing to do with its request.
    let looks = acts.looks().await;
    eventually("it is looked at", async || (acts.looks().await >= looks + 5).then_some(())).await;
    assert_eq!(world.pods.get(&leaving).await.unwrap().metadata.deletion_timestamp, None);

    stream.write_all(b"half").await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.matches("half").count() == 2, "{answer}");
    world.until_settled(1).await;
    assert!(world.pods.get_opt(&leaving).await.unwrap().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()));
}

/// Waits until a slice has these endpoints, and says of each whether it is ready.
async fn until_led_to(world: &World, slice: &str, wanted: &[(&str, bool)]) {
    let slices = world.all::<EndpointSlice>();
    eventually(&format!("{slice} leads to {wanted:?}"), async || {
        let endpoints = slices.get_opt(slice).await.unwrap()?.endpoints.unwrap_or_default();
        let is_ready = |endpoint: &k8s_openapi::api::discovery::v1::Endpoint| endpoint.conditions.as_ref()?.ready;
        let found: Vec<_> =
            endpoints.iter().map(|endpoint| Some((&*endpoint.addresses[0], is_ready(endpoint)?))).collect();
        (found == wanted.iter().copied().map(Some).collect::<Vec<_>>()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_somebody_changes_is_mended_and_who_insists_is_not_fought() {
    let Some(world) = world().await else { return };
    let operator = world.operator_with("a", &FLAGS).await;
    world.apply(&world.manifest(1)).await;
    world.until_settled(1).await;
    let services = world.all::<Service>();
    let port = async || services.get("web").await.unwrap().spec.unwrap().ports.unwrap()[0].port;
    let other = json!({"spec": {"ports": [{"name": "http", "port": 81, "protocol": "TCP"}]}});
    let mut mended = 0;
    for _ in 0..10 {
        services.patch("web", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
        world.look_again(&operator).await;
        world.look_again(&operator).await;
        mended += usize::from(port().await == 80);
    }
    assert!(mended <= 2, "it was written against {mended} times out of 10");
    eventually("it is mended", async || (port().await == 80).then_some(())).await;
}
