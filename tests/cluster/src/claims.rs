//! Ports and addresses that no other test process on this machine has: each is a locked file, and a lock ends with the
//! process that holds it.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

/// Below what Linux gives out by itself (32768 …) and below Kubernetes' node ports (30000 …).
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// 127.64.0.0/10, as /16 networks: one for each test process.
const NETWORKS: std::ops::Range<u16> = 64..128;

/// A port that is ours for as long as this lives, whether anybody listens on it or not.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

/// A fresh loopback address; none is given twice before 65 000 others were.
pub(crate) fn address() -> anyhow::Result<Ipv4Addr> {
    static NETWORK: Mutex<Option<(u16, File)>> = Mutex::new(None);
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    if network.is_none() {
        let claim = NETWORKS.into_iter().find_map(|network| Some((network, lock(&format!("network-{network}"))?)));
        *network = Some(claim.context("no loopback network is free: 64 test processes hold them all")?);
    }
    let [_, second] = network.as_ref().map_or(0, |(network, _)| *network).to_be_bytes();
    // Neither .0 nor .255 at the end: they look like networks and broadcasts.
    let host = NEXT.fetch_add(1, Ordering::Relaxed) % (256 * 254);
    let [_, _, third, fourth] = (host / 254 * 256 + host % 254 + 1).to_be_bytes();
    Ok(Ipv4Addr::new(127, second, third, fourth))
}

/// The lock with this name; `None` if another has it.
fn lock(name: &str) -> Option<File> {
    let folder = std::env::temp_dir().join("ringhold-test-claims");
    if fs::create_dir(&folder).is_ok() {
        // As /tmp itself, so that other users' tests get on with it.
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).ok()?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(folder.join(name)).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

// === impl Port ===

impl Port {
    /// A port that nobody listens on.
    ///
    /// # Errors
    /// There is none left.
    pub fn claim() -> anyhow::Result<Self> {
        // Each process begins elsewhere; otherwise all would try the same ones first.
        static TRIED: AtomicU16 = AtomicU16::new(0);
        let size = PORTS.end - PORTS.start;
        let first = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(size)).unwrap_or_default();
        for _ in PORTS {
            let number = PORTS.start + first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % size;
            let Some(lock) = lock(&format!("port-{number}")) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        anyhow::bail!("no port from {PORTS:?} is free")
    }

    /// Which.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_what_another_holds() {
        let [one, other] = [Port::claim().unwrap(), Port::claim().unwrap()];
        assert_ne!(one.number(), other.number());
        assert!(lock(&format!("port-{}", one.number())).is_none());
        assert_ne!(address().unwrap(), address().unwrap());
    }

    #[test]
    fn a_claim_ends_with_its_holder() {
        let port = Port::claim().unwrap();
        let name = format!("port-{}", port.number());
        drop(port);
        // A process that another test is just starting may hold the file for a moment, until it becomes its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while lock(&name).is_none() {
            assert!(std::time::Instant::now() < deadline, "still held");
            std::thread::yield_now();
        }
    }
}
