//! All LoadBalancers that this process knows, and who listens where.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::fleet::ClusterFleet;
use super::routing::Routing;
use crate::api::{ListenerInForce, LoadBalancer};
use crate::controller::claims::{Conflict, conflict};
use crate::controller::manifest::identity;
use crate::controller::validate::{listener_tls, validate};
use crate::model::{FleetId, FleetUid, Listener};

/// Shared by all looks.
pub(super) struct Registry {
    entries: Mutex<HashMap<FleetId, Entry>>,
    again: mpsc::UnboundedSender<FleetId>,
    looks: watch::Sender<u64>,
}

struct Entry {
    uid: FleetUid,
    fleet: Arc<tokio::sync::Mutex<ClusterFleet>>,
    /// The port and hosts that it has.
    held: Option<Listener>,
    /// It asks for something that it does not get, and waits.
    is_refused: bool,
    was_looked_at: bool,
    routing: Arc<Routing>,
}

// === impl Registry ===

impl Registry {
    /// `again` gets the fleets that should be looked at once more.
    pub(super) fn new(again: mpsc::UnboundedSender<FleetId>) -> Self {
        Self { entries: Mutex::default(), again, looks: watch::Sender::default() }
    }

    /// The fleet of a resource; a new one where the resource is a new one, though of an old name.
    pub(super) fn fleet(&self, resource: &LoadBalancer) -> Arc<tokio::sync::Mutex<ClusterFleet>> {
        let id = identity(resource);
        let uid = FleetUid(resource.metadata.uid.as_deref().unwrap_or_default().into());
        let mut entries = self.entries();
        let entry = entries.entry(id.clone()).or_insert_with(|| Entry::new(&id, uid.clone()));
        if entry.uid != uid {
            *entry = Entry::new(&id, uid);
        }
        Arc::clone(&entry.fleet)
    }

    pub(super) fn ids(&self) -> Vec<FleetId> {
        self.entries().keys().cloned().collect()
    }

    /// Forgets a fleet; what it held is free. Nothing where `uid` names another than the one that is known.
    pub(super) fn remove(&self, id: &FleetId, uid: Option<&FleetUid>) -> Option<Arc<tokio::sync::Mutex<ClusterFleet>>> {
        let mut entries = self.entries();
        if uid.is_some_and(|uid| entries.get(id).is_some_and(|entry| entry.uid != *uid)) {
            return None;
        }
        let entry = entries.remove(id)?;
        self.wake_refused(&entries);
        self.looks.send_modify(|looks| *looks += 1);
        Some(entry.fleet)
    }

    /// Gives a fleet the port and hosts that it asks for, in place of those that it has; returns these.
    ///
    /// Whoever has them keeps them. Where that is not settled yet, because the other was not looked at since this
    /// process began, its status says what it had; without one, the older resource goes first. All processes see the same
    /// resources, so they decide alike.
    pub(super) fn claim(
        &self,
        resource: &LoadBalancer,
        listener: &Listener,
        others: &[Arc<LoadBalancer>],
    ) -> Result<Option<Listener>, Conflict> {
        let id = identity(resource);
        let mut entries = self.entries();
        let mut rivals: Vec<(FleetId, Listener)> = Vec::new();
        let has_it = in_force(resource).as_ref() == Some(listener);
        for other in others {
            let other_id = identity(other);
            if other_id == id {
                continue;
            }
            let entry = entries.get(&other_id);
            if let Some(held) = entry.and_then(|entry| entry.held.clone()) {
                rivals.push((other_id, held));
            } else if !has_it && !entry.is_some_and(|entry| entry.was_looked_at) {
                let asked = in_force(other).or_else(|| {
                    (age(other) < age(resource)).then(|| Some(validate(other).ok()?.route.listener.clone())).flatten()
                });
                rivals.extend(asked.map(|listener| (other_id, listener)));
            }
        }
        if let Some(conflict) = conflict(listener, rivals.iter().map(|(owner, listener)| (owner, listener))) {
            return Err(conflict);
        }
        Ok(self.replace(&mut entries, &id, Some(listener.clone())))
    }

    /// Takes a claim back.
    pub(super) fn hold(&self, id: &FleetId, listener: Option<Listener>) {
        let mut entries = self.entries();
        self.replace(&mut entries, id, listener);
    }

    fn replace(
        &self,
        entries: &mut HashMap<FleetId, Entry>,
        id: &FleetId,
        listener: Option<Listener>,
    ) -> Option<Listener> {
        let entry = entries.get_mut(id)?;
        let before = std::mem::replace(&mut entry.held, listener);
        if before.is_some() && before != entry.held {
            self.wake_refused(entries); // what it had may be what others wait for
        }
        before
    }

    fn wake_refused(&self, entries: &HashMap<FleetId, Entry>) {
        for (id, _) in entries.iter().filter(|(_, entry)| entry.is_refused) {
            // Nobody listens any more: we are shutting down.
            let _ = self.again.send(id.clone());
        }
    }

    /// What a fleet's routes follow from.
    pub(super) fn routing(&self, id: &FleetId) -> Option<Arc<Routing>> {
        self.entries().get(id).map(|entry| Arc::clone(&entry.routing))
    }

    /// A look is over.
    pub(super) fn end(&self, id: &FleetId, is_refused: bool) {
        if let Some(entry) = self.entries().get_mut(id) {
            entry.is_refused = is_refused;
            if std::mem::replace(&mut entry.was_looked_at, true) {
                return;
            }
        }
        self.looks.send_modify(|looks| *looks += 1);
    }

    /// Returns once all of these have been looked at, or removed. One that is created meanwhile is not waited for.
    pub(super) async fn looked_at(&self, mut pending: Vec<FleetId>, exists: impl Fn(&FleetId) -> bool) {
        let mut looks = self.looks.subscribe();
        loop {
            looks.borrow_and_update();
            {
                let entries = self.entries();
                pending.retain(|id| exists(id) && !entries.get(id).is_some_and(|entry| entry.was_looked_at));
            }
            if pending.is_empty() || looks.changed().await.is_err() {
                return;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<FleetId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(id: &FleetId, uid: FleetUid) -> Self {
        let routing = Arc::new(Routing::default());
        let fleet = Arc::new(tokio::sync::Mutex::new(ClusterFleet::new(id.clone(), Arc::clone(&routing))));
        Self { uid, fleet, held: None, is_refused: false, was_looked_at: false, routing }
    }
}

/// Where the resource was last accepted to listen.
pub(super) fn in_force(resource: &LoadBalancer) -> Option<Listener> {
    let listener = resource.status.as_ref()?.listener.as_ref()?;
    let ListenerInForce { port, hostnames, tls } = listener;
    let tls = tls.as_ref().map(listener_tls);
    Some(Listener { port: u16::try_from(*port).ok()?, hostnames: hostnames.clone(), tls })
}

/// Sorts the oldest first.
fn age(resource: &LoadBalancer) -> impl Ord + use<> {
    let created = resource.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, identity(resource))
}
