//! Replicas as local processes: the template's first container, started here, each on a loopback port of its own.

mod command;
pub mod guard;
mod output;
mod ports;
mod supervise;

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, OnceCell, watch};

use crate::backend::{Backend, BackendError, Unsupported};
use crate::model::{Desired, FleetId, Health, NewReplica, Replica, ReplicaName, ReplicaState, ReplicaUid, Traffic};
use command::CommandLine;
use guard::Guard;
use ports::Ports;
use supervise::Supervised;

/// Shows one line of a replica's output.
pub type ShowLine = Arc<dyn Fn(&ReplicaName, &str) + Send + Sync>;

/// How the backend starts processes.
#[derive(Clone)]
pub struct ProcessConfig {
    /// The Ringhold binary, which puts each replica behind [`guard::exec`] and runs [`guard::run`].
    pub ringhold: PathBuf,
    /// Where a replica's output goes.
    pub show: ShowLine,
}

/// The backend. Its replicas live no longer than it does.
#[derive(Debug)]
pub struct ProcessBackend {
    config: ProcessConfig,
    ports: Ports,
    guard: OnceCell<Arc<Guard>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    started: u64,
    replicas: HashMap<ReplicaUid, Entry>,
    health: HashMap<FleetId, watch::Sender<Health>>,
}

#[derive(Debug)]
struct Entry {
    fleet: FleetId,
    replica: Replica,
    stop: Arc<Notify>,
}

// === impl ProcessBackend ===

impl ProcessBackend {
    /// A backend without replicas.
    #[must_use]
    pub fn new(config: ProcessConfig) -> Self {
        let ports = Ports::new(std::process::id());
        Self { config, ports, guard: OnceCell::new(), shared: Arc::default() }
    }

    async fn guard(&self) -> Result<Arc<Guard>, BackendError> {
        let start = || async { Guard::start(&self.config.ringhold).map(Arc::new) };
        self.guard.get_or_try_init(start).await.cloned().map_err(|error| BackendError::Unavailable {
            message: format!("can't start the guard of the replicas, {}: {error}", self.config.ringhold.display()),
        })
    }

    /// Notes a replica that has just been started.
    fn enter(
        &self,
        desired: &Desired,
        new: &NewReplica,
        address: SocketAddr,
    ) -> (ReplicaUid, Arc<Notify>, watch::Receiver<Health>) {
        let mut state = self.shared.state();
        state.started += 1;
        let uid = ReplicaUid(format!("process-{}", state.started).into());
        let NewReplica { name, ordinal, incarnation, template, failures } = new.clone();
        let replica = Replica {
            name,
            uid: uid.clone(),
            ordinal,
            incarnation,
            template,
            failures,
            address: Some(address),
            state: ReplicaState::Starting,
            created_at: Timestamp::now(),
            draining_since: None,
            remove_first: false,
            traffic: Traffic::default(),
        };
        let stop = Arc::new(Notify::new());
        let health = state.health(desired).subscribe();
        state.replicas.insert(uid.clone(), Entry { fleet: desired.id.clone(), replica, stop: Arc::clone(&stop) });
        (uid, stop, health)
    }
}

impl Backend for ProcessBackend {
    fn accept(&self, desired: &Desired) -> Result<(), Vec<Unsupported>> {
        let containers = &desired.template.containers;
        let mut unsupported = Vec::new();
        if containers.len() > 1 {
            unsupported.push(Unsupported {
                path: "spec.template.spec.containers".to_owned(),
                message: format!("{} containers: a local process stands for one; leave one", containers.len()),
            });
        }
        if containers.iter().any(|container| container.command.is_empty()) {
            unsupported.push(Unsupported {
                path: "spec.template.spec.containers[0].command".to_owned(),
                message: "missing: a local process has no image to take it from; name the program to run".to_owned(),
            });
        }
        if unsupported.is_empty() {
            self.shared.state().health(desired).send_if_modified(|health| {
                let changes = *health != desired.health;
                health.clone_from(&desired.health);
                changes
            });
            return Ok(());
        }
        Err(unsupported)
    }

