//! Who acts: one process of several, by a Lease. All of them route; two that act at one time do no harm, for names are
//! deterministic and deletes carry the uid.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backend::kubernetes::{pauses, watching};
use crate::controller::tick::Part;

/// After a failed request for the Lease, the next comes after this.
const PAUSE: Duration = Duration::from_secs(1);
/// A Lease that can't be given back within this time runs out by itself.
const RELEASE: Duration = Duration::from_secs(3);

/// Which Lease, and in whose name.
#[derive(Clone)]
pub struct LeaderConfig {
    /// Asks the API server.
    pub client: Client,
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub lease: String,
    /// This process among the others; unique.
    pub identity: String,
    /// How long the others wait for a leader that was killed, in whole seconds.
    pub duration: Duration,
}

/// This process's part.
#[derive(Debug)]
pub struct Leader {
    acts: watch::Receiver<bool>,
    is_candidate: bool,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Takes part in the election until it is stopped.
struct Candidate {
    config: LeaderConfig,
    acts: watch::Sender<bool>,
    stop: CancellationToken,
}

// === impl Leader ===

impl Leader {
    /// Stands for election.
    #[must_use]
    pub fn elect(config: LeaderConfig) -> Self {
        let (sender, acts) = watch::channel(false);
        let stop = CancellationToken::new();
        let candidate = Candidate { config, acts: sender, stop: stop.clone() };
        Self { acts, is_candidate: true, stop, task: Mutex::new(Some(tokio::spawn(candidate.run()))) }
    }

    /// Never acts.
    #[must_use]
    pub fn never() -> Self {
        Self {
            acts: watch::channel(false).1,
            is_candidate: false,
            stop: CancellationToken::new(),
            task: Mutex::default(),
        }
    }

    /// What this process does now.
    #[must_use]
    pub fn part(&self) -> Part {
        if *self.acts.borrow() { Part::Acts } else { Part::Follows }
    }

    /// Whether it may ever act.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        self.is_candidate
    }

    /// An item at each change.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures_util::stream::unfold(self.acts.clone(), async |mut acts| {
            acts.changed().await.is_ok().then_some(((), acts))
        })
    }

    /// Acts no more, and gives the Lease back so that another takes it at once.
    pub async fn release(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && task.await.is_err()
        {
            tracing::error!("the election ended by a panic");
        }
    }
}

// === impl Candidate ===

impl Candidate {
    async fn run(self) {
        let mut released = Box::pin(released(&self.config));
        while !self.stop.is_cancelled() {
            let manager = match self.manager().await {
                Ok(manager) => manager,
                Err(error) => {
                    self.failed(&error).await;
                    continue;
                }
            };
            self.hold(&manager, &mut released).await;
        }
    }

    async fn manager(&self) -> kube_lease_manager::Result<LeaseManager> {
        let LeaderConfig { client, namespace, lease, identity, duration } = &self.config;
        LeaseManagerBuilder::new(client.clone(), lease)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_field_manager(format!("ringhold-lease-{identity}"))
            .with_duration(duration.as_secs())
            .with_grace(duration.as_secs() / 3)
            .build()
            .await
    }

    /// Waits for the Lease, keeps it, and begins anew when somebody gave it back: the manager itself would wait until
    /// the time that it knows is over.
    async fn hold(&self, manager: &LeaseManager, released: &mut (impl Stream<Item = ()> + Unpin)) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    let acted = self.acts.send_replace(false);
                    if acted && !matches!(tokio::time::timeout(RELEASE, manager.release()).await, Ok(Ok(()))) {
                        tracing::warn!("the Lease could not be given back; it runs out by itself");
                    }
                    return;
                }
                Some(()) = released.next() => {
                    if !*self.acts.borrow() {
                        return;
                    }
                }
                state = manager.changed() => match state {
                    Ok(acts) => self.set(acts),
                    Err(error) => {
                        // Whoever can't reach the API server can't act either; another may have the Lease by now.
                        self.set(false);
                        self.failed(&error).await;
                        return;
                    }
                },
            }
        }
    }

    fn set(&self, acts: bool) {
        self.acts.send_if_modified(|before| std::mem::replace(before, acts) != acts);
        tracing::info!(acts, "leadership changed");
    }

    async fn failed(&self, error: &kube_lease_manager::LeaseManagerError) {
        tracing::warn!(%error, "the Lease can't be asked for");
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// An item whenever nobody holds the Lease.
fn released(config: &LeaderConfig) -> impl Stream<Item = ()> + Send + use<> {
    let api = Api::<Lease>::namespaced(config.client.clone(), &config.namespace);
    let only = watching().fields(&format!("metadata.name={}", config.lease));
    watcher(api, only).backoff(pauses()).touched_objects().filter_map(async |lease| {
        let spec = lease.ok()?.spec?;
        spec.holder_identity.is_none_or(|holder| holder.is_empty()).then_some(())
    })
}
