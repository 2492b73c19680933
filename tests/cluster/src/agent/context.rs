//! What an agent's tasks share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Semaphore, watch};

use super::AgentConfig;
use crate::guard;

/// Writes that are under way at once: enough to keep an API server busy, without a connection for every pod.
const WRITES: usize = 32;

pub(super) struct Context {
    pub(super) client: Client,
    pub(super) config: AgentConfig,
    /// False while the node is lost.
    pub(super) acting: watch::Sender<bool>,
    pub(super) writes: Semaphore,
    pub(super) logs: PathBuf,
    /// By UID.
    pods: Mutex<BTreeMap<String, Known>>,
}

/// A pod, as the agent's owner sees it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) log: PathBuf,
    pub(super) controls: watch::Sender<Controls>,
    pub(super) seen: watch::Sender<Seen>,
}

/// What a test wants of a pod.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Controls {
    pub(super) kills: u64,
    pub(super) is_forced_unready: bool,
    pub(super) is_evicted: bool,
}

/// What a pod has right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) is_running: bool,
    pub(super) process: Option<u32>,
}

// === impl Context ===

impl Context {
    pub(super) fn new(client: Client, config: AgentConfig) -> anyhow::Result<Self> {
        let logs = guard::guard()?.folder(&config.node)?;
        let (acting, writes, pods) = (watch::Sender::new(true), Semaphore::new(WRITES), Mutex::default());
        Ok(Self { client, config, acting, writes, logs, pods })
    }

    /// All pods that the agent cares for.
    pub(super) fn all(&self) -> Api<Pod> {
        match &self.config.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The place of one pod.
    pub(super) fn beside(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }

    /// Waits for the turn to write.
    pub(super) async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // Fails only once closed, which never happens.
        self.writes.acquire().await.ok()
    }

    pub(super) fn is_acting(&self) -> bool {
        *self.acting.borrow()
    }

    /// Waits while the node is lost.
    pub(super) async fn until_acting(&self) {
        // Fails only without a sender, which is here.
        let _ = self.acting.subscribe().wait_for(|acting| *acting).await;
    }

    pub(super) fn enter(&self, pod: &Pod) -> Known {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let log = self.logs.join(format!("{namespace}-{name}.log"));
        let known = Known { namespace, name, log, controls: watch::Sender::default(), seen: watch::Sender::default() };
        self.table().insert(pod.uid().unwrap_or_default(), known.clone());
        known
    }

    pub(super) fn leave(&self, uid: &str) {
        self.table().remove(uid);
    }

    pub(super) fn pods(&self) -> Vec<Known> {
        self.table().values().cloned().collect()
    }

    pub(super) fn count(&self, is_counted: impl Fn(&Seen) -> bool) -> usize {
        self.table().values().filter(|known| is_counted(&known.seen.borrow())).count()
    }

    /// By `name` or `namespace/name`.
    pub(super) fn find(&self, pod: &str) -> Option<Known> {
        let is_it = |known: &&Known| match pod.split_once('/') {
            Some((namespace, name)) => known.namespace == namespace && known.name == name,
            None => known.name == pod,
        };
        self.table().values().find(is_it).cloned()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
