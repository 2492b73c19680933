//! The samples that people begin with.

use std::path::Path;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::discovery::ApiResource;
use ringhold::api::LoadBalancer;
use ringhold_test_cluster::eventually;
use serde_json::Value;

use crate::support::{condition, world};

#[tokio::test]
async fn every_sample_is_taken_with_every_field_checked_and_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["deploy/samples", "deploy/samples/cluster"] {
        let mut files: Vec<_> =
            std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.is_file());
        files.sort();
        assert!(!files.is_empty(), "{folder}");
        for file in files {
            is_accepted(&file).await;
        }
    }
}

async fn is_accepted(file: &Path) {
    let Some(world) = world().await else { return };
    let _operator = world.operator("a").await;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut names = Vec::new();
    for document in documents {
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        let kind = match document["kind"].as_str().unwrap() {
            "LoadBalancer" => {
                names.push(name.clone());
                ApiResource::erase::<LoadBalancer>(&())
            }
            "HorizontalPodAutoscaler" => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            kind => panic!("{}: teach this test the kind {kind}", file.display()),
        };
        let objects = Api::<DynamicObject>::namespaced_with(world.client.clone(), &world.namespace, &kind);
        let strict = Some(ValidationDirective::Strict);
        let params = PatchParams { field_validation: strict, ..PatchParams::apply("people") };
        let applied = objects.patch(&name, &params, &Patch::Apply(&document)).await;
        applied.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    for name in names {
        eventually(&format!("{name} of {} is accepted", file.display()), async || {
            let status = world.loadbalancers.get(&name).await.unwrap().status?;
            (condition(&status, "Accepted") == "True").then_some(())
        })
        .await;
    }
}