    async fn observe(&self, fleet: &FleetId) -> Result<Vec<Replica>, BackendError> {
        let state = self.shared.state();
        Ok(state.replicas.values().filter(|entry| entry.fleet == *fleet).map(|entry| entry.replica.clone()).collect())
    }

    async fn create(&self, desired: &Desired, new: &NewReplica) -> Result<(), BackendError> {
        let guard = self.guard().await?;
        let is_known = |entry: &Entry| entry.fleet == desired.id && entry.replica.name == new.name;
        if self.shared.state().replicas.values().any(is_known) {
            return Ok(());
        }
        let port = self.ports.free().ok_or_else(|| BackendError::Unavailable {
            message: "no loopback port is free for another replica".to_owned(),
        })?;
        let container = desired.template.containers.first().ok_or_else(|| BackendError::Rejected {
            reason: "ReplicaRejected",
            message: "spec.template.spec.containers: empty; declare one".to_owned(),
        })?;
        let command = CommandLine::new(container, new, port)?;
        let child = command.spawn(&self.config.ringhold).map_err(|error| BackendError::Rejected {
            reason: "StartFailed",
            message: format!("can't start {}: {error}", command.program.display()),
        })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (uid, stop, health) = self.enter(desired, new, address);
        let supervised = Supervised {
            name: new.name.clone(),
            uid,
            address,
            grace: desired.template.termination_grace,
            health,
            stop,
            guard,
            show: Arc::clone(&self.config.show),
            shared: Arc::clone(&self.shared),
        };
        tokio::spawn(supervised.run(child));
        self.shared.changed.notify_one();
        Ok(())
    }

    async fn drain(
        &self,
        fleet: &FleetId,
        name: &ReplicaName,
        uid: &ReplicaUid,
        since: Timestamp,
    ) -> Result<(), BackendError> {
        if let Some(entry) = self.shared.state().find(fleet, name, uid) {
            entry.replica.draining_since.get_or_insert(since);
        }
        self.shared.changed.notify_one();
        Ok(())
    }

    async fn delete(&self, fleet: &FleetId, name: &ReplicaName, uid: &ReplicaUid) -> Result<(), BackendError> {
        let mut state = self.shared.state();
        let Some(entry) = state.find(fleet, name, uid) else { return Ok(()) };
        if matches!(entry.replica.state, ReplicaState::Dead { .. }) {
            state.replicas.remove(uid);
        } else {
            entry.replica.state = ReplicaState::Terminating;
            entry.stop.notify_one();
        }
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

// === impl Shared, State ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a replica, if it still is known.
    fn change(&self, uid: &ReplicaUid, change: impl FnOnce(&mut Replica)) {
        if let Some(entry) = self.state().replicas.get_mut(uid) {
            change(&mut entry.replica);
        }
        self.changed.notify_one();
    }

    /// The process has ended: one that was told to is forgotten, another is kept as dead.
    fn ended(&self, uid: &ReplicaUid, reason: String) {
        let mut state = self.state();
        if let Some(entry) = state.replicas.get_mut(uid) {
            if entry.replica.state == ReplicaState::Terminating {
                state.replicas.remove(uid);
            } else {
                let now = Timestamp::now();
                let ready_for = entry.replica.ready_for(now).unwrap_or(Duration::ZERO);
                entry.replica.state = ReplicaState::Dead { since: now, ready_for, reason };
            }
        }
        drop(state);
        self.changed.notify_one();
    }
}

impl State {
    /// The copy that is meant, if it is this fleet's and bears this name.
    fn find(&mut self, fleet: &FleetId, name: &ReplicaName, uid: &ReplicaUid) -> Option<&mut Entry> {
        self.replicas.get_mut(uid).filter(|entry| entry.fleet == *fleet && entry.replica.name == *name)
    }

    /// The fleet's probe settings, which may change while its replicas run.
    fn health(&mut self, desired: &Desired) -> &watch::Sender<Health> {
        self.health.entry(desired.id.clone()).or_insert_with(|| watch::channel(desired.health.clone()).0)
    }
}

impl fmt::Debug for ProcessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessConfig").field("ringhold", &self.ringhold).finish_non_exhaustive()
    }
}
