//! Weighted rendezvous hashing as a table: every slot has the members that came first, in order.
//!
//! Rendezvous hashing (Thaler, Ravishankar 1998) asks every member for every key. Evaluated once into slots, a lookup is
//! one load; since a member's time at a slot depends on nothing but its own id and weight, removing a member moves its
//! slots and no others, and the table does not remember in which order members came.

mod lists;
mod rest;
mod throws;

use crate::ring::Member;
use crate::ring::hash::top_bits;

use rest::Rest;

/// How many candidates a slot stores. Retries and bounded load rarely look further.
const STORED: usize = 4;

/// The sizes that a table can have.
pub(super) const SLOTS: std::ops::RangeInclusive<u32> = 2..=1 << 20;

/// The table. Owners stand by themselves, so that the memory a lookup touches stays small.
#[derive(Clone)]
pub(super) struct Rendezvous {
    /// From a hash to its slot: the highest bits.
    shift: u32,
    /// One id for each slot; empty without members.
    owners: Box<[u16]>,
    /// `following` ids for each slot, the next in order.
    successors: Box<[u16]>,
    following: usize,
}

/// The stored candidates of one slot, then all others.
pub(super) struct Candidates<'ring> {
    members: &'ring [Member],
    slot: usize,
    owner: Option<u16>,
    successors: &'ring [u16],
    next: usize,
    rest: Option<Rest>,
}

// === impl Rendezvous ===

impl Rendezvous {
    /// Builds the table of these members, sorted by id; the size is one of [`SLOTS`] and a power of two.
    pub(super) fn build(slots: u32, members: &[Member]) -> Self {
        let stored = STORED.min(members.len());
        let candidates = throws::candidates(slots, members, stored);
        let following = stored.saturating_sub(1);
        let mut owners = Vec::with_capacity(if stored == 0 { 0 } else { slots as usize });
        let mut successors = Vec::with_capacity(following * slots as usize);
        for list in candidates.chunks_exact(stored.max(1)) {
            owners.push(list[0]);
            successors.extend_from_slice(&list[1..]);
        }
        let shift = u64::BITS - slots.ilog2();
        Self { shift, owners: owners.into(), successors: successors.into(), following }
    }

    #[inline]
    pub(super) fn primary(&self, hash: u64) -> Option<u16> {
        self.owners.get(top_bits(hash, self.shift)).copied()
    }

    #[inline]
    pub(super) fn candidates<'ring>(&'ring self, members: &'ring [Member], hash: u64) -> Candidates<'ring> {
        let slot = top_bits(hash, self.shift);
        let start = slot * self.following;
        let successors = self.successors.get(start..start + self.following).unwrap_or_default();
        Candidates { members, slot, owner: self.primary(hash), successors, next: 0, rest: None }
    }

    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    pub(super) fn successors(&self) -> &[u16] {
        &self.successors
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.owners) + size_of_val(&*self.successors)
    }
}

impl std::fmt::Debug for Rendezvous {
    /// Without the table: nobody reads a million numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shift: _, owners, successors: _, following } = self;
        f.debug_struct("Rendezvous").field("slots", &owners.len()).field("stored", &(following + 1)).finish()
    }
}

// === impl Candidates ===

impl Iterator for Candidates<'_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        let position = self.next;
        self.next += 1;
        if position == 0 {
            return self.owner;
        }
        match self.successors.get(position - 1) {
            Some(id) => Some(*id),
            None => self.next_of_rest(),
        }
    }
}

impl Candidates<'_> {
    #[cold]
    fn next_of_rest(&mut self) -> Option<u16> {
        if self.members.len() <= STORED {
            return None;
        }
        let Self { members, slot, owner, successors, next: _, rest } = self;
        let is_stored = |id: u16| *owner == Some(id) || successors.contains(&id);
        rest.get_or_insert_with(|| Rest::new(*slot, members, is_stored)).next()
    }
}
