//! The keys, the same for everybody.

/// Keys of 16 to 24 bytes, one behind the other: whoever reads them in their order waits for no memory.
pub(crate) struct Keys {
    bytes: Vec<u8>,
    /// Where each key begins, and where the last one ends.
    bounds: Vec<usize>,
}

/// Any would do; the same in every run.
pub(crate) const SEED: u64 = 0x5EED;

// === impl Keys ===

impl Keys {
    /// As people have them: letters and digits.
    pub(crate) fn new(count: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let (mut bytes, mut bounds) = (Vec::new(), vec![0]);
        for _ in 0..count {
            let length = random.usize(16..=24);
            bytes.extend((0..length).map(|_| u8::try_from(random.alphanumeric()).unwrap_or(b'0')));
            bounds.push(bytes.len());
        }
        Self { bytes, bounds }
    }

    pub(crate) fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    pub(crate) fn first(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        self.bounds.windows(2).take(count).map(|bounds| &self.bytes[bounds[0]..bounds[1]])
    }
}
