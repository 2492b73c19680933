//! Each slot's earliest throws while a table is built.

/// The W earliest throws of each slot, sorted; [`Key::NONE`] where none has come yet.
pub(super) struct Lists<K, const W: usize> {
    keys: Vec<[K; W]>,
    /// One bit for each slot that was full when the last round ended: nothing later changes it. Most throws come to such
    /// a slot, and the bits fit into the fastest cache.
    closed: Vec<u64>,
    /// Slots that became full in this round.
    filled: Vec<usize>,
    /// Slots that were not full when the last round ended.
    open: usize,
}

/// A throw's time with the thrower's index in the lowest 16 bits, so that ties go to the lower index.
pub(super) trait Key: Copy + Ord {
    /// Later than any throw.
    const NONE: Self;
    fn index(self) -> u16;
}

/// What became of a throw.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Too late, or not the member's first.
    Late,
    /// Kept in a full slot, which lost its last for it.
    Swapped,
    /// Kept.
    Seated,
    /// Kept, and the slot is full now.
    Filled,
}

// === impl Key ===

impl Key for u64 {
    const NONE: Self = Self::MAX;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits are the index")]
    fn index(self) -> u16 {
        self as u16
    }
}

impl Key for u128 {
    const NONE: Self = Self::MAX;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits are the index")]
    fn index(self) -> u16 {
        self as u16
    }
}

// === impl Lists ===

impl<K: Key, const W: usize> Lists<K, W> {
    pub(super) fn new(slots: u32) -> Self {
        let slots = slots as usize;
        let closed = vec![0; slots.div_ceil(64)];
        Self { keys: vec![[K::NONE; W]; slots], closed, filled: Vec::new(), open: slots }
    }

    /// Whether a throw at this slot may be kept.
    #[inline]
    pub(super) fn is_open(&self, slot: usize) -> bool {
        (self.closed[slot / 64] >> (slot % 64)) & 1 == 0
    }

    /// Offers a throw. Throws of one round may come in any order, those of one member in the order of their times.
    #[inline]
    pub(super) fn offer(&mut self, slot: usize, key: K) -> Offer {
        if self.is_open(slot) { self.insert(slot, key) } else { Offer::Late }
    }

    #[inline]
    fn insert(&mut self, slot: usize, key: K) -> Offer {
        let list = &mut self.keys[slot];
        let before = list[W - 1];
        // Without a branch for each: how full a list is can't be predicted, whether its member comes again can.
        let again = |kept: &K| (kept.index() == key.index()) & (*kept < key);
        if key > before || list.iter().fold(false, |found, kept| found | again(kept)) {
            return Offer::Late;
        }
        list[W - 1] = key;
        for place in (1..W).rev() {
            let (a, b) = (list[place - 1], list[place]);
            (list[place - 1], list[place]) = (a.min(b), a.max(b));
        }
        match (before == K::NONE, list[W - 1] == K::NONE) {
            (false, _) => Offer::Swapped,
            (true, true) => Offer::Seated,
            (true, false) => {
                self.filled.push(slot);
                Offer::Filled
            }
        }
    }

    /// Closes the slots that are full; returns how many are not.
    pub(super) fn end_round(&mut self) -> usize {
        self.open -= self.filled.len();
        for slot in self.filled.drain(..) {
            self.closed[slot / 64] |= 1 << (slot % 64);
        }
        self.open
    }

    /// Who stands in a slot, by index.
    pub(super) fn list(&self, slot: usize) -> impl Iterator<Item = u16> + '_ {
        self.keys[slot].iter().map(|key| key.index())
    }

    /// Who stands in all slots, by index, slot after slot.
    pub(super) fn indices(&self) -> Vec<u16> {
        self.keys.iter().flatten().map(|key| key.index()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(time: u64, index: u64) -> u64 {
        (time << 16) | index
    }

    #[test]
    fn the_earliest_stay_and_ties_go_to_the_lower_index() {
        let mut lists = Lists::<u64, 2>::new(2);
        assert_eq!(lists.offer(0, key(5, 7)), Offer::Seated);
        assert_eq!(lists.offer(0, key(5, 3)), Offer::Filled);
        assert_eq!(lists.offer(0, key(5, 9)), Offer::Late);
        assert_eq!(lists.offer(0, key(5, 1)), Offer::Swapped);
        assert_eq!(lists.list(0).collect::<Vec<u16>>(), [1, 3]);
    }

    #[test]
    fn a_member_stands_in_a_slot_once() {
        let mut lists = Lists::<u64, 3>::new(2);
        assert_eq!(lists.offer(1, key(1, 4)), Offer::Seated);
        assert_eq!(lists.offer(1, key(2, 4)), Offer::Late);
        assert_eq!(lists.end_round(), 2);
    }

    #[test]
    fn a_slot_that_was_full_when_a_round_ended_changes_no_more() {
        let mut lists = Lists::<u64, 1>::new(2);
        assert_eq!(lists.offer(0, key(9, 1)), Offer::Filled);
        assert_eq!(lists.end_round(), 1);
        assert_eq!(lists.offer(0, key(8, 2)), Offer::Late);
        assert_eq!(lists.indices()[0], 1);
    }
}
