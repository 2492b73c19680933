//! Ringhold as its users have it: the chart, in a real Kubernetes with real nodes, driven with kubectl and Helm while
//! requests run through the Service. `make e2e` builds what it needs and runs it; it needs root, and takes all that it
//! makes on this machine away again.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "a long journey says where it is")]

mod audit;
mod client;
mod cluster;
mod fleet;
mod install;
mod lives;
mod load;
mod nodes;
mod story;

use cluster::Cluster;
use fleet::Fleet;

/// One cluster, and one chapter after the other as a user would live them. A chapter leaves three ready replicas, whose
/// keys are where they were at the beginning.
#[tokio::test]
async fn a_users_journey() {
    let cluster = Cluster::start().await;

    install::the_chart_is_valid_in_every_variant(&cluster).await;
    install::the_chart_installs(&cluster).await;
    let granted = audit::granted(&cluster).await;
    let fleet = Fleet::apply_sample(&cluster).await;

    lives::every_way_in_leads_to_the_same_replica(&fleet).await;
    lives::scaling_moves_only_what_it_must(&fleet).await;
    lives::a_changed_template_rolls_out_and_no_key_changes_its_ordinal(&fleet).await;
    lives::a_deleted_pod_is_replaced(&fleet).await;
    lives::a_crashed_container_comes_back(&fleet).await;
    story::kubectl_tells_of_a_template_that_cannot_start(&fleet).await;
    story::kubectl_explains_the_resource(&fleet).await;
    nodes::a_tainted_node_loses_its_pods(&fleet).await;
    nodes::nodes_are_drained(&fleet).await;
    nodes::the_leader_is_deleted(&fleet).await;
    install::an_upgrade_replaces_every_proxy_and_no_replica(&fleet).await;
    install::proxies_and_controllers_part_and_meet(&fleet).await;

    lives::a_service_that_is_no_longer_wanted_goes(&fleet).await;
    fleet.delete().await;
    // Before the roles go, which they do before the pods.
    audit::rights_are_exact(&cluster, &granted);
    install::uninstalling_leaves_only_the_definition(&cluster).await;
    install::one_manifest_is_enough(&cluster).await;
    install::one_namespace_is_enough(&cluster).await;
    cluster.say("done");
}
