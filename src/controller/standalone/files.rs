//! The files that declare LoadBalancers, read whole and watched for changes.

mod listing;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::LoadBalancer;
use crate::controller::manifest::{self, ManifestError, identity};
use crate::model::FleetId;
use listing::{Listing, Stamp, Stamps, is_gone};
use watch::Watch;

pub use watch::WatchError;

/// An editor writes a file in several steps; this long after the last of them it is read.
const QUIET: Duration = Duration::from_millis(150);
/// So long after the first step it is read although the steps go on.
const LONGEST: Duration = Duration::from_secs(1);
/// A file that is missing may be on its way back under its name; gone for so long it counts as removed.
const MISSING: Duration = Duration::from_millis(500);
/// Some changes come without an event: behind a symbolic link, or in a folder that took another's place. So often the
/// files are compared with what they were.
const LOOK: Duration = Duration::from_secs(2);

/// Watched files and folders.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Files that belong to the manifests and are read with them. No event tells of them.
    beside: BTreeSet<PathBuf>,
    watch: Watch,
    /// A change that has not been read yet. It stays here while nobody waits for it.
    pending: Option<Pending>,
    next_look: Instant,
    /// What the files were when they were last read.
    stamps: Stamps,
    /// Which file each LoadBalancer came from.
    sources: BTreeMap<FleetId, PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Instant,
    last: Instant,
    missing_since: Option<Instant>,
}

/// Everything that the files say.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// In the order of files and documents.
    pub(super) declared: Vec<(PathBuf, LoadBalancer)>,
    /// What can't be used, by file.
    pub(super) problems: Vec<(PathBuf, ManifestError)>,
    /// Files that are there, or may be, and can't be used: what came from them before stays.
    pub(super) unreadable: BTreeSet<PathBuf>,
}

// === impl Files ===

impl Files {
    /// Watches these files and folders from now on.
    pub(super) fn watch(paths: &[PathBuf]) -> Result<Self, WatchError> {
        Ok(Self {
            paths: paths.to_vec(),
            beside: BTreeSet::new(),
            watch: Watch::start(paths)?,
            pending: None,
            next_look: Instant::now() + LOOK,
            stamps: Stamps::new(),
            sources: BTreeMap::new(),
        })
    }

    /// Returns once something has changed and been quiet for a moment. Cancelling it loses neither a change nor the time
    /// that has been waited already.
    pub(super) async fn changed(&mut self) {
        loop {
            let now = Instant::now();
            if now >= self.next_look {
                self.look(now);
            }
            let due = self.due(now);
            if due.is_some_and(|due| due <= now) {
                return;
            }
            let wake = due.map_or(self.next_look, |due| due.min(self.next_look));
            tokio::select! {
                () = self.watch.event() => self.note(Instant::now()),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Looks at these files as well. What has changed since they were read first is noticed, too: they are read once more.
    pub(super) fn follow(&mut self, beside: BTreeSet<PathBuf>) {
        if self.beside != beside {
            self.beside = beside;
            self.note(Instant::now());
        }
    }

    fn stamps(&self, listing: &Listing) -> Stamps {
        let mut stamps = listing.stamps();
        stamps.extend(self.beside.iter().map(|file| (file.clone(), Stamp::of(file))));
        stamps
    }

    fn note(&mut self, now: Instant) {
        let pending = self.pending.get_or_insert(Pending { first: now, last: now, missing_since: None });
        pending.last = now;
    }

    /// When the pending change is to be read.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let pending = self.pending.as_mut()?;
        let is_missing = self.stamps.iter().any(|(file, stamp)| stamp.is_some() && is_gone(file));
        pending.missing_since = is_missing.then(|| pending.missing_since.unwrap_or(now));
        let due = (pending.last + QUIET).min(pending.first + LONGEST);
        Some(pending.missing_since.map_or(due, |since| due.max(since + MISSING)))
    }

    /// Looks for what no event has told.
    fn look(&mut self, now: Instant) {
        self.next_look = now + LOOK;
        let is_moved = self.watch.renew();
        if is_moved || self.stamps(&Listing::of(&self.paths)) != self.stamps {
            self.note(now);
        }
    }

    /// Reads everything.
    pub(super) fn load(&mut self) -> Loaded {
        self.pending = None;
        self.watch.forget();
        let listing = Listing::of(&self.paths);
        self.stamps = self.stamps(&listing); // before the reading: what changes meanwhile differs from them at the next look
        let mut loaded = Loaded::default();
        for (path, message) in listing.unreadable {
            loaded.fail_below(&path, &message, self.sources.values());
        }
        let mut resources = Vec::new();
        for file in listing.files {
            match read(&file) {
                Ok(found) => resources.extend(found.into_iter().map(|resource| (file.clone(), resource))),
                Err(problem) => loaded.fail(&file, problem),
            }
        }
        loaded.declare(resources, &self.sources);
        self.sources.retain(|_, file| loaded.unreadable.contains(file));
        self.sources.extend(loaded.declared.iter().map(|(file, resource)| (identity(resource), file.clone())));
        loaded
    }
}

fn read(file: &Path) -> Result<Vec<LoadBalancer>, ManifestError> {
    let resources = manifest::read(file)?;
    if resources.is_empty() {
        // A file cut short by an editor must not stop a fleet.
        return Err(ManifestError::Empty { file: file.to_owned() });
    }
    Ok(resources)
}

// === impl Loaded ===

impl Loaded {
    /// Takes each LoadBalancer once. Of several files the one that it came from last time has it, so that a copy takes
    /// nothing over; that holds also while that file can't be read.
    fn declare(&mut self, resources: Vec<(PathBuf, LoadBalancer)>, sources: &BTreeMap<FleetId, PathBuf>) {
        let mut owners: BTreeMap<FleetId, PathBuf> = BTreeMap::new();
        for (file, resource) in &resources {
            let id = identity(resource);
            let source = sources.get(&id).filter(|source| *source == file || self.unreadable.contains(*source));
            match source {
                Some(source) => drop(owners.insert(id, source.clone())),
                None => drop(owners.entry(id).or_insert_with(|| file.clone())),
            }
        }
        let mut taken = BTreeSet::new();
        for (file, resource) in resources {
            let id = identity(&resource);
            let first = &owners[&id];
            if *first == file && taken.insert(id) {
                self.declared.push((file, resource));
            } else {
                let name = resource.metadata.name.unwrap_or_default();
                let problem = ManifestError::DeclaredTwice { file: file.clone(), first: first.clone(), name };
                self.problems.push((file, problem));
            }
        }
    }

    fn fail(&mut self, file: &Path, problem: ManifestError) {
        self.unreadable.insert(file.to_owned());
        self.problems.push((file.to_owned(), problem));
    }

    /// A file or a whole folder that can't be looked into. No fleet that came from there may go for that.
    fn fail_below<'a>(&mut self, path: &Path, message: &str, sources: impl Iterator<Item = &'a PathBuf>) {
        let problem = ManifestError::Read { file: path.to_owned(), message: message.to_owned() };
        let known: BTreeSet<_> = sources.filter(|file| file.starts_with(path)).collect();
        if known.is_empty() {
            self.fail(path, problem);
            return;
        }
        for file in known {
            self.fail(file, problem.clone());
        }
    }
}
