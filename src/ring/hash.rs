//! From key bytes to the 64-bit hash that the ring takes. The one place that states which bytes are hashed: the key's own,
//! and nothing else.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ring::sip::SipHasher13;

/// The hash function of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyHash {
    /// SipHash-1-3 (Aumasson, Bernstein 2012, with 1 compression and 3 finalization rounds), keyed with the secret:
    /// clients choose keys, and without the secret they can't aim many of them at one replica.
    #[default]
    SipHash,
    /// XXH3, seeded with the secret's first 64 bits; for keys that are trusted, because collisions that no seed stops are
    /// published.
    Xxh3,
    /// CRC-32 as nginx's `hash` has it, in the highest 32 bits, without the secret; below it is scrambled. For keys that are
    /// trusted.
    Crc32,
}

/// Hashes keys, equally on every process that has the same secret.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher {
    sip: SipHasher13,
    seed: u64,
}

impl KeyHasher {
    /// Hashes with this secret.
    #[must_use]
    pub fn new(secret: &[u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *secret;
        Self { sip: SipHasher13::new(secret), seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]) }
    }

    /// The hash of a key.
    #[must_use]
    #[inline]
    pub fn hash(&self, function: KeyHash, key: &[u8]) -> u64 {
        match function {
            KeyHash::SipHash => self.sip.hash(key),
            KeyHash::Xxh3 => xxh3_64_with_seed(key, self.seed),
            KeyHash::Crc32 => crc32(key),
        }
    }
}

/// Not inlined: XXH3 beside it needs few registers.
#[inline(never)]
fn crc32(key: &[u8]) -> u64 {
    let crc = u64::from(crc32fast::hash(key));
    (crc << 32) | (mix64(crc) >> 32)
}

/// 2⁶⁴ divided by the golden ratio: multiples of it lie far apart.
pub(super) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014; Stafford's variant 13): a bijection that spreads every bit.
#[inline]
pub(super) fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A hash's slot: its highest 64 − `shift` bits, of which no ring takes more than 20.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 20 bits are left")]
pub(super) fn top_bits(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_hash_1_3_agrees_with_its_reference_vectors() {
        let secret = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let (hasher, bytes) = (KeyHasher::new(&secret), [0, 1, 2, 3, 4, 5]);
        let hashes: Vec<u64> =
            [0, 1, 2, 3, 6].into_iter().map(|len| hasher.hash(KeyHash::SipHash, &bytes[..len])).collect();
        let expected = [
            [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab],
            [0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9],
            [0x4d, 0xd4, 0xc7, 0x4d, 0x02, 0x9b, 0xcb, 0x82],
            [0xfb, 0xf7, 0xdd, 0xe7, 0xb8, 0x0a, 0xf8, 0x8b],
            [0xa7, 0x22, 0x9f, 0xc5, 0x50, 0x2b, 0x0d, 0xc5],
        ];
        assert_eq!(hashes, expected.map(u64::from_le_bytes));
    }

    #[test]
    fn keys_and_secrets_are_golden() {
        let hashes = |function| [[0; 16], [7; 16]].map(|secret| KeyHasher::new(&secret).hash(function, b"user-42"));
        assert_eq!(hashes(KeyHash::SipHash), [0x36d7_c057_cbcb_b4a2, 0x90c7_14cd_0006_10aa]);
        assert_eq!(hashes(KeyHash::Xxh3), [0x50fe_4b21_cf7b_09cd, 0x75da_18e3_9477_b677]);
        assert_eq!(hashes(KeyHash::Crc32), [0x7d06_b873_76a9_1faa; 2]);
    }

    #[test]
    fn xxh3_and_crc_32_agree_with_their_reference_values() {
        let hasher = KeyHasher::new(&[0; 16]);
        // XXH3_64bits of nothing, and the check value of CRC-32/ISO-HDLC.
        assert_eq!(hasher.hash(KeyHash::Xxh3, b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(hasher.hash(KeyHash::Crc32, b"123456789") >> 32, 0xcbf4_3926);
    }

    #[test]
    fn mix64_agrees_with_split_mix_64() {
        // The first numbers of SplitMix64 seeded with 1234567, as published with many implementations.
        let numbers: Vec<u64> =
            (1..=3_u64).map(|i| mix64(1_234_567_u64.wrapping_add(i.wrapping_mul(GOLDEN)))).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
