//! A proxy that runs, with what it needs, and whether it does what all are to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::ask::Client;
use crate::certificate::Certificate;
use crate::cores::Cores;
use crate::load;
use crate::peers::{Front, Key, Kind, Peer, Setup};
use crate::ports;
use crate::process::Process;
use crate::replica::{COUNTS, HEAD};
use crate::scenarios::Load;

/// Replicas of a fleet.
const REPLICAS: usize = 3;
/// So long may it take to serve.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections to see whether it serves.
const FEW: u16 = 8;
/// Keys that are asked for to see where they go.
const KEYS: usize = 300;
/// The least part of these keys that each replica must have: the worst circle of points has more.
const LEAST: usize = KEYS / 12;

/// One of those that are compared, ready for its turns.
pub(crate) struct Running {
    pub(crate) port: u16,
    /// None for nobody.
    pub(crate) process: Option<Process>,
}

/// The replicas of all but Ringhold.
pub(crate) struct Fleet {
    pub(crate) ports: Vec<u16>,
    _replicas: Vec<Process>,
}

/// What all stand on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) fleet: &'a Fleet,
    pub(crate) certificate: &'a Certificate,
}

/// What the replicas of one proxy have counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
}

// === impl Fleet ===

impl Fleet {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let (mut ports, mut replicas) = (Vec::new(), Vec::new());
        for _ in 0..REPLICAS {
            let port = ports::free()?;
            let port_variable = [("PORT", port.to_string())];
            let mut replica = Process::start(Cores::Load, folder, &program, &["replica".into()], &port_variable)?;
            let serves = || Client::connect(port)?.ask("/", "first");
            wait_until(&mut replica, || serves().map(drop))?;
            ports.push(port);
            replicas.push(replica);
        }
        Ok(Self { ports, _replicas: replicas })
    }
}

// === impl Running ===

impl Running {
    /// Starts it and returns once it has shown what it does; over TLS and HTTP/2 only that it answers.
    pub(crate) fn start(peer: &Peer, workers: u8, load: &Load, ground: &Ground<'_>) -> anyhow::Result<Self> {
        let Ground { folder, fleet, certificate } = ground;
        if peer.kind == Kind::Direct {
            return Ok(Self { port: fleet.ports[0], process: None });
        }
        let folder = folder.join(peer.name.replace(['/', ' '], "-"));
        std::fs::create_dir_all(&folder)?;
        let Load { front, key, cores, .. } = *load;
        let (port, is_bounded) = (ports::free()?, peer.is_bounded);
        let replicas = fleet.ports.as_slice();
        let setup = Setup { folder: &folder, port, replicas, front, key, workers, is_bounded, certificate };
        let mut process = peer.start(&setup, cores)?;
        let serves = || match front {
            Front::Http1 => shows_itself(port, key),
            Front::Http2 | Front::Tls => load::run(&folder, port, load, FEW, 1.0).map(drop),
        };
        wait_until(&mut process, serves)?;
        Ok(Self { port, process: Some(process) })
    }

    /// What the replicas behind it have counted so far.
    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        let mut client = Client::connect(self.port)?;
        let mut said = BTreeMap::new();
        for key in (0..KEYS).map(|key| key.to_string()) {
            let answer = client.ask(COUNTS, &key)?;
            said.insert(answer.replica, answer.body);
            if said.len() == REPLICAS {
                break;
            }
        }
        said.values().try_fold(Counts::default(), |sum, said| {
            let (connections, requests) = said.split_once(' ').context("no counts")?;
            Ok(Counts {
                connections: sum.connections + connections.parse::<u64>()?,
                requests: sum.requests + requests.parse::<u64>()?,
            })
        })
    }
}

/// An error unless equal keys meet equal replicas, different ones meet all, and replicas hear of the client.
fn shows_itself(port: u16, key: Key) -> anyhow::Result<()> {
    let mut client = Client::connect(port)?;
    let mut homes = BTreeMap::new();
    for _ in 0..2 {
        for key_value in (0..KEYS).map(|key| format!("user-{key}")) {
            let path = if key == Key::Path { format!("/key/{key_value}") } else { "/".to_owned() };
            let replica = client.ask(&path, &key_value)?.replica;
            let home = *homes.entry(key_value).or_insert(replica);
            ensure!(home == replica, "equal keys met different replicas");
        }
    }
    let mut shares = BTreeMap::<u16, usize>::new();
    homes.values().for_each(|home| *shares.entry(*home).or_default() += 1);
    ensure!(shares.len() == REPLICAS && shares.values().all(|share| *share >= LEAST), "uneven shares: {shares:?}");
    let head = client.ask(HEAD, "somebody")?.body.to_ascii_lowercase();
    // Envoy says its own machine's address of a client on it.
    ensure!(head.contains("x-forwarded-for: "), "replicas do not hear of the client: {head}");
    ensure!(head.contains(" http/1.1\r\n"), "replicas are not asked in HTTP/1.1: {head}");
    Ok(())
}

fn wait_until(process: &mut Process, attempt: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        process.check()?;
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => bail!("{error:#}; it wrote:\n{}", process.last_words()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
