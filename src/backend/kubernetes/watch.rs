//! Keeps the index up to date: lists our pods, then watches them, for ever.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::watcher::{self, Config, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};

use super::pod::Sighting;
use super::refusal::chain;
use super::version::Version;
use super::watching::{pauses, watching};
use super::{Shared, marks};
use crate::model::ReplicaUid;

/// Pods at a time, while they are listed.
const PAGE: u32 = 500;
/// Between two pods of a list, with the pauses after failures; past it the list is begun anew.
const LIST_LIMIT: Duration = Duration::from_secs(90);

/// What keeps a backend's picture of its pods up to date; nothing is observed until this runs.
#[derive(Debug)]
#[must_use = "the backend sees nothing until this runs"]
pub struct PodWatch {
    pub(super) pods: Api<Pod>,
    pub(super) shared: Arc<Shared>,
}

// === impl PodWatch ===

impl PodWatch {
    /// Runs until `shutdown` is done. Failures are logged and tried again, at last every four seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let stream = || Box::pin(watch(self.pods.clone(), config()).backoff(pauses()));
        let mut events = stream();
        let mut is_listing = false;
        loop {
            let event = tokio::select! {
                () = &mut shutdown => return,
                event = events.next() => event,
                () = tokio::time::sleep(LIST_LIMIT), if is_listing => None,
            };
            match event {
                Some(Ok(event)) => {
                    is_listing = matches!(event, Event::Init | Event::InitApply(_));
                    self.shared.take(event, Timestamp::now());
                }
                Some(Err(error)) => tracing::warn!(error = explain(&error), "can't watch pods; trying again"),
                None => {
                    tracing::warn!("the list of pods did not come to an end; beginning anew");
                    events = stream();
                }
            }
        }
    }
}

impl Shared {
    /// Enters an event, then announces what it changed.
    fn take(&self, event: Event<Pod>, now: Timestamp) {
        let is_synced = matches!(event, Event::InitDone);
        self.update(|index| match event {
            Event::Init => index.begin_list(),
            Event::InitApply(pod) => {
                if let Some(sighting) = Sighting::of(&pod) {
                    index.list(sighting, now);
                }
            }
            Event::InitDone => index.end_list(),
            Event::Apply(pod) => match Sighting::of(&pod) {
                Some(sighting) => index.apply(sighting, now),
                None => index.remove(&uid(&pod), &version(&pod)),
            },
            Event::Delete(pod) => index.remove(&uid(&pod), &version(&pod)),
        });
        if is_synced {
            self.synced.send_replace(true);
        }
    }
}

/// The list is read from a quorum, not from whatever an API server remembers: the index relies on it.
fn config() -> Config {
    watching().labels(&marks::every_pod()).page_size(PAGE)
}

fn uid(pod: &Pod) -> ReplicaUid {
    ReplicaUid(pod.metadata.uid.as_deref().unwrap_or_default().into())
}

fn version(pod: &Pod) -> Version {
    Version::new(pod.metadata.resource_version.as_deref().unwrap_or_default())
}

fn explain(error: &watcher::Error) -> String {
    let forbidden = "Ringhold may not list and watch pods; allow its service account to";
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            format!("{forbidden}: {}", status.message)
        }
        error => chain(error),
    }
}
