//! What each refusal means.

use serde_json::json;

use super::*;
use crate::model::{Incarnation, Ordinal, ReplicaName, TemplateHash};

fn web() -> FleetId {
    FleetId::new("shop", "web")
}

fn refused(code: u16, reason: &str, message: &str) -> kube::Error {
    kube::Error::Api(Status::failure(message, reason).with_code(code).boxed())
}

fn new() -> NewReplica {
    let (ordinal, incarnation, template) = (Ordinal(0), Incarnation(1), TemplateHash("0badcafe".into()));
    let name = ReplicaName::new(&web(), ordinal, &template, incarnation);
    NewReplica { name, ordinal, incarnation, template, failures: 0 }
}

#[test]
fn what_would_fail_again_is_rejected_in_the_servers_words() {
    let cases = [
        (403, "Forbidden", r#"pods "a" is forbidden: exceeded quota: few, requested: pods=1"#, "QuotaExceeded"),
        (403, "Forbidden", r#"pods "a" is forbidden: violates PodSecurity "restricted:latest""#, "PodRejected"),
        (403, "Forbidden", r#"admission webhook "policy.example" denied the request: no"#, "PodRejected"),
        (400, "BadRequest", r#"strict decoding error: unknown field "spec.containers[0].imge""#, "PodRejected"),
        (413, "RequestEntityTooLarge", "limit is 3145728", "PodRejected"),
        (422, "Invalid", r#"Pod "a" is invalid: spec.containers[0].image: Required value"#, "PodRejected"),
    ];
    for (code, word, said, reason) in cases {
        let error = of_create(&refused(code, word, said), &web());
        assert_eq!(error, BackendError::Rejected { reason, message: said.to_owned() });
    }
}

#[test]
fn a_right_that_ringhold_lacks_is_named_with_the_way_out() {
    let said = r#"pods is forbidden: User "system:serviceaccount:ringhold:operator" cannot create resource "pods" in API group "" in the namespace "shop""#;
    let error = of_create(&refused(403, "Forbidden", said), &web());
    let message = format!("Ringhold may not create pods in namespace shop; allow its service account to: {said}");
    assert_eq!(error, BackendError::Rejected { reason: "Forbidden", message });
}

#[test]
fn what_may_pass_is_tried_again() {
    let ending =
        r#"pods "a" is forbidden: unable to create new content in namespace shop because it is being terminated"#;
    let cases = [
        (refused(403, "Forbidden", ending), "namespace shop is ending"),
        (
            refused(404, "NotFound", r#"namespaces "shop" not found"#),
            r#"namespace shop is gone: namespaces "shop" not found"#,
        ),
        (refused(401, "Unauthorized", "Unauthorized"), "Unauthorized (401)"),
        (refused(409, "Conflict", "try again"), "try again (409)"),
        (refused(500, "InternalError", "failed calling webhook"), "failed calling webhook (500)"),
        (refused(503, "ServiceUnavailable", ""), "ServiceUnavailable (503)"),
        (kube::Error::Service("no answer within 15 s".into()), "ServiceError: no answer within 15 s"),
    ];
    for (error, message) in cases {
        let message = message.to_owned();
        assert_eq!(of_create(&error, &web()), BackendError::Unavailable { message });
    }
}

#[test]
fn causes_are_said_once() {
    let refused = std::io::Error::other("connection refused");
    let error = kube::Error::Service(Box::new(std::io::Error::other(refused)));
    assert_eq!(chain(&error), "ServiceError: connection refused");
}

#[test]
fn a_name_that_is_taken_is_told_with_whose_it_is_and_the_way_out() {
    let pod = |owner: serde_json::Value| -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0-0badcafe-1", "ownerReferences": [owner]}})).unwrap()
    };
    let taken = |whose: &str| BackendError::Rejected {
        reason: "NameTaken",
        message: format!(
            "pod web-0-0badcafe-1 exists in namespace shop and is {whose}; \
             remove it: kubectl delete pod --namespace shop web-0-0badcafe-1"
        ),
    };
    let by_nobody = Pod::default();
    assert_eq!(name_taken(&web(), &new(), &by_nobody), taken("nobody's"));
    let by_another = pod(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cache-5d4", "uid": "1", "controller": true
    }));
    assert_eq!(name_taken(&web(), &new(), &by_another), taken("ReplicaSet cache-5d4's"));
    let by_an_earlier = pod(json!({
        "apiVersion": "ringhold.dev/v1alpha1", "kind": "LoadBalancer", "name": "web", "uid": "1", "controller": true
    }));
    let message =
        "pod web-0-0badcafe-1 of an earlier LoadBalancer shop/web is still there; Kubernetes removes it".to_owned();
    assert_eq!(name_taken(&web(), &new(), &by_an_earlier), BackendError::Unavailable { message });
}
