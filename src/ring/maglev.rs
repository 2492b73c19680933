//! Maglev hashing: the most even table there is (Eisenbud et al.: Maglev, NSDI 2016, §3.4).
//!
//! Each member has a preference list, a permutation of all slots, and the members take turns in choosing their next free
//! one. With weights, a member of half the greatest weight chooses in every other round. Removing a member moves a few
//! slots of others, too: that is the price.

use std::ops::RangeInclusive;

use crate::ring::Member;
use crate::ring::hash::{GOLDEN, mix64};
use crate::ring::walk::Walk;

/// The sizes that can be asked for.
pub(super) const SLOTS: RangeInclusive<u32> = 2..=1 << 20;

/// The table.
#[derive(Clone)]
pub(super) struct Maglev {
    /// One id for each slot; empty without members.
    owners: Box<[u16]>,
}

/// One member's way through its permutation.
struct Chooser {
    member: Member,
    next: u32,
    skip: u32,
    /// It chooses in the round in which rounds · weight reaches this.
    due: u64,
}

/// The least prime that is not below `slots`: then every skip visits every slot.
pub(super) fn size(slots: u32) -> u32 {
    let is_prime = |number: &u32| {
        (2..).take_while(|divisor| divisor * divisor <= *number).all(|divisor| !number.is_multiple_of(divisor))
    };
    (slots.max(2)..).find(is_prime).unwrap_or(slots)
}

// === impl Maglev ===

impl Maglev {
    /// Fills the table; there are no more members, sorted by id, than slots.
    pub(super) fn build(slots: u32, members: &[Member]) -> Self {
        let size = size(slots);
        let Some(heaviest) = members.iter().map(|member| u64::from(member.weight)).max() else {
            return Self { owners: Box::default() };
        };
        let mut choosers: Vec<Chooser> = members.iter().map(|member| Chooser::new(*member, size)).collect();
        let mut owners = vec![0_u16; size as usize];
        let mut taken = vec![false; size as usize];
        let mut free = size;
        for round in 1_u64.. {
            for chooser in &mut choosers {
                if round * u64::from(chooser.member.weight) < chooser.due {
                    continue;
                }
                chooser.due += heaviest;
                while taken[chooser.next as usize] {
                    chooser.advance(size);
                }
                owners[chooser.next as usize] = chooser.member.id;
                taken[chooser.next as usize] = true;
                free -= 1;
                if free == 0 {
                    return Self { owners: owners.into() };
                }
            }
        }
        unreachable!("the heaviest member takes a slot in each round")
    }

    #[inline]
    pub(super) fn primary(&self, hash: u64) -> Option<u16> {
        self.owners.get(self.slot(hash)).copied()
    }

    pub(super) fn candidates<'ring>(&'ring self, members: &'ring [Member], hash: u64) -> Walk<'ring> {
        Walk::new(&self.owners, members, self.slot(hash))
    }

    /// The slots part the hashes into equal ranges (Lemire: Fast Random Integer Generation in an Interval, 2019).
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of slots")]
    fn slot(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.owners.len() as u128) >> 64) as usize
    }

    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.owners)
    }
}

impl std::fmt::Debug for Maglev {
    /// Without the table: nobody reads a million numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maglev").field("slots", &self.owners.len()).finish()
    }
}

// === impl Chooser ===

impl Chooser {
    fn new(member: Member, size: u32) -> Self {
        let name = mix64(u64::from(member.id));
        let part = |of: u32, salt: u64| {
            let hash = mix64(name.wrapping_add(salt));
            u32::try_from((u128::from(hash) * u128::from(of)) >> 64).unwrap_or_default()
        };
        Self { member, next: part(size, GOLDEN), skip: part(size - 1, GOLDEN.wrapping_mul(2)) + 1, due: 0 }
    }

    #[inline]
    fn advance(&mut self, size: u32) {
        self.next += self.skip;
        if self.next >= size {
            self.next -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_prime() {
        let sizes = [(2, 2), (4, 5), (65_536, 65_537), (1 << 20, 1_048_583)];
        for (slots, prime) in sizes {
            assert_eq!(size(slots), prime);
        }
    }

    #[test]
    fn a_permutation_visits_every_slot() {
        let size = size(100);
        let mut chooser = Chooser::new(Member { id: 3, weight: 1 }, size);
        let mut visited = vec![false; size as usize];
        for _ in 0..size {
            visited[chooser.next as usize] = true;
            chooser.advance(size);
        }
        assert!(visited.into_iter().all(|visited| visited));
    }
}
