//! Each right of deploy/operator.yaml is needed: without it the API server refuses what Ringhold asks for, and what should
//! come of that does not come, or is told as failed.

mod outcomes;

use std::collections::BTreeSet;

use ringhold_test_cluster::{AuditEvent, ControlPlane, eventually};

use crate::support::{Operator, World, granted, shared};
use outcomes::*;

/// A test for each right, and the list of them.
macro_rules! rights {
    ($($test:ident: $right:literal => $outcome:expr;)*) => {
        const TRIED: &[&str] = &[$($right),*];

        $(
            #[tokio::test]
            async fn $test() {
                if let Some(without) = Without::the_right_to($right).await {
                    $outcome(without).await;
                }
            }
        )*
    };
}

rights! {
    unless_loadbalancers_are_listed_nothing_begins: "proxy: list ringhold.dev/loadbalancers" => nothing_begins;
    unless_loadbalancers_are_watched_a_change_goes_unseen: "proxy: watch ringhold.dev/loadbalancers" => a_change_goes_unseen;
    unless_pods_are_listed_nothing_begins: "proxy: list pods" => nothing_begins;
    unless_pods_are_watched_no_replica_turns_ready: "proxy: watch pods" => no_replica_turns_ready;

    unless_the_status_is_patched_nothing_is_said: "controller: patch ringhold.dev/loadbalancers/status" => nothing_is_said;
    unless_finalizers_are_ours_no_pod_is_created: "controller: update ringhold.dev/loadbalancers/finalizers" => no_pod_is_owned;
    unless_a_pod_is_got_its_owner_stays_unknown: "controller: get pods" => a_taken_name_stays_a_riddle;
    unless_pods_are_created_the_fleet_is_degraded: "controller: create pods" => no_pod_is_created;
    unless_pods_are_patched_none_drains: "controller: patch pods" => the_fleet_does_not_shrink;
    unless_pods_are_deleted_none_goes: "controller: delete pods" => the_fleet_does_not_shrink;

    unless_services_are_got_there_is_none: "controller: get services" => there_is_no_service;
    unless_services_are_listed_nothing_begins: "controller: list services" => nothing_begins;
    unless_services_are_watched_a_lost_one_goes_unseen: "controller: watch services" => a_lost_service_goes_unseen;
    unless_services_are_created_there_is_none: "controller: create services" => there_is_no_service;
    unless_services_are_patched_there_is_none: "controller: patch services" => there_is_no_service;
    unless_services_are_deleted_one_stays: "controller: delete services" => a_service_stays;

    unless_slices_are_got_there_is_none: "controller: get discovery.k8s.io/endpointslices" => there_is_no_slice;
    unless_slices_are_listed_nothing_begins: "controller: list discovery.k8s.io/endpointslices" => nothing_begins;
    unless_slices_are_watched_a_lost_one_goes_unseen: "controller: watch discovery.k8s.io/endpointslices" => a_lost_slice_goes_unseen;
    unless_slices_are_created_there_is_none: "controller: create discovery.k8s.io/endpointslices" => there_is_no_slice;
    unless_slices_are_patched_there_is_none: "controller: patch discovery.k8s.io/endpointslices" => there_is_no_slice;
    unless_slices_are_deleted_one_stays: "controller: delete discovery.k8s.io/endpointslices" => a_slice_stays;

    unless_budgets_are_got_there_is_none: "controller: get policy/poddisruptionbudgets" => there_is_no_budget;
    unless_budgets_are_listed_nothing_begins: "controller: list policy/poddisruptionbudgets" => nothing_begins;
    unless_budgets_are_watched_a_lost_one_goes_unseen: "controller: watch policy/poddisruptionbudgets" => a_lost_budget_goes_unseen;
    unless_budgets_are_created_there_is_none: "controller: create policy/poddisruptionbudgets" => there_is_no_budget;
    unless_budgets_are_patched_there_is_none: "controller: patch policy/poddisruptionbudgets" => there_is_no_budget;

    unless_events_are_created_nothing_is_told: "controller: create events.k8s.io/events" => nothing_is_told;

    unless_the_lease_is_created_nobody_acts: "leader: create coordination.k8s.io/leases" => nobody_acts;
    unless_the_lease_is_got_nobody_acts: "leader: get coordination.k8s.io/leases" => nobody_acts;
    unless_the_lease_is_patched_nobody_acts: "leader: patch coordination.k8s.io/leases" => nobody_acts;
    unless_the_lease_is_listed_one_given_back_goes_unseen: "leader: list coordination.k8s.io/leases" => a_lease_given_back_goes_unseen;
    unless_the_lease_is_watched_one_given_back_goes_unseen: "leader: watch coordination.k8s.io/leases" => a_lease_given_back_goes_unseen;
    unless_the_proxies_are_listed_nothing_begins: "leader: list pods" => nothing_begins;
    unless_the_proxies_are_watched_a_new_one_goes_unseen: "leader: watch pods" => a_new_proxy_goes_unseen;
}

