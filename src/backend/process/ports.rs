//! Loopback ports for replicas.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's usual range for outgoing connections (32768 and up), or a busy proxy's own connections could take
/// a port between our look and the replica's bind.
const RANGE: Range<u16> = 20_000..32_768;

/// Hands out ports one after the other, so that a port just given back is not given out again at once.
#[derive(Debug)]
pub(super) struct Ports {
    next: AtomicU16,
}

// === impl Ports ===

impl Ports {
    /// Begins at a place of its own, so that two Ringholds on one machine rarely look at the same port.
    pub(super) fn new(seed: u32) -> Self {
        let spread = seed.wrapping_mul(0x9E37_79B1) >> 16;
        let offset = u16::try_from(spread % u32::from(RANGE.end - RANGE.start)).unwrap_or(0);
        Self { next: AtomicU16::new(offset) }
    }

    /// A port that nobody listens on right now.
    pub(super) fn free(&self) -> Option<u16> {
        let size = RANGE.end - RANGE.start;
        (0..size).find_map(|_| {
            let port = RANGE.start + self.next.fetch_add(1, Ordering::Relaxed) % size;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
        })
    }
}
