//! What is known of all our pods: what the watch has delivered, and our own writes that it has not delivered yet.
//! Synchronous and without a clock, so that every order of events can be tried.
//!
//! A write's answer is entered at once, so that the next tick does not plan on an older picture. It then is
//! **unconfirmed**, until the watch has come so far:
//!
//! - Versions only rise: an event older than what is entered changes nothing, and one as new confirms it.
//! - The watch delivers in the order of versions. Once it has delivered anything as new as an unconfirmed write, it has
//!   passed that write's pod by: the pod is gone, and so is the entry.
//! - A list is read from a quorum. One that began after the write was answered shows the pod, or the pod is gone.
//! - Who finds that the pod is gone says so ([`Index::forget`]).
//!
//! So nothing unconfirmed stays longer than the watch needs. A later delivery of the watch always mends what an earlier
//! one or an answer got wrong.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::pod::{Past, Sighting};
use super::version::Version;
use crate::model::{FleetId, FleetUid, Replica, ReplicaName, ReplicaUid};

/// The pods, by uid and by fleet.
#[derive(Debug, Default)]
pub(super) struct Index {
    pods: HashMap<ReplicaUid, Known>,
    /// Which LoadBalancer is meant by a fleet's name, of those that were accepted.
    owners: HashMap<FleetId, FleetUid>,
    fleets: HashMap<FleetId, HashSet<ReplicaUid>>,
    /// Our writes that the watch has not delivered yet.
    unconfirmed: HashMap<ReplicaUid, Unconfirmed>,
    /// The newest version that the watch has delivered.
    delivered: Version,
    /// So many lists have been begun.
    lists: u64,
    /// What the running list has shown so far.
    listed: Listed,
    /// Accepted fleets whose pods have changed since they were last taken.
    touched: BTreeSet<FleetId>,
    /// Whether any has since this was last asked.
    changed: bool,
}

#[derive(Debug)]
struct Known {
    sighting: Sighting,
    past: Past,
    /// Both as one, ready to be observed.
    replica: Replica,
}

#[derive(Debug)]
struct Unconfirmed {
    version: Version,
    /// So many lists had been begun when the write was answered.
    lists: u64,
}

#[derive(Debug, Default)]
struct Listed {
    uids: HashSet<ReplicaUid>,
    newest: Version,
}

// === impl Index ===

impl Index {
    /// From now on this LoadBalancer's pods are the fleet's replicas, and none of an earlier one of its name.
    pub(super) fn accept(&mut self, fleet: FleetId, owner: FleetUid) {
        self.owners.insert(fleet, owner);
    }

    /// Nobody is told of this fleet any more, unless another LoadBalancer bears its name by now.
    pub(super) fn dismiss(&mut self, fleet: &FleetId, owner: &FleetUid) {
        if self.owners.get(fleet) == Some(owner) {
            self.owners.remove(fleet);
            self.touched.remove(fleet);
        }
    }

    /// The watch begins anew with a list.
    pub(super) fn begin_list(&mut self) {
        self.lists += 1;
        self.listed = Listed::default();
    }

    /// The list has shown a pod.
    pub(super) fn list(&mut self, sighting: Sighting, now: Timestamp) {
        self.listed.uids.insert(sighting.uid.clone());
        raise(&mut self.listed.newest, &sighting.version);
        self.watched(sighting, now);
    }

    /// The list is through: what it has not shown is gone, but for what was written while it ran.
    pub(super) fn end_list(&mut self) {
        let Listed { uids, newest } = std::mem::take(&mut self.listed);
        let written_since = |uid| self.unconfirmed.get(uid).is_some_and(|write| write.lists == self.lists);
        let gone = self.pods.keys().filter(|uid| !uids.contains(*uid) && !written_since(uid));
        for uid in gone.cloned().collect::<Vec<_>>() {
            self.forget(&uid);
        }
        self.deliver(&newest);
    }

    /// The watch has delivered a pod of ours.
    pub(super) fn apply(&mut self, sighting: Sighting, now: Timestamp) {
        let version = sighting.version.clone();
        self.watched(sighting, now);
        self.deliver(&version);
    }

    /// The watch has delivered that a pod is gone, or is none of ours any more.
    pub(super) fn remove(&mut self, uid: &ReplicaUid, version: &Version) {
        self.forget(uid);
        self.deliver(version);
    }

