//! What a watch of the benchmark's own has seen, and when: the clock of everything that is measured here.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What takes longer has failed. The slowest thing here are Deployments at the controllers' default limits.
const LIMIT: Duration = Duration::from_secs(600);

/// What is there right now, by name.
pub(crate) type Objects<T> = HashMap<String, Seen<T>>;

/// One object, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    pub(crate) what: T,
    /// When the watch brought the news that it is so.
    pub(crate) since: Instant,
}

/// All objects of one kind, in one namespace.
pub(crate) struct Followed<T> {
    objects: watch::Receiver<Objects<T>>,
    _task: JoinSet<()>,
}

// === impl Followed ===

impl<T: PartialEq + Send + Sync + 'static> Followed<T> {
    /// Begins to follow them; `read` takes from each what matters.
    pub(crate) fn start<K>(api: Api<K>, read: fn(&K) -> T) -> Self
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (sender, objects) = watch::channel(Objects::new());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut events = pin!(watcher(api, Config::default()).default_backoff());
            while let Some(event) = events.next().await {
                let since = Instant::now();
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        let (name, what) = (object.name_any(), read(&object));
                        sender.send_if_modified(|objects| {
                            let is_known = objects.get(&name).is_some_and(|seen| seen.what == what);
                            if !is_known {
                                objects.insert(name, Seen { what, since });
                            }
                            !is_known
                        });
                    }
                    Ok(Event::Delete(object)) => {
                        sender.send_modify(|objects| drop(objects.remove(&object.name_any())));
                    }
                    // A watch that breaks goes on where it was; a list anew is not expected here.
                    Ok(Event::Init | Event::InitDone) | Err(_) => {}
                }
            }
        });
        Self { objects, _task: task }
    }

    /// Waits until it gives something, and says what.
    pub(crate) async fn until<R>(
        &self,
        what: &str,
        mut find: impl FnMut(&Objects<T>) -> Option<R>,
    ) -> anyhow::Result<R> {
        let mut objects = self.objects.clone();
        let mut found = None;
        let found_it = objects.wait_for(|objects| {
            found = find(objects);
            found.is_some()
        });
        let waited = tokio::time::timeout(LIMIT, found_it).await;
        drop(waited.with_context(|| format!("still not so after {LIMIT:?}: {what}"))?.context("the watch has ended")?);
        found.context("it was there a moment ago")
    }

    /// What is there right now.
    pub(crate) fn now<R>(&self, look: impl FnOnce(&Objects<T>) -> R) -> R {
        look(&self.objects.borrow())
    }
}
