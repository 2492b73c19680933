//! Replicas as pods.
//!
//! One watch over all pods that bear Ringhold's label feeds an index; whoever observes reads that and asks nobody.
//! Our own writes are entered in it as the API server answers them. Only pods that a LoadBalancer owns, by the uid that
//! [`Backend::accept`] was told, are observed or touched, and everything that must last stands on them ([`marks`]).

mod index;
mod life;
mod manifest;
pub mod marks;
mod pod;
mod refusal;
mod requests;
mod trouble;
mod version;
mod watch;
mod watching;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::Stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use tokio::sync::{Notify, watch as state};

use crate::backend::{Backend, BackendError, Unsupported};
use crate::model::{Desired, FleetId, NewReplica, Replica, ReplicaName, ReplicaUid};
use index::Index;
use life::Life;
use pod::Sighting;
use requests::Requests;

pub use manifest::effective_manifest;
pub use watch::PodWatch;
pub use watching::{pauses, watching};

/// So often a drain mark is tried on a pod that changes each time between the look and the write.
const MARK_ATTEMPTS: usize = 8;

/// Where the backend looks for pods.
#[derive(Debug, Clone, Default)]
pub struct KubernetesConfig {
    /// The only namespace that is watched; `None`: all of them.
    pub namespace: Option<Arc<str>>,
}

/// The backend. Clones share what they know.
#[derive(Clone)]
pub struct KubernetesBackend {
    client: Client,
    config: KubernetesConfig,
    shared: Arc<Shared>,
}

/// What the backend and its watch share.
#[derive(Debug)]
struct Shared {
    index: Mutex<Index>,
    changed: Notify,
    touched: Notify,
    synced: state::Sender<bool>,
}

// === impl KubernetesBackend ===

impl KubernetesBackend {
    /// A backend, and the watch that it needs: run it, and wait for [`KubernetesBackend::synced`].
    pub fn new(client: Client, config: KubernetesConfig) -> (Self, PodWatch) {
        let pods = match &config.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let shared = Arc::new(Shared {
            index: Mutex::default(),
            changed: Notify::new(),
            touched: Notify::new(),
            synced: state::Sender::new(false),
        });
        let watch = PodWatch { pods, shared: Arc::clone(&shared) };
        (Self { client, config, shared }, watch)
    }

    /// Returns once all pods have been listed; before, nothing can be observed.
    pub async fn synced(&self) {
        // The sender lives in `shared`, so this can't fail before `self` is gone.
        drop(self.shared.synced.subscribe().wait_for(|synced| *synced).await);
    }

    /// The fleets whose replicas have changed, as [`Backend::observe`] shows them already. None is left out: a fleet that
    /// nobody has taken yet is kept, once. For one reader; several would share the fleets.
    pub fn touched(&self) -> impl Stream<Item = FleetId> + Send + use<> {
        futures_util::stream::unfold(Arc::clone(&self.shared), |shared| async move {
            loop {
                let fleet = shared.index().take_touched();
                if let Some(fleet) = fleet {
                    return Some((fleet, shared));
                }
                shared.touched.notified().await;
            }
        })
    }

    /// Enters a pod as the API server has just answered it. `None`: it can't be read as a replica.
    fn enter(&self, pod: &Pod) -> Option<Sighting> {
        let sighting = Sighting::of(pod)?;
        self.shared.update(|index| index.write(sighting.clone(), Timestamp::now()));
        Some(sighting)
    }

    /// A create met a pod of its name: whose is it?
    async fn adopt(&self, requests: &Requests<'_>, desired: &Desired, new: &NewReplica) -> Result<(), BackendError> {
        let unavailable = |message: String| Err(BackendError::Unavailable { message });
        let Some(pod) = requests.get(&new.name).await.map_err(|error| refusal::unavailable(&error))? else {
            return unavailable(format!("pod {} was there a moment ago and is gone", new.name));
        };
        let is_ours = pod::owner(&pod).is_some_and(|owner| owner.uid == *desired.uid.0);
        if !is_ours {
            return Err(refusal::name_taken(&desired.id, new, &pod));
        }
        match self.enter(&pod) {
            Some(Sighting { life: Life::Terminating, .. }) => {
                unavailable(format!("an earlier pod {} is still stopping", new.name))
            }
            Some(_) => Ok(()),
            None => Err(refusal::marks_changed(&desired.id, new)),
        }
    }
}

impl Backend for KubernetesBackend {
    /// The API server judges the pod template, when the first pod is made of it.
    fn accept(&self, desired: &Desired) -> Result<(), Vec<Unsupported>> {
        let watched = self.config.namespace.as_ref();
        if let Some(watched) = watched.filter(|watched| **watched != desired.id.namespace) {
            let message = format!("Ringhold watches namespace {watched} only; move the LoadBalancer there");
            return Err(vec![Unsupported { path: "metadata.namespace".to_owned(), message }]);
        }
        self.shared.index().accept(desired.id.clone(), desired.uid.clone());
        Ok(())
    }

