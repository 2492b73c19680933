//! The pod template as it was declared.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A pod template, exactly as it was written.
///
/// It is kept as it came, for two reasons: fields that are newer than this program reach the API server unharmed, and a
/// template of wrong types spoils its own LoadBalancer alone, not the list or watch that brings it.
/// `controller::validate` reads from it what Ringhold has to know.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Value);

// === impl PodTemplate ===

/// The API server itself checks the template when a pod is made of it; the whole pod schema here would make the
/// definition larger than `kubectl apply` can store in its annotation.
impl JsonSchema for PodTemplate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PodTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "What a replica runs: a pod template, as in a Deployment.",
            "required": ["spec"],
            "x-kubernetes-preserve-unknown-fields": true,
        })
    }
}
