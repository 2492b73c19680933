//! The scale subresource, for people and for autoscalers.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use ringhold_test_cluster::eventually;
use serde_json::json;

use crate::support::world;

#[tokio::test]
async fn the_scale_says_how_many_replicas_there_are_and_which() {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    world.apply(&world.manifest(2)).await;
    world.until_settled(2).await;
    let scale = world.loadbalancers.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(2));
    let status = scale.status.unwrap();
    assert_eq!(status.replicas, 2);
    let selected = world.pods.list(&ListParams::default().labels(&status.selector.unwrap())).await.unwrap().items;
    let mut selected: Vec<String> = selected.iter().map(ResourceExt::name_any).collect();
    selected.sort();
    let ours: Vec<String> = world.living().await.iter().map(ResourceExt::name_any).collect();
    assert_eq!(selected, ours);
}

#[tokio::test]
async fn an_autoscaler_scales_the_fleet() {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    world.apply(&world.manifest(1)).await;
    world.until_settled(1).await;
    let autoscaler = json!({
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "ringhold.dev/v1alpha1", "kind": "LoadBalancer", "name": "web"},
            // Where fewer are than these, it needs no metrics to know better.
            "minReplicas": 3,
            "maxReplicas": 5,
            "metrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }],
        },
    });
    let autoscalers = world.all::<HorizontalPodAutoscaler>();
    autoscalers.create(&PostParams::default(), &serde_json::from_value(autoscaler).unwrap()).await.unwrap();
    world.until_settled(3).await;
    assert_eq!(world.loadbalancers.get("web").await.unwrap().spec.replicas, 3);
    eventually("it is able to scale", async || {
        let status = autoscalers.get("web").await.unwrap().status?;
        let able = status.conditions?.into_iter().find(|condition| condition.type_ == "AbleToScale")?;
        (able.status == "True" && status.current_replicas == Some(3)).then_some(())
    })
    .await;
}
