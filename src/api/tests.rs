//! The resource definition, as an API server will judge it.

use std::collections::BTreeSet;

use kube::{CustomResourceExt, ResourceExt};
use serde_json::{Value, json};

use super::*;

fn definition() -> Value {
    serde_json::to_value(LoadBalancer::crd()).unwrap()
}

fn version(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]
}

#[test]
fn the_definition_has_the_names_that_people_type() {
    let definition = definition();
    assert_eq!(LoadBalancer::crd().name_any(), "loadbalancers.ringhold.dev");
    assert_eq!(
        definition["spec"]["names"],
        json!({
            "categories": ["all"],
            "kind": "LoadBalancer",
            "plural": "loadbalancers",
            "shortNames": ["lb"],
            "singular": "loadbalancer",
        })
    );
    assert_eq!(definition["spec"]["scope"], "Namespaced");
}

#[test]
fn status_and_scale_are_subresources() {
    let scale = json!({
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    });
    assert_eq!(version(&definition())["subresources"], json!({"status": {}, "scale": scale}));
}

#[test]
fn the_schema_is_structural() {
    let definition = definition();
    let schema = &version(&definition)["schema"]["openAPIV3Schema"];
    let mut wrong = Vec::new();
    check(schema, "", &mut wrong);
    assert_eq!(wrong, [""; 0]);
    assert_eq!(schema["required"], json!(["spec"]));
    assert_eq!(schema["properties"]["spec"]["required"], json!(["template"]));
}

#[test]
fn every_source_of_a_key_is_a_property_of_the_schema() {
    let definition = definition();
    let spec = &version(&definition)["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let source = &spec["hashKey"]["items"];
    let properties: BTreeSet<&String> = source["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties.into_iter().collect::<Vec<_>>(), ["cookie", "header", "path", "query", "random", "sourceIp"]);
    assert_eq!(source["oneOf"], Value::Null, "its error is one that nobody understands; there is a rule for it");
    let rule = source["x-kubernetes-validations"][0]["rule"].as_str().unwrap();
    assert!(source["properties"].as_object().unwrap().keys().all(|name| rule.contains(&format!("has(self.{name})"))));
}

#[test]
fn defaults_of_the_schema_are_those_that_a_manifest_gets() {
    let definition = definition();
    let spec = &version(&definition)["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let read: LoadBalancerSpec = serde_json::from_value(json!({"template": {}})).unwrap();
    let read = serde_json::to_value(read).unwrap();
    for (field, schema) in spec.as_object().unwrap() {
        let stated = schema.get("default").unwrap_or(&Value::Null);
        assert_eq!(stated, if field == "template" { &Value::Null } else { &read[field] }, "{field}");
    }
}

/// What the API server's rules for structural schemas ask of this schema and those inside it: each says its type, and
/// what stands within `oneOf` and its kind only chooses between properties that are declared outside.
fn check(schema: &Value, path: &str, wrong: &mut Vec<String>) {
    let is_loose = schema.get("x-kubernetes-preserve-unknown-fields").is_some()
        || schema.get("x-kubernetes-int-or-string").is_some();
    if !is_loose && schema["type"].as_str().is_none_or(str::is_empty) {
        wrong.push(format!("{path}: no type"));
    }
    if ["$ref", "$defs", "definitions", "uniqueItems", "const"].iter().any(|word| schema.get(word).is_some()) {
        wrong.push(format!("{path}: a word that an API server refuses"));
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        for alternative in schema[choice].as_array().into_iter().flatten() {
            let forbidden = ["description", "type", "default", "additionalProperties", "nullable", "title"];
            let is_int_or_string = schema.get("x-kubernetes-int-or-string").is_some();
            if !is_int_or_string && forbidden.iter().any(|word| alternative.get(word).is_some()) {
                wrong.push(format!("{path}: {choice} declares: {alternative}"));
            }
            for property in alternative["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
                if schema["properties"].get(property).is_none() {
                    wrong.push(format!("{path}.{property}: declared within {choice} only"));
                }
            }
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check(property, &format!("{path}.{name}"), wrong);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            check(&schema[inner], &format!("{path}[]"), wrong);
        }
    }
}
