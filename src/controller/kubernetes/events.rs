//! Events: what happened to a LoadBalancer, where `kubectl describe lb` shows it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};

use crate::api::LoadBalancer;
use crate::controller::story::Line;

/// Who reports.
const CONTROLLER: &str = "ringhold.dev/controller";
/// Longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// An Event that can't be written in time is given up: it is for people only.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Writes Events. Nothing is written twice: lines are made only where something has changed.
pub(super) struct Narrator {
    client: Client,
    /// This process among the others.
    instance: String,
}

// === impl Narrator ===

impl Narrator {
    pub(super) fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Tells what happened.
    pub(super) async fn tell(&self, resource: &LoadBalancer, lines: &[Line]) {
        let Some(namespace) = &resource.metadata.namespace else { return };
        let api = Api::<Event>::namespaced(self.client.clone(), namespace);
        for line in lines {
            let event = self.event(resource, line);
            match tokio::time::timeout(TIMEOUT, api.create(&PostParams::default(), &event)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, reason = line.reason, "an Event can't be written"),
                Err(_) => tracing::warn!(reason = line.reason, "an Event was not written in time"),
            }
        }
    }

    fn event(&self, resource: &LoadBalancer, line: &Line) -> Event {
        let Line { reason, is_warning, text } = line;
        let now = Timestamp::now();
        let name = resource.metadata.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: resource.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            action: Some("Reconcile".to_owned()),
            reason: Some((*reason).to_owned()),
            type_: Some(if *is_warning { "Warning" } else { "Normal" }.to_owned()),
            note: Some(shorten(text)),
            regarding: Some(resource.object_ref(&())),
            ..Event::default()
        }
    }
}

fn shorten(text: &str) -> String {
    let end = (0..=text.len().min(LONGEST_NOTE)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}
