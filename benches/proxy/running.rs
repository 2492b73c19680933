//! A proxy that runs, with what it needs, and whether it does what all are to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::admin::Admin;
use crate::ask::Client;
use crate::certificate::Certificate;
use crate::cores::Cores;
use crate::counts::Counts;
use crate::peers::{Key, Kind, Peer, Setup};
use crate::ports;
use crate::process::Process;
use crate::replica::HEAD;
use crate::scenarios::Load;

/// Replicas of a fleet.
pub(crate) const REPLICAS: usize = 3;
/// So long may it take to serve.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at counts: longer than an answer takes.
const PAUSE: Duration = Duration::from_millis(100);
/// Keys that are asked for to see where they go.
const KEYS: usize = 300;
/// The least part of these keys that each replica must have: the worst circle of points has more.
const LEAST: usize = KEYS / 12;

/// One of those that are compared, ready for its turns.
pub(crate) struct Running {
    pub(crate) port: u16,
    replicas: Replicas,
    /// Only Ringhold's answers.
    pub(crate) admin: Admin,
    /// None for nobody.
    pub(crate) process: Option<Process>,
}

/// The ports of those behind a proxy.
enum Replicas {
    Shared(Vec<u16>),
    /// Ringhold's own, which may change.
    Own,
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
    /// Starts it and returns once it has shown what it does.
    pub(crate) fn start(peer: &Peer, workers: u8, load: &Load, ground: &Ground<'_>) -> anyhow::Result<Self> {
        let Ground { folder, fleet, certificate } = ground;
        let (replicas, admin) = (fleet.ports.as_slice(), Admin { port: ports::free()? });
        if peer.kind == Kind::Direct {
            return Ok(Self {
                port: replicas[0],
                replicas: Replicas::Shared(replicas[..1].to_vec()),
                admin,
                process: None,
            });
        }
        let folder = folder.join(peer.name.replace(['/', ' '], "-"));
        std::fs::create_dir_all(&folder)?;
        let Load { front, key, cores, .. } = *load;
        let (port, is_bounded) = (ports::free()?, peer.is_bounded);
        let setup = Setup { folder: &folder, port, admin, replicas, front, key, workers, is_bounded, certificate };
        let mut process = peer.start(&setup, cores)?;
        wait_until(&mut process, || shows_itself(Client::connect_as(front, port, certificate)?, key))?;
        let is_ringhold = peer.kind == Kind::Ringhold;
        let replicas = if is_ringhold { Replicas::Own } else { Replicas::Shared(replicas.to_vec()) };
        Ok(Self { port, replicas, admin, process: Some(process) })
    }

    /// What the replicas behind it have counted so far, once they have nothing more to do: what a load has left in one
    /// proxy would count for the next one.
    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let counts = match &self.replicas {
                Replicas::Shared(ports) => Counts::of(ports)?,
                Replicas::Own => Counts::of(&self.admin.replicas()?)?,
            };
            if before == Some(counts) {
                return Ok(counts);
            }
            ensure!(Instant::now() < deadline, "replicas are asked though there is no load");
            before = Some(counts);
            std::thread::sleep(PAUSE);
        }
    }
}

/// An error unless equal keys meet equal replicas, different ones meet all, and replicas hear of the client.
fn shows_itself(mut client: Client, key: Key) -> anyhow::Result<()> {
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