#[test]
fn every_right_that_is_granted_has_its_test() {
    let granted: BTreeSet<String> = granted().iter().map(ToString::to_string).collect();
    let tried: BTreeSet<String> = TRIED.iter().map(|right| (*right).to_owned()).collect();
    assert_eq!(granted, tried);
}

/// A world whose operators have every right but one.
struct Without {
    world: World,
    cluster: &'static ControlPlane,
    /// How the API server records what it refuses: verb, group, resource and namespace.
    refused: [String; 4],
}

impl Without {
    async fn the_right_to(right: &str) -> Option<Self> {
        let cluster = shared().await?;
        let mut rights = granted();
        let place = rights.iter().position(|granted| granted.to_string() == right).expect("the right is granted");
        let missing = rights.remove(place);
        let world = World::new(cluster, &rights).await;
        let namespace = if right.starts_with("leader:") { &world.home } else { &world.namespace };
        let (verb, resource) = match (&*missing.verb, &*missing.resource) {
            // The API server asks for this itself, when a pod's owner reference blocks the owner's deletion.
            ("update", "loadbalancers/finalizers") => ("create", "pods"),
            // The same, when a server-side apply makes a new object.
            ("create", resource @ ("services" | "endpointslices" | "poddisruptionbudgets")) => ("patch", resource),
            asked => asked,
        };
        let group = if resource == "pods" { "" } else { &missing.group };
        let refused = [verb, group, resource, namespace].map(str::to_owned);
        Some(Self { world, cluster, refused })
    }

    /// Operators that know of other proxies, so that they use every right. They need not be ready ever.
    fn start(&self, name: &str) -> Operator {
        let flags = ["--proxy-selector", "app=ringhold", "--lease-seconds", "60"];
        self.world.start(name, &self.world.access, &flags)
    }

    /// An operator that has begun, and a fleet of so many ready replicas.
    async fn settled(&self, replicas: i32) -> Operator {
        let operator = self.start("a");
        self.world.apply(&self.world.manifest(replicas)).await;
        self.world.until_ready(replicas).await;
        operator
    }

    async fn refusals(&self) -> usize {
        let [verb, group, resource, namespace] = &self.refused;
        let is_it = |event: &&AuditEvent| {
            let asked = [&event.resource[..], &event.subresource].join("/");
            event.code == 403
                && event.verb == *verb
                && event.group == *group
                && asked.trim_end_matches('/') == resource
                && event.namespace == *namespace
        };
        self.cluster.audit_of(&self.world.access).await.unwrap().iter().filter(is_it).count()
    }

    /// Waits until the API server has refused it once more.
    async fn until_refused(&self) {
        let before = self.refusals().await;
        let [verb, _, resource, _] = &self.refused;
        eventually(&format!("{verb} {resource} is refused"), async || (self.refusals().await > before).then_some(()))
            .await;
    }
}
