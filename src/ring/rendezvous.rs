//! Weighted rendezvous hashing as a table: every slot has the members that came first, in order.
//!
//! Rendezvous hashing (Thaler, Ravishankar 1998) asks every member for every key. Evaluated once into slots, a lookup is
//! one load; since a member's time at a slot depends on nothing but its own id and weight, removing a member moves its
//! slots and no others, and the table does not remember in which order members came. So the table of some members can also
//! be made from that of others, by what differs.

mod change;
mod lists;
mod rest;
#[cfg(test)]
mod tests;
mod throws;
mod ticks;
mod windows;

use crate::ring::Member;
use crate::ring::hash::top_bits;

use lists::Lists;
use rest::Rest;
use throws::{Clock, Game};

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
    times: Option<Times>,
}

/// When each slot's candidates came, by which a newcomer finds its place among them.
#[derive(Clone)]
struct Times {
    clock: Clock,
    quanta: Box<[[u8; STORED]]>,
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

/// Whether the table of these members keeps the times of its candidates, half as much memory again as it takes without. In a
/// smaller fleet every change is of so many slots that building takes no longer.
fn keeps_times(members: &[Member]) -> bool {
    members.len() >= 16
}

// === impl Rendezvous ===

impl Rendezvous {
    /// Builds the table of these members, sorted by id; the size is one of [`SLOTS`] and a power of two.
    pub(super) fn build(slots: u32, members: &[Member]) -> Self {
        let shift = u64::BITS - slots.ilog2();
        let stored = STORED.min(members.len());
        // Who comes last of all members needs no throw.
        let seats = stored.min(members.len().saturating_sub(1));
        if seats == 0 {
            let owners = members.iter().flat_map(|member| std::iter::repeat_n(member.id, slots as usize)).collect();
            return Self { shift, owners, successors: Box::default(), following: 0, times: None };
        }
        let game = Game::new(slots, members);
        let mut lists = Lists::new(slots, seats);
        game.fill(&mut lists);
        let all = members.iter().fold(0, |all, member| all ^ member.id);
        let lists = lists.seated().map(|(mut ids, quanta)| {
            if seats < stored {
                ids[seats] = ids[..seats].iter().fold(all, |others, id| others ^ id);
            }
            (ids, quanta)
        });
        let owners = lists.clone().map(|(ids, _)| ids[0]).collect();
        let successors = match stored {
            2 => successors::<1>(lists.clone()),
            3 => successors::<2>(lists.clone()),
            _ => successors::<3>(lists.clone()),
        };
        let quanta = keeps_times(members).then(|| lists.map(|(_, quanta)| quanta).collect());
        let times = quanta.map(|quanta| Times { clock: game.clock, quanta });
        Self { shift, owners, successors, following: stored - 1, times }
    }

    /// The table of the members `after`, made from this one, which has the members `before`; both sorted by id, each id once,
    /// and of weight 1 or more. `None` if it is as quick to build it.
    pub(super) fn with_members(&self, before: &[Member], after: &[Member]) -> Option<Self> {
        change::change(self, before, after)
    }

    /// The candidates of a slot and when they came, if that is kept.
    fn get(&self, slot: usize) -> Option<([u16; STORED], [u8; STORED])> {
        let times = self.times.as_ref()?;
        let [a, b, c] = self.successors.as_chunks().0[slot];
        Some(([self.owners[slot], a, b, c], times.quanta[slot]))
    }

    /// Changes a slot of a table that keeps times.
    fn set(&mut self, slot: usize, ids: [u16; STORED], quanta: [u8; STORED]) {
        let [owner, successors @ ..] = ids;
        self.owners[slot] = owner;
        self.successors.as_chunks_mut().0[slot] = successors;
        if let Some(times) = &mut self.times {
            times.quanta[slot] = quanta;
        }
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
        let times = self.times.as_ref().map_or(0, |times| size_of_val(&*times.quanta));
        size_of_val(&*self.owners) + size_of_val(&*self.successors) + times
    }
}

/// Who follows the owners, slot after slot.
fn successors<const FOLLOWING: usize>(lists: impl Iterator<Item = ([u16; STORED], [u8; STORED])>) -> Box<[u16]> {
    let successors = lists.map(|(ids, _)| std::array::from_fn(|place| ids[place + 1]));
    successors.collect::<Vec<[u16; FOLLOWING]>>().into_flattened().into()
}

impl std::fmt::Debug for Rendezvous {
    /// Without the table: nobody reads a million numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shift: _, owners, successors: _, following, times: _ } = self;
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
