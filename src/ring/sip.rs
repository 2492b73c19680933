//! SipHash-1-3 (Aumasson, Bernstein 2012, with one compression and three finalization rounds) of a key that is there as a
//! whole.
//!
//! Hashers that also take a key in pieces branch on how many bytes are left of it at the end. Keys of mixed lengths make a
//! processor guess that wrong, which costs as much again as the hash. Here the last bytes are read without asking.

/// Keyed, ready to hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct SipHasher13 {
    start: State,
}

#[derive(Debug, Clone, Copy)]
struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

const WORD: usize = size_of::<u64>();

// === impl SipHasher13 ===

impl SipHasher13 {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let key = u128::from_le_bytes(*key);
        #[expect(clippy::cast_possible_truncation, reason = "its halves")]
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        // "somepseudorandomlygeneratedbytes"
        let start = State {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        };
        Self { start }
    }

    /// Not inlined: beside it, the other hashes of [`super::hash`] need few registers.
    #[inline(never)]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut state = self.start;
        for word in bytes.as_chunks::<WORD>().0 {
            state.compress(u64::from_le_bytes(*word));
        }
        state.compress(((bytes.len() as u64) << 56) | rest(bytes));
        state.finish()
    }
}

/// The bytes behind the last whole word, fewer than eight, lowest first.
#[inline]
fn rest(bytes: &[u8]) -> u64 {
    let count = bytes.len() % WORD;
    match bytes.last_chunk::<WORD>() {
        // Bytes of the word before are shifted out: all eight, if no more are left.
        Some(last) => (u64::from_le_bytes(*last) >> 1) >> (63 - 8 * count),
        None => bytes.iter().rev().fold(0, |rest, byte| (rest << 8) | u64::from(*byte)),
    }
}

// === impl State ===

impl State {
    #[inline]
    fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_another_implementation(secret: [u8; 16], key in prop::collection::vec(any::<u8>(), 0..70)) {
            let other = siphasher::sip::SipHasher13::new_with_key(&secret);
            prop_assert_eq!(SipHasher13::new(&secret).hash(&key), other.hash(&key));
        }
    }

    #[test]
    fn it_agrees_at_every_length_up_to_where_the_length_s_byte_wraps() {
        let secret = [7; 16];
        let other = siphasher::sip::SipHasher13::new_with_key(&secret);
        let key: Vec<u8> = (0..600_u16).map(|byte| byte.to_le_bytes()[0]).collect();
        for length in 0..=key.len() {
            assert_eq!(SipHasher13::new(&secret).hash(&key[..length]), other.hash(&key[..length]), "{length}");
        }
    }
}
