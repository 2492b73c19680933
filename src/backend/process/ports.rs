//! Loopback ports for replicas.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the kernel's usual range for outgoing connections (32768 and up), or a busy proxy's own connections could take
/// a port between our look and the replica's bind.
const RANGE: Range<u16> = 20_000..32_768;

/// How many ports have been looked at. All backends of a process share it, so that no two of them give out one port
/// before either replica has taken it.
static LOOKED_AT: AtomicU32 = AtomicU32::new(0);

/// Hands out ports one after the other, so that a port just given back is not given out again at once.
#[derive(Debug)]
pub(super) struct Ports {
    offset: u32,
}

// === impl Ports ===

impl Ports {
    /// Begins at a place of its own, so that two Ringholds on one machine rarely look at the same port.
    pub(super) fn new(seed: u32) -> Self {
        Self { offset: seed.wrapping_mul(0x9E37_79B1) >> 16 }
    }

    /// A port that nobody listens on right now.
    pub(super) fn free(&self) -> Option<u16> {
        RANGE.clone().find_map(|_| {
            let looked_at = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
            let place = self.offset.wrapping_add(looked_at) % u32::from(RANGE.end - RANGE.start);
            let port = RANGE.start + u16::try_from(place).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
        })
    }
}
