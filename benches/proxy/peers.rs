//! The proxies, each set up for the same work: where they are found, and how they are started.
//!
//! Each has one worker, keeps its connections to replicas and clients, hashes the same key consistently, tells replicas the
//! client's address, and writes no access log. Beyond that they are as they come, except where a default would only hold
//! one of them back; each file says so.

mod envoy;
mod haproxy;
mod nginx;
mod pingora;
mod ringhold;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::admin::Admin;
use crate::certificate::Certificate;
use crate::cores::Cores;
use crate::process::Process;

/// Whose program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Nobody's: the load goes straight to a replica.
    Direct,
    Nginx,
    Haproxy,
    Envoy,
    Pingora,
    Ringhold,
}

/// One of those that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    /// With bounded load; only Ringhold has it.
    pub(crate) is_bounded: bool,
}

/// What a proxy is started for.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// Its own, for whatever it writes.
    pub(crate) folder: &'a Path,
    pub(crate) port: u16,
    /// Where Ringhold's admin API is to be.
    pub(crate) admin: Admin,
    /// The replicas' ports; Ringhold starts replicas of its own.
    pub(crate) replicas: &'a [u16],
    pub(crate) front: Front,
    pub(crate) key: Key,
    pub(crate) workers: u8,
    pub(crate) is_bounded: bool,
    pub(crate) certificate: &'a Certificate,
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    Http1,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 without TLS, without a word before.
    Http2,
}

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The header `X-Key`.
    Header,
    /// The path, for h2load can't vary headers.
    Path,
}

/// A command line.
pub(crate) type Arguments = Vec<OsString>;

// === impl Kind ===

impl Kind {
    const PEERS: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Envoy, Self::Pingora];

    fn label(self) -> &'static str {
        match self {
            Self::Direct => "no proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Pingora => "Pingora",
            Self::Ringhold => "Ringhold",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Direct => "true",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Pingora => "pingora",
            Self::Ringhold => "ringhold",
        }
    }

    /// What says its version, and what of it.
    fn version(self, program: &Path) -> String {
        let (argument, before, after) = match self {
            Self::Direct => return String::new(),
            // It has none to ask; its lock file says.
            Self::Pingora => return pingora::VERSION.trim().to_owned(),
            Self::Nginx => ("-v", "nginx/", ' '),
            Self::Haproxy => ("-v", "version ", ' '),
            Self::Envoy => ("--version", "version: ", '/'),
            Self::Ringhold => ("--version", "ringhold ", ' '),
        };
        let Ok(output) = Command::new(program).arg(argument).output() else { return "?".to_owned() };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let version = line.split_once(before).map_or(line, |(_, version)| version);
        // Envoy names the commit before its version.
        let place = usize::from(self == Self::Envoy);
        version.split(after).nth(place).unwrap_or_default().trim().to_owned()
    }
}

// === impl Peer ===

impl Peer {
    pub(crate) fn direct() -> Self {
        let kind = Kind::Direct;
        let name = kind.label().to_owned();
        Self { kind, name, program: PathBuf::new(), version: String::new(), is_bounded: false }
    }

    /// All others than Ringhold that are there, and the names of those that are not.
    pub(crate) fn others(wanted: impl Fn(Kind) -> bool) -> (Vec<Self>, Vec<&'static str>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for kind in Kind::PEERS.into_iter().filter(|kind| wanted(*kind)) {
            match find(kind.program()) {
                Some(program) => found.push(Self::of(kind, kind.label(), program)),
                None => missing.push(kind.label()),
            }
        }
        (found, missing)
    }

    pub(crate) fn ringhold(label: Option<&str>, program: PathBuf) -> Self {
        Self::of(Kind::Ringhold, label.unwrap_or(Kind::Ringhold.label()), program)
    }

    /// The same with bounded load.
    pub(crate) fn bounded(&self) -> Self {
        Self { is_bounded: true, ..self.renamed(", bounded") }
    }

    pub(crate) fn renamed(&self, suffix: &str) -> Self {
        Self { name: format!("{}{suffix}", self.name), ..self.clone() }
    }

    /// What a Ringhold of another age can't do.
    pub(crate) fn lacks(&self, front: Front) -> Option<&'static str> {
        let says = |argument: &[&str], word: &str| {
            let output = Command::new(&self.program).args(argument).output();
            output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(word))
        };
        match front {
            Front::Tls if !says(&["crd"], "certificateFile") => Some("it has no TLS yet"),
            Front::Http2 if !says(&["local", "--help"], "HTTP/2") => Some("it has no HTTP/2 yet"),
            _ => None,
        }
        .filter(|_| self.kind == Kind::Ringhold)
    }

    fn of(kind: Kind, label: &str, program: PathBuf) -> Self {
        let version = kind.version(&program);
        Self { kind, name: label.to_owned(), program, version, is_bounded: false }
    }

    /// Starts it. It may not answer yet.
    pub(crate) fn start(&self, setup: &Setup<'_>, cores: Cores) -> anyhow::Result<Process> {
        let arguments = match self.kind {
            Kind::Direct => anyhow::bail!("nothing is no program"),
            Kind::Nginx => nginx::prepare(setup)?,
            Kind::Haproxy => haproxy::prepare(setup)?,
            Kind::Envoy => envoy::prepare(setup)?,
            Kind::Pingora => pingora::prepare(setup),
            Kind::Ringhold => ringhold::prepare(setup)?,
        };
        let process = Process::start(cores, setup.folder, &self.program, &arguments, &[])?;
        Ok(process.with_workers(self.kind == Kind::Nginx))
    }
}

/// A program: the one that was prepared, or else one that is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let prepared =
        cache.iter().flat_map(|cache| ["ringhold/bench-proxy", "ringhold/test-nginx"].map(|at| cache.join(at)));
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    prepared.chain(installed).map(|folder| folder.join(name)).find(|program| program.is_file())
}
