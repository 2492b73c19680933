//! Manifests: any text is read or refused with words that lead to the field; and what is accepted keeps to its limits,
//! and means the same when it is written out and read again.

use std::path::Path;

use crate::api::LoadBalancer;
use crate::controller::manifest;
use crate::controller::validate;
use crate::model::Desired;

/// A file's text.
pub(super) fn check(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let file = Path::new("web.yaml");
    match manifest::parse(file, text) {
        Ok(resources) => resources.iter().for_each(|resource| resource_keeps_its_meaning(file, resource)),
        Err(error) => {
            let words = error.to_string();
            assert!(words.starts_with("web.yaml: ") && words.len() > 20, "says nothing: {words:?}");
        }
    }
}

fn resource_keeps_its_meaning(file: &Path, resource: &LoadBalancer) {
    let validated = validate(resource);
    match &validated {
        Ok(desired) => keeps_to_limits(desired),
        Err(errors) => {
            assert!(!errors.0.is_empty(), "refused without a reason");
            for error in &errors.0 {
                let is_field = error.path.starts_with("spec.") || error.path.starts_with("metadata.");
                assert!(is_field && !error.rule.is_empty(), "names no field: {error:?}");
            }
        }
    }
    let json = serde_json::to_string(resource).expect("a resource can be written");
    let again = manifest::parse(file, &json).unwrap_or_else(|error| panic!("not read again: {error}: {json}"));
    let [again] = &again[..] else { panic!("{} resources of one", again.len()) };
    assert_eq!(validated, validate(again), "read again, it means something else: {json}");
}

/// What the core relies on.
fn keeps_to_limits(desired: &Desired) {
    let route = &desired.route;
    assert!((1..=36).contains(&desired.id.name.len()), "{:?}", desired.id);
    assert!(route.listener.port > 0 && route.listener.hostnames.len() <= 64);
    assert!(
        route
            .listener
            .hostnames
            .iter()
            .all(|name| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()))
    );
    assert!(route.hash_key.len() <= 16);
    assert!(route.bounded_load.is_none_or(|factor| (1.0..=100.0).contains(&factor)));
    assert!(
        !route.timeouts.connect.is_zero()
            && !route.timeouts.response_header.is_zero()
            && !route.timeouts.idle.is_zero()
    );
    assert!(route.retries.attempts <= 10 && route.retries.budget_percent <= 100);
    let can_step = desired.rollout.max_surge > 0 || desired.rollout.max_unavailable > 0;
    assert!(can_step, "no rollout could take a step: {:?}", desired.rollout);
    assert!(
        desired.health.path.as_ref().is_none_or(|path| path.starts_with('/'))
            && desired.health.failure_threshold > 0
            && !desired.health.period.is_zero()
    );
    assert!(desired.template.containers.iter().all(|container| !container.name.is_empty()));
}