    fn forget(&self, desired: &Desired) {
        self.shared.index().dismiss(&desired.id, &desired.uid);
    }

    async fn observe(&self, fleet: &FleetId) -> Result<Vec<Replica>, BackendError> {
        let unavailable = |message: &str| BackendError::Unavailable { message: message.to_owned() };
        if !*self.shared.synced.borrow() {
            return Err(unavailable("the pods have not been listed yet"));
        }
        let replicas = self.shared.index().replicas(fleet);
        replicas.ok_or_else(|| unavailable("the LoadBalancer has not been accepted yet"))
    }

    #[tracing::instrument(level = "debug", skip_all, fields(fleet = %desired.id, pod = %new.name))]
    async fn create(&self, desired: &Desired, new: &NewReplica) -> Result<(), BackendError> {
        let requests = Requests::new(&self.client, &desired.id.namespace);
        match requests.create(&manifest::pod(desired, new)).await {
            Ok(pod) => match self.enter(&pod) {
                Some(_) => Ok(()),
                None => Err(refusal::marks_changed(&desired.id, new)),
            },
            Err(error) if refusal::already_exists(&error) => self.adopt(&requests, desired, new).await,
            Err(error) => Err(refusal::of_create(&error, &desired.id)),
        }
    }

    #[tracing::instrument(level = "debug", skip_all, fields(%fleet, pod = %name))]
    async fn drain(
        &self,
        fleet: &FleetId,
        name: &ReplicaName,
        uid: &ReplicaUid,
        since: Timestamp,
    ) -> Result<(), BackendError> {
        let requests = Requests::new(&self.client, &fleet.namespace);
        for _ in 0..MARK_ATTEMPTS {
            let known = self.shared.index().find(fleet, name, uid).cloned();
            let Some(known) = known.filter(|known| known.drain_mark.is_none()) else { return Ok(()) };
            match requests.mark_draining(name, uid, &known.version, since).await {
                Ok(pod) => {
                    if let Some(sighting) = Sighting::of(&pod) {
                        self.shared.update(|index| index.rewrite(sighting, Timestamp::now()));
                    }
                    return Ok(());
                }
                Err(error) if refusal::is_gone(&error) => return self.shared.forget(uid),
                Err(error) if refusal::is_conflict(&error) => {}
                Err(error) => return Err(refusal::unavailable(&error)),
            }
            // It has changed since we looked, may be marked by now, or be another copy.
            let pod = requests.get(name).await.map_err(|error| refusal::unavailable(&error))?;
            match pod.filter(|pod| pod.metadata.uid.as_deref() == Some(&uid.0)) {
                Some(pod) => drop(self.enter(&pod)),
                None => return self.shared.forget(uid),
            }
        }
        let message = format!("pod {name} changes too fast to be marked");
        Err(BackendError::Unavailable { message })
    }

    #[tracing::instrument(level = "debug", skip_all, fields(%fleet, pod = %name))]
    async fn delete(&self, fleet: &FleetId, name: &ReplicaName, uid: &ReplicaUid) -> Result<(), BackendError> {
        if self.shared.index().find(fleet, name, uid).is_none() {
            return Ok(()); // gone, or not ours to touch
        }
        match Requests::new(&self.client, &fleet.namespace).delete(name, uid).await {
            Ok(pod) => {
                if let Some(sighting) = pod.as_ref().and_then(Sighting::of) {
                    // One that is gone at once is answered as it was last.
                    let sighting = Sighting { life: Life::Terminating, ..sighting };
                    self.shared.update(|index| index.rewrite(sighting, Timestamp::now()));
                }
                Ok(())
            }
            Err(error) if refusal::is_gone(&error) => self.shared.forget(uid),
            Err(error) if refusal::is_another_copy(&error) => self.shared.forget(uid),
            Err(error) if refusal::is_conflict(&error) => Ok(()), // the next plan sees how it went on
            Err(error) => Err(refusal::unavailable(&error)),
        }
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl fmt::Debug for KubernetesBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesBackend").field("config", &self.config).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Changes the index, and tells who waits if that changed any replica.
    fn update(&self, change: impl FnOnce(&mut Index)) {
        let mut index = self.index();
        change(&mut index);
        let changed = index.take_changed();
        drop(index);
        if changed {
            self.changed.notify_one();
            self.touched.notify_one();
        }
    }

    /// A pod is gone for certain, which is as good as done.
    fn forget(&self, uid: &ReplicaUid) -> Result<(), BackendError> {
        self.update(|index| index.forget(uid));
        Ok(())
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
