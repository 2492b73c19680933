//! One number for the whole function that a ring is, equal on every process that agrees.

use xxhash_rust::xxh3::Xxh3;

use crate::ring::{Fingerprint, Member, RingSpec, Table, polynomial};

/// Hashes everything that decides over candidates, as little-endian bytes, so that architectures agree.
///
/// XXH3 is fast, stable and not made to withstand forgery; nobody gains from forging a fingerprint.
pub(super) fn fingerprint(spec: &RingSpec, members: &[Member], table: &Table) -> Fingerprint {
    let mut words = Words { hash: Xxh3::new(), buffer: Vec::with_capacity(FLUSH_AT) };
    words.hash.update(spec.algorithm().as_bytes());
    words.hash.update(&size(spec).to_le_bytes());
    words.hash.update(&(members.len() as u64).to_le_bytes());
    for Member { id, weight } in members {
        words.push(&[*id, *weight]);
    }
    match table {
        Table::Rendezvous(table) => {
            words.push(table.owners());
            words.push(table.successors());
        }
        Table::Ketama(table) => {
            for point in table.points() {
                words.hash.update(&point.to_le_bytes());
            }
            words.push(table.owners());
        }
        Table::Maglev(table) => words.push(table.owners()),
        Table::Polynomial(table) => {
            words.push(table.starts());
            words.push(table.circle());
        }
    }
    words.finish()
}

/// The size that was asked for.
fn size(spec: &RingSpec) -> u32 {
    match spec {
        RingSpec::Rendezvous { slots } | RingSpec::Maglev { slots } => *slots,
        RingSpec::Ketama(ketama) => ketama.points,
        RingSpec::Polynomial(_) => polynomial::SLOTS,
    }
}

/// Bytes gathered before they are hashed.
const FLUSH_AT: usize = 8192;

struct Words {
    hash: Xxh3,
    buffer: Vec<u8>,
}

// === impl Words ===

impl Words {
    fn push(&mut self, words: &[u16]) {
        for part in words.chunks(FLUSH_AT / 2) {
            self.buffer.clear();
            self.buffer.extend(part.iter().flat_map(|word| word.to_le_bytes()));
            self.hash.update(&self.buffer);
        }
    }

    fn finish(self) -> Fingerprint {
        Fingerprint(self.hash.digest())
    }
}
