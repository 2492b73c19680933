//! Which requests came, for whoever wants to count them: what is written here outlives a replica that is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use axum::http::{Method, Uri};

/// A file to append lines to.
#[derive(Debug)]
pub(crate) struct RequestLog {
    file: File,
    name: Box<str>,
}

// === impl RequestLog ===

impl RequestLog {
    /// # Errors
    /// The file can't be opened.
    pub(crate) fn open(path: &Path, name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { file, name: name.into() })
    }

    /// A line in one write, so that lines of many replicas do not mix.
    pub(crate) fn note(&self, method: &Method, target: &Uri) {
        let line = format!("{} {method} {target}\n", self.name);
        // A disk that is full is no reason to refuse a request.
        let _ = (&self.file).write(line.as_bytes());
    }
}
