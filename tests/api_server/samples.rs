//! The samples that people begin with.

use std::path::Path;

use kube::api::{Patch, PatchParams, ValidationDirective};
use ringhold_test_cluster::eventually;
use serde_json::Value;

use crate::support::{condition, world};

#[tokio::test]
async fn every_sample_is_taken_with_every_field_checked_and_accepted() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples");
    let mut files: Vec<_> = std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let Some(world) = world().await else { return };
        let _operator = world.operator("a").await;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let mut names = Vec::new();
        for document in documents {
            assert_eq!(document["kind"], "LoadBalancer", "{}: teach this test the new kind", file.display());
            let name = document["metadata"]["name"].as_str().unwrap().to_owned();
            let params =
                PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply("people") };
            world.loadbalancers.patch(&name, &params, &Patch::Apply(&document)).await.unwrap();
            names.push(name);
        }
        for name in names {
            eventually(&format!("{name} of {} is accepted", file.display()), async || {
                let status = world.loadbalancers.get(&name).await.unwrap().status?;
                (condition(&status, "Accepted") == "True").then_some(())
            })
            .await;
        }
    }
}
