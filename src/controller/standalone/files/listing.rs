//! Which files there are, and what tells that one has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files that are there, folders opened.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<PathBuf>,
    /// Files and folders of which nobody can tell, with the system's words. They are not gone.
    pub(super) unreadable: Vec<(PathBuf, String)>,
    /// Each file once, though two names lead to it.
    known: BTreeSet<PathBuf>,
}

/// Differs after most changes, at the price of one call to the system. Symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

/// By file; `None` where the system does not say.
pub(super) type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// Whether nothing has this name, rather than that the system does not say.
pub(super) fn is_gone(path: &Path) -> bool {
    path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Whether it is named as manifests in folders are.
pub(super) fn is_manifest_name(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

// === impl Listing ===

impl Listing {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut listing = Self::default();
        for path in paths {
            match path.metadata() {
                Ok(metadata) if metadata.is_dir() => match manifests(path) {
                    Ok(files) => files.into_iter().for_each(|file| listing.add(file)),
                    Err(error) => listing.fail(path, &error),
                },
                Ok(_) => listing.add(path.clone()),
                Err(error) => listing.fail(path, &error),
            }
        }
        listing
    }

    fn add(&mut self, file: PathBuf) {
        if self.known.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
            self.files.push(file);
        }
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        if error.kind() != ErrorKind::NotFound {
            self.unreadable.push((path.to_owned(), error.to_string()));
        }
    }

    pub(super) fn stamps(&self) -> Stamps {
        let files = self.files.iter().map(|file| (file.clone(), Stamp::of(file)));
        files.chain(self.unreadable.iter().map(|(path, _)| (path.clone(), None))).collect()
    }
}

/// A folder's manifests, by name.
fn manifests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let file = entry?.path();
        // One that can't be looked at counts as a file, so that it is reported and not taken for removed.
        let is_file = || file.metadata().map_or_else(|error| error.kind() != ErrorKind::NotFound, |it| it.is_file());
        if is_manifest_name(&file) && is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

// === impl Stamp ===

impl Stamp {
    pub(super) fn of(file: &Path) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}
