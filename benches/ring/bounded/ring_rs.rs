//! The crate `ring-rs`, the only one on crates.io that bounds loads which end again. Its bound is ours, and so is its
//! default factor.

use ring_rs::{Config, Ring};

use super::{Balancer, CLIENTS, REPLICAS, keys};

pub(super) struct RingRs {
    ring: Ring,
    keys: Vec<String>,
    /// Whose request each client has.
    at: Vec<Option<String>>,
    firsts: Vec<Option<u16>>,
}

impl RingRs {
    pub(super) fn new() -> Self {
        let mut ring = Ring::new(Config::default());
        (0..REPLICAS).for_each(|replica| ring.add(&replica.to_string()));
        let keys = keys();
        let firsts = keys.iter().map(|key| ring.get(key).and_then(|host| host.parse().ok())).collect();
        Self { ring, keys, at: vec![None; CLIENTS], firsts }
    }
}

impl Balancer for RingRs {
    fn begin(&mut self, client: usize, key: u32) -> Option<u16> {
        let host = self.ring.get_least(&self.keys[key as usize])?;
        self.ring.inc_load(&host);
        let replica = host.parse().ok();
        self.at[client] = Some(host);
        replica
    }

    fn end(&mut self, client: usize) {
        if let Some(host) = self.at[client].take() {
            self.ring.decr_load(&host);
        }
    }

    fn first(&self, key: u32) -> Option<u16> {
        self.firsts[key as usize]
    }
}
