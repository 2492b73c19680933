//! Events: what happened to a LoadBalancer, where `kubectl describe lb` shows it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

use crate::api::LoadBalancer;
use crate::controller::story::Line;

/// Who reports.
const CONTROLLER: &str = "ringhold.dev/controller";
/// Longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// An Event that can't be written in time is given up: it is for people only.
const TIMEOUT: Duration = Duration::from_secs(5);
/// So many Events may wait to be written; what is more is left out. Enough for all that a thousand new replicas say.
const WAITING: usize = 4096;

/// Writes Events, beside the looks: a look that waited for them would hold its fleet's routes back. Nothing is written
/// twice: lines are made only where something has changed.
pub(super) struct Narrator {
    waiting: mpsc::Sender<Event>,
    /// This process among the others.
    instance: String,
}

// === impl Narrator ===

impl Narrator {
    /// A narrator, and what writes for it: that has to be run, and ends once the narrator is gone and all is written.
    pub(super) fn new(client: Client, instance: String) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (waiting, told) = mpsc::channel(WAITING);
        (Self { waiting, instance }, write(client, told))
    }

    /// Tells what happened.
    pub(super) fn tell(&self, resource: &LoadBalancer, lines: &[Line]) {
        for line in lines {
            if self.waiting.try_send(self.event(resource, line)).is_err() {
                tracing::warn!(reason = line.reason, "an Event is left out: too many wait to be written");
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

/// One after the other, so that a thousand replicas that change at once don't crowd out the requests that they need.
async fn write(client: Client, mut told: mpsc::Receiver<Event>) {
    while let Some(event) = told.recv().await {
        let Some(namespace) = &event.metadata.namespace else { continue };
        let api = Api::<Event>::namespaced(client.clone(), namespace);
        let reason = event.reason.as_deref();
        match tokio::time::timeout(TIMEOUT, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, reason, "an Event can't be written"),
            Err(_) => tracing::warn!(reason, "an Event was not written in time"),
        }
    }
}

fn shorten(text: &str) -> String {
    let end = (0..=text.len().min(LONGEST_NOTE)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}
