//! Free ports, below those that the kernel gives to outgoing connections and below those of Ringhold's replicas.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context;

const FIRST: u16 = 12_000;
const LAST: u16 = 19_999;

/// Never the same twice in a row of calls: what was given out may not be bound yet.
pub(crate) fn free() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    let mut candidates = (FIRST..=LAST).map(|_| {
        let next = |port| Some(if port >= LAST { FIRST } else { port + 1 });
        NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(FIRST)
    });
    candidates.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).context("no port is free")
}