    /// The API server has answered a change of ours to a pod that we knew. Where it is not known any more it is gone, and
    /// no answer that comes late brings it back. Its version could not tell: where a kubelet's delete overtakes ours, the
    /// answer has none.
    pub(super) fn rewrite(&mut self, sighting: Sighting, now: Timestamp) {
        if self.pods.contains_key(&sighting.uid) {
            self.write(sighting, now);
        }
    }

    /// The API server has answered a write of ours with the pod.
    pub(super) fn write(&mut self, sighting: Sighting, now: Timestamp) {
        let (uid, version) = (sighting.uid.clone(), sighting.version.clone());
        let is_known = self.pods.get(&uid).is_some_and(|known| known.sighting.version == version);
        // Where the watch was faster it has delivered this version of the pod, or that the pod is gone.
        if !is_known && !self.delivered.reaches(&version) && self.enter(sighting, now) {
            self.unconfirmed.insert(uid, Unconfirmed { version, lists: self.lists });
        }
    }

    /// A pod is gone for certain; no uid ever comes back.
    pub(super) fn forget(&mut self, uid: &ReplicaUid) {
        self.unconfirmed.remove(uid);
        let Some(Known { sighting, .. }) = self.pods.remove(uid) else { return };
        if let Some(uids) = self.fleets.get_mut(&sighting.fleet) {
            uids.remove(uid);
            if uids.is_empty() {
                self.fleets.remove(&sighting.fleet);
            }
        }
        self.touch(sighting.fleet);
    }

    /// A fleet's replicas; `None`: it was not accepted.
    pub(super) fn replicas(&self, fleet: &FleetId) -> Option<Vec<Replica>> {
        let owner = self.owners.get(fleet)?;
        let known = self.fleets.get(fleet).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        Some(known.filter(|known| known.sighting.owner == *owner).map(|known| known.replica.clone()).collect())
    }

    /// The copy that is meant, if it is this fleet's and bears this name.
    pub(super) fn find(&self, fleet: &FleetId, name: &ReplicaName, uid: &ReplicaUid) -> Option<&Sighting> {
        let sighting = &self.pods.get(uid)?.sighting;
        let is_ours = self.owners.get(fleet) == Some(&sighting.owner);
        (is_ours && sighting.fleet == *fleet && sighting.name == *name).then_some(sighting)
    }

    /// A fleet whose replicas have changed since it was last taken.
    pub(super) fn take_touched(&mut self) -> Option<FleetId> {
        self.touched.pop_first()
    }

    /// Whether any replica has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Also for a pod of an earlier LoadBalancer of the name: the next one may wait for its end.
    fn touch(&mut self, fleet: FleetId) {
        if self.owners.contains_key(&fleet) {
            self.touched.insert(fleet);
            self.changed = true;
        }
    }

    fn watched(&mut self, sighting: Sighting, now: Timestamp) {
        let uid = sighting.uid.clone();
        if self.enter(sighting, now) {
            self.unconfirmed.remove(&uid);
        }
    }

    /// Enters a pod unless a newer version of it is known. Returns whether it was entered.
    fn enter(&mut self, sighting: Sighting, now: Timestamp) -> bool {
        let uid = sighting.uid.clone();
        let mut past = Past::default();
        let mut before = None;
        if let Some(known) = self.pods.get(&uid) {
            if known.sighting.version.is_newer_than(&sighting.version) {
                return false;
            }
            past.clone_from(&known.past);
            before = Some((known.sighting.fleet.clone(), known.sighting.owner.clone(), known.replica.clone()));
        }
        past.note(&sighting, now);
        let replica = sighting.replica(&past);
        let after = Some((sighting.fleet.clone(), sighting.owner.clone(), replica.clone()));
        if before != after {
            self.forget(&uid); // also where somebody has made it another fleet's
            self.touch(sighting.fleet.clone());
            self.fleets.entry(sighting.fleet.clone()).or_default().insert(uid.clone());
        }
        self.pods.insert(uid, Known { sighting, past, replica });
        true
    }

    /// The watch has come so far. What was written before is confirmed by now; where it is not, the pod is gone.
    fn deliver(&mut self, version: &Version) {
        raise(&mut self.delivered, version);
        let passed = self.unconfirmed.iter().filter(|(_, write)| version.reaches(&write.version));
        for uid in passed.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.forget(&uid);
        }
    }
}

fn raise(highest: &mut Version, version: &Version) {
    if *highest == Version::default() || version.is_newer_than(highest) {
        highest.clone_from(version);
    }
}
