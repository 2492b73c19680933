//! From key bytes to the 64-bit hash that the ring takes. The one place that states which bytes are hashed.

use siphasher::sip::SipHasher13;

/// A named, keyed hash, equal on every process that has the same key.
///
/// SipHash-1-3 (Aumasson, Bernstein 2012, with 1 compression and 3 finalization rounds): clients choose keys, and
/// without the 128-bit secret they can't aim many keys at one replica. Hashed are the key's bytes and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher {
    sip: SipHasher13,
}

impl KeyHasher {
    /// Hashes with this secret.
    #[must_use]
    pub fn new(secret: &[u8; 16]) -> Self {
        Self { sip: SipHasher13::new_with_key(secret) }
    }

    /// The hash of a key.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.sip.hash(key)
    }
}
