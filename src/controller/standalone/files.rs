//! The files that declare LoadBalancers, read whole and watched for changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::api::LoadBalancer;
use crate::controller::manifest::{self, ManifestError};

/// An editor writes a file in several steps; this long after the last of them it is read.
const QUIET: Duration = Duration::from_millis(150);
/// A file that is missing may be on its way back under its name; gone for so long it counts as removed.
const MISSING: Duration = Duration::from_millis(500);

/// Watched files and folders.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    events: mpsc::UnboundedReceiver<()>,
    _watcher: RecommendedWatcher,
    /// Something has changed since the last load.
    is_stale: bool,
}

/// Everything that the files say.
pub(super) struct Loaded {
    /// In the order of files and documents.
    pub(super) declared: Vec<(PathBuf, LoadBalancer)>,
    /// What can't be used, by file.
    pub(super) problems: Vec<(PathBuf, ManifestError)>,
    /// Files that are there and can't be used: what came from them before stays.
    pub(super) unreadable: BTreeSet<PathBuf>,
}

/// Why files can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No such file or folder.
    #[error("-f {}: no such file or folder", .0.display())]
    Missing(PathBuf),
    /// The system refused.
    #[error("can't watch {} for changes", .0.display())]
    Watch(PathBuf, #[source] notify::Error),
}

// === impl Files ===

impl Files {
    /// Watches these files and folders from now on.
    pub(super) fn watch(paths: &[PathBuf]) -> Result<Self, WatchError> {
        let (sender, events) = mpsc::unbounded_channel();
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // The receiver is gone only when nobody wants to know any more.
                let _ = sender.send(());
            }
        };
        let failed = |path: &Path, error| WatchError::Watch(path.to_owned(), error);
        let mut watcher = notify::recommended_watcher(on_event).map_err(|error| failed(Path::new("."), error))?;
        let mut folders = BTreeSet::new();
        for path in paths {
            if !path.exists() {
                return Err(WatchError::Missing(path.clone()));
            }
            // A file is watched through its folder: editors replace files, and a replaced file is another one.
            folders.insert(if path.is_dir() { path.clone() } else { parent(path) });
        }
        for folder in folders {
            watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(|error| failed(&folder, error))?;
        }
        Ok(Self { paths: paths.to_vec(), events, _watcher: watcher, is_stale: false })
    }

    /// Returns once something has changed and been quiet for a moment. Cancelling it loses no change.
    pub(super) async fn changed(&mut self) {
        if !self.is_stale {
            if self.events.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            self.is_stale = true;
        }
        loop {
            let quiet = if self.paths.iter().all(|path| path.exists()) { QUIET } else { MISSING };
            match tokio::time::timeout(quiet, self.events.recv()).await {
                Ok(Some(())) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Reads everything.
    pub(super) fn load(&mut self) -> Loaded {
        self.is_stale = false;
        let mut loaded = Loaded { declared: Vec::new(), problems: Vec::new(), unreadable: BTreeSet::new() };
        for file in self.files() {
            match read(&file) {
                Ok(resources) => loaded.add(&file, resources),
                Err(problem) => loaded.fail(&file, problem),
            }
        }
        loaded
    }

    /// The files that are there, folders opened.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in self.paths.iter().filter(|path| path.exists()) {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
                let mut inside: Vec<_> = entries.filter(|file| is_manifest(file)).collect();
                inside.sort();
                files.extend(inside);
            } else {
                files.push(path.clone());
            }
        }
        files
    }
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn is_manifest(file: &Path) -> bool {
    file.is_file()
        && file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
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
    fn add(&mut self, file: &Path, resources: Vec<LoadBalancer>) {
        for resource in resources {
            let name = |resource: &LoadBalancer| (resource.metadata.namespace.clone(), resource.metadata.name.clone());
            match self.declared.iter().find(|(_, other)| name(other) == name(&resource)) {
                Some((first, _)) => {
                    let (file, name) = (file.to_owned(), resource.metadata.name.unwrap_or_default());
                    let problem = ManifestError::DeclaredTwice { file: file.clone(), first: first.clone(), name };
                    self.problems.push((file, problem));
                }
                None => self.declared.push((file.to_owned(), resource)),
            }
        }
    }

    fn fail(&mut self, file: &Path, problem: ManifestError) {
        self.unreadable.insert(file.to_owned());
        self.problems.push((file.to_owned(), problem));
    }
}
