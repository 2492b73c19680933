//! Lives of the fleet: it grows, shrinks, rolls out, and loses replicas, while requests run.

use std::net::SocketAddr;

use serde_json::Value;

use crate::client::Client;
use crate::fleet::{Fleet, address_of, moved, name, uids};

pub(crate) async fn every_way_in_leads_to_the_same_replica(fleet: &Fleet<'_>) {
    fleet.cluster.say("asks by the Service's address and by each node's port");
    for address in fleet.node_ports.iter().chain([&fleet.service]) {
        let owners = fleet.owners_through(*address).await;
        assert_eq!(moved(&fleet.owners, &owners), 0, "keys that {address} brings elsewhere");
    }
    for ordinal in 0..3 {
        let share = fleet.owners.iter().filter(|owner| **owner == ordinal).count();
        assert!(share * 6 > fleet.owners.len(), "ordinal {ordinal} has {share} of {} keys", fleet.owners.len());
    }
}

pub(crate) async fn scaling_moves_only_what_it_must(fleet: &Fleet<'_>) {
    let up = fleet.under_load("scales to 5", async {
        fleet.cluster.kubectl("scale loadbalancer web --replicas=5").await;
        fleet.settled(5).await;
    });
    up.await.lost_no_post_either();
    let owners = fleet.owners_through(fleet.service).await;
    for (before, after) in fleet.owners.iter().zip(&owners) {
        assert!(before == after || *after >= 3, "a key went from {before} to {after}, which were both there before");
    }
    let share = moved(&fleet.owners, &owners) * 100 / owners.len();
    assert!((25..=55).contains(&share), "{share} % of the keys moved; two of five is the fair share");

    let down = fleet.under_load("scales to 3", async {
        fleet.cluster.kubectl("scale loadbalancer web --replicas=3").await;
        fleet.settled(3).await;
    });
    down.await.lost_no_post_either();
    fleet.is_as_at_first().await;
}

pub(crate) async fn a_changed_template_rolls_out_and_no_key_changes_its_ordinal(fleet: &Fleet<'_>) {
    let environment = r#"[{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": [{"name": "VERSION", "value": "2"}]}]"#;
    let image =
        r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "ringhold-server:0.1.0"}]"#;
    for (what, patch) in [("changes the environment", environment), ("changes the image", image)] {
        let before = uids(&fleet.pods().await);
        let rollout = fleet.under_load(what, async {
            fleet.patch("json", patch).await;
            fleet.settled(3).await;
        });
        rollout.await.lost_no_post_either().moved_no_key();
        assert!(before.is_disjoint(&uids(&fleet.pods().await)), "a replica of the old template is left");
        fleet.is_as_at_first().await;
    }
}

pub(crate) async fn a_deleted_pod_is_replaced(fleet: &Fleet<'_>) {
    let pods = fleet.pods().await;
    let victim = name(&pods[0]);
    let deletion = fleet.under_load("deletes a pod", async {
        fleet.cluster.kubectl(&format!("delete pod {victim}")).await;
        fleet.settled(3).await;
    });
    deletion.await.lost_nothing();
    fleet.is_as_at_first().await;
    let left = uids(&pods).intersection(&uids(&fleet.pods().await)).count();
    assert_eq!(left, 2, "only the deleted one was replaced");
}

pub(crate) async fn a_crashed_container_comes_back(fleet: &Fleet<'_>) {
    let pods = fleet.pods().await;
    let address = SocketAddr::new(address_of(&pods[0]["status"]["podIP"]), 8080);
    let crash = fleet.under_load("crashes a container", async {
        Client::new(address).send("POST", "/exit?code=1", "").await.expect_err("it dies without an answer");
        let down = fleet.cluster.eventually("the crash is noticed", async || {
            let now = fleet.pods().await;
            let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
            let is_seen = uids(&now) != uids(&pods) || now.iter().any(|pod| restarts(pod) > Some(0));
            if is_seen { Ok(()) } else { Err("no pod is new or was restarted".to_owned()) }
        });
        down.await;
        fleet.settled(3).await;
    });
    crash.await.lost_nothing();
    fleet.is_as_at_first().await;
}

/// Only by the proxies' own addresses is it reached then.
pub(crate) async fn a_service_that_is_no_longer_wanted_goes(fleet: &Fleet<'_>) {
    fleet.cluster.say("takes the Service out of the spec");
    fleet.patch("merge", r#"{"spec": {"service": {"type": null, "port": null}}}"#).await;
    let gone = fleet.cluster.eventually("the Service and its slices are gone", async || {
        let mut left = fleet.cluster.list("services,endpointslices").await;
        left.retain(|object| name(object) != "kubernetes");
        if left.is_empty() { Ok(()) } else { Err(format!("{:?}", left.iter().map(name).collect::<Vec<_>>())) }
    });
    gone.await;
    fleet.settled(3).await;
}
