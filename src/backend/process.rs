//! Replicas as local processes: the template's first container, started here, each on a loopback port of its own.

mod command;
pub mod guard;
mod output;
mod ports;
mod supervise;
mod support;

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::Child;
use tokio::sync::{Notify, watch};

use crate::backend::{Backend, BackendError, Unsupported};
use crate::model::{Desired, FleetId, Health, NewReplica, Replica, ReplicaName, ReplicaState, ReplicaUid};
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
    guard: Arc<Guard>,
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
    /// Probe settings, which may change while replicas run; of fleets that have any.
    health: HashMap<FleetId, watch::Sender<Health>>,
}

#[derive(Debug)]
struct Entry {
    fleet: FleetId,
    replica: Replica,
    /// How long it was ready before it turned unready last.
    last_ready: Duration,
    stop: Arc<Notify>,
}

/// A replica whose name is entered and whose process is still to be started.
struct Entered {
    uid: ReplicaUid,
    stop: Arc<Notify>,
    health: watch::Receiver<Health>,
}

// === impl ProcessBackend ===

impl ProcessBackend {
    /// A backend without replicas.
    #[must_use]
    pub fn new(config: ProcessConfig) -> Self {
        let ports = Ports::new(std::process::id());
        let guard = Arc::new(Guard::new(config.ringhold.clone()));
        Self { config, ports, guard, shared: Arc::default() }
    }

    /// A failed start in the words of what is to be mended.
    fn cannot_start(&self, program: &Path, error: &std::io::Error) -> String {
        let ringhold = &self.config.ringhold;
        if ringhold.exists() {
            return format!("can't start {}: {error}", program.display());
        }
        let ringhold = ringhold.display();
        format!(
            "Ringhold's own program {ringhold} is gone, and no replica starts without it; put it back or restart Ringhold"
        )
    }

    fn start(&self, desired: &Desired, new: &NewReplica, port: u16) -> Result<Child, BackendError> {
        let container = desired.template.containers.first().ok_or_else(|| BackendError::Rejected {
            reason: "ReplicaRejected",
            message: "spec.template.spec.containers: empty; declare one".to_owned(),
        })?;
        let command = CommandLine::new(container, new, port)?;
        command.spawn(&self.config.ringhold).map_err(|error| BackendError::Rejected {
            reason: "StartFailed",
            message: self.cannot_start(&command.program, &error),
        })
    }

    /// Enters a replica unless its name is taken: looked up and entered in one step, so that of two creates one starts it.
    fn enter(&self, desired: &Desired, new: &NewReplica, address: SocketAddr) -> Option<Entered> {
        let mut state = self.shared.state();
        let is_known = |entry: &Entry| entry.fleet == desired.id && entry.replica.name == new.name;
        if state.replicas.values().any(is_known) {
            return None;
        }
        state.started += 1;
        let uid = ReplicaUid(format!("process-{}", state.started).into());
        let replica = Replica::starting(new.clone(), uid.clone(), address, Timestamp::now());
        let stop = Arc::new(Notify::new());
        let first = || watch::channel(desired.health.clone()).0;
        let health = state.health.entry(desired.id.clone()).or_insert_with(first).subscribe();
        let (fleet, last_ready) = (desired.id.clone(), Duration::ZERO);
        state.replicas.insert(uid.clone(), Entry { fleet, replica, last_ready, stop: Arc::clone(&stop) });
        Some(Entered { uid, stop, health })
    }
}

impl Backend for ProcessBackend {
    fn accept(&self, desired: &Desired) -> Result<(), Vec<Unsupported>> {
        let unsupported = support::unsupported(desired);
        if !unsupported.is_empty() {
            return Err(unsupported);
        }
        if let Some(health) = self.shared.state().health.get(&desired.id) {
            health.send_if_modified(|health| {
                let changes = *health != desired.health;
                health.clone_from(&desired.health);
                changes
            });
        }
        Ok(())
    }

    async fn observe(&self, fleet: &FleetId) -> Result<Vec<Replica>, BackendError> {
        let state = self.shared.state();
        Ok(state.replicas.values().filter(|entry| entry.fleet == *fleet).map(|entry| entry.replica.clone()).collect())
    }

    async fn create(&self, desired: &Desired, new: &NewReplica) -> Result<(), BackendError> {
        self.guard
            .stand()
            .await
            .map_err(|error| BackendError::Unavailable { message: self.cannot_start(&self.config.ringhold, &error) })?;
        let port = self.ports.free().ok_or_else(|| BackendError::Unavailable {
            message: "no loopback port is free for another replica".to_owned(),
        })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Some(Entered { uid, stop, health }) = self.enter(desired, new, address) else { return Ok(()) };
        let child = self.start(desired, new, port).inspect_err(|_| self.shared.state().forget(&uid))?;
        let supervised = Supervised {
            name: new.name.clone(),
            uid,
            address,
            grace: desired.template.termination_grace,
            health,
            stop,
            guard: Arc::clone(&self.guard),
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
            state.forget(uid);
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
    fn change(&self, uid: &ReplicaUid, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.state().replicas.get_mut(uid) {
            change(entry);
        }
        self.changed.notify_one();
    }

    /// The process has ended: one that was told to is forgotten, another is kept as dead.
    fn ended(&self, uid: &ReplicaUid, reason: String) {
        let mut state = self.state();
        if let Some(entry) = state.replicas.get_mut(uid) {
            if entry.replica.state == ReplicaState::Terminating {
                state.forget(uid);
            } else {
                let now = Timestamp::now();
                // Many a replica fails its probes just before it dies; that does not undo how long it served.
                let ready_for = entry.replica.ready_for(now).unwrap_or(entry.last_ready);
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

    /// Forgets a copy, and with the last copy of a fleet what was known of the fleet.
    fn forget(&mut self, uid: &ReplicaUid) {
        let Some(Entry { fleet, .. }) = self.replicas.remove(uid) else { return };
        if !self.replicas.values().any(|entry| entry.fleet == fleet) {
            self.health.remove(&fleet);
        }
    }
}

impl fmt::Debug for ProcessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessConfig").field("ringhold", &self.ringhold).finish_non_exhaustive()
    }
}
