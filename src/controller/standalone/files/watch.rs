//! The system's own word that a file has changed. It comes at once, and not in every case: see [`Watch::renew`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::controller::standalone::files::listing::is_manifest_name;

/// Watched folders.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    events: mpsc::UnboundedReceiver<()>,
    /// The folder that each watch is on, for its name may come to mean another.
    folders: BTreeMap<PathBuf, Option<Inode>>,
}

/// Device and number.
type Inode = (u64, u64);

/// What of a folder matters: a log that somebody writes beside the manifests does not.
#[derive(Debug)]
struct Filter {
    names: BTreeSet<OsString>,
    manifests: bool,
    folders: BTreeSet<PathBuf>,
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

// === impl Watch ===

impl Watch {
    pub(super) fn start(paths: &[PathBuf]) -> Result<Self, WatchError> {
        if let Some(missing) = paths.iter().find(|path| !path.exists()) {
            return Err(WatchError::Missing(missing.clone()));
        }
        // A file is watched through its folder: editors replace files, and a replaced file is another one.
        let folders = paths.iter().map(|path| if path.is_dir() { path.clone() } else { parent(path) });
        let folders: BTreeMap<_, _> = folders.map(|folder| (folder.clone(), inode(&folder))).collect();
        let filter = Filter {
            names: paths.iter().filter_map(|path| path.file_name()).map(OsString::from).collect(),
            manifests: paths.iter().any(|path| path.is_dir()),
            folders: folders.keys().filter_map(|folder| std::path::absolute(folder).ok()).collect(),
        };
        let (sender, events) = mpsc::unbounded_channel();
        let on_event = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| filter.lets_through(&event)) {
                // The receiver is gone only when nobody wants to know any more.
                let _ = sender.send(());
            }
        };
        let failed = |path: &Path, error| WatchError::Watch(path.to_owned(), error);
        let mut watcher = notify::recommended_watcher(on_event).map_err(|error| failed(Path::new("."), error))?;
        for folder in folders.keys() {
            watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| failed(folder, error))?;
        }
        Ok(Self { watcher, events, folders })
    }

    /// Returns with the next event; never, where there will be none.
    pub(super) async fn event(&mut self) {
        if self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Forgets the events that have come.
    pub(super) fn forget(&mut self) {
        while self.events.try_recv().is_ok() {}
    }

    /// A watch is on a folder and not on its name. Where another folder has the name by now, watches that one; true if
    /// there was any.
    pub(super) fn renew(&mut self) -> bool {
        let mut is_moved = false;
        for (folder, watched) in &mut self.folders {
            let now = inode(folder);
            if now == *watched {
                continue;
            }
            is_moved = true;
            drop(self.watcher.unwatch(folder)); // the system has ended it itself where the folder was removed
            let is_watched = now.is_some() && self.watcher.watch(folder, RecursiveMode::NonRecursive).is_ok();
            *watched = now.filter(|_| is_watched); // else tried again at the next look
        }
        is_moved
    }
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn inode(folder: &Path) -> Option<Inode> {
    folder.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

// === impl Filter ===

impl Filter {
    fn lets_through(&self, event: &Event) -> bool {
        let matters = |path: &PathBuf| {
            path.file_name().is_some_and(|name| self.names.contains(name))
                || (self.manifests && is_manifest_name(path))
                || self.folders.contains(path)
        };
        !event.kind.is_access() && (event.need_rescan() || event.paths.iter().any(matters))
    }
}
