//! XXH3 for crates that take the standard library's hashers: in one go as we use it, which is much faster for short keys
//! than its streaming form.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BuildXxh3;

/// Numbers of 32 bits seed what follows (the `maglev` crate writes its seed so), bytes are hashed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Xxh3 {
    state: u64,
}

impl BuildHasher for BuildXxh3 {
    type Hasher = Xxh3;

    #[inline(always)]
    fn build_hasher(&self) -> Xxh3 {
        Xxh3 { state: 0 }
    }
}

impl Hasher for Xxh3 {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.state = xxh3_64_with_seed(bytes, self.state);
    }

    #[inline(always)]
    fn write_u32(&mut self, number: u32) {
        self.state ^= u64::from(number);
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.state
    }
}
