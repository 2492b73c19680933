//! The 512-slot ring of the classic design: H(i) = i² + 2i + 17, Φ(i, j) = i² + j² + 2j + 25, both mod 512.
//!
//! Kept for its golden numbers and as a demonstration, not for its evenness: H reaches only 87 of the 512 slots, and Φ
//! keeps the virtual servers of one member close together.

use crate::ring::hash::top_bits;
use crate::ring::{BuildError, Member};

/// The circle's size. The polynomials need no more of a key than its number mod 512.
pub(super) const SLOTS: u32 = 512;

/// log₂ 512: nine virtual servers for each unit of weight.
const VIRTUAL_SERVERS: u32 = 9;

/// More members than this find no slot for all their virtual servers.
pub(super) const MAX_MEMBERS: u32 = SLOTS / VIRTUAL_SERVERS;

/// No virtual server stands here. Not an id either: the circle seats 56 members, named by their index.
const EMPTY: u16 = u16::MAX;

/// The circle with its virtual servers.
#[derive(Debug, Clone)]
pub(super) struct Polynomial {
    /// Which member's virtual server stands on a slot of the circle, by index.
    circle: Box<[u16]>,
    /// The members' ids by index.
    ids: Box<[u16]>,
    /// The owner's id for each key number, 0 to 511; empty without members.
    owners: Box<[u16]>,
}

/// Clockwise from the key's slot, each member once.
pub(super) struct Candidates<'ring> {
    ring: &'ring Polynomial,
    slot: usize,
    steps: usize,
    /// A bit for each member that has come; there are at most 56.
    seen: u64,
}

/// Where a key stands.
fn key_slot(number: usize) -> usize {
    (number * number + 2 * number + 17) % SLOTS as usize
}

/// Where a virtual server would like to stand.
fn server_slot(server: u32, virtual_server: u32) -> u32 {
    let (i, j) = (server % SLOTS, virtual_server % SLOTS);
    (i * i + j * j + 2 * j + 25) % SLOTS
}

// === impl Polynomial ===

impl Polynomial {
    /// Seats the members, sorted by id, one after the other; who finds a slot taken probes on linearly. The classic
    /// design counts servers from 1, so ordinal 0 is server 1.
    pub(super) fn build(members: &[Member]) -> Result<Self, BuildError> {
        let limit = MAX_MEMBERS;
        let wanted = members.iter().map(|member| u32::from(member.weight)).sum();
        if wanted > limit {
            return Err(BuildError::TooManyMembers { algorithm: "Polynomial", wanted, limit });
        }
        let mut circle = vec![EMPTY; SLOTS as usize].into_boxed_slice();
        for (index, member) in (0_u16..).zip(members) {
            for j in 0..VIRTUAL_SERVERS * u32::from(member.weight) {
                let wish = server_slot(u32::from(member.id) + 1, j);
                let free = (wish..wish + SLOTS).map(|slot| (slot % SLOTS) as usize).find(|slot| circle[*slot] == EMPTY);
                circle[free.expect("the limit leaves a slot for every virtual server")] = index;
            }
        }
        let ids = members.iter().map(|member| member.id).collect();
        let mut ring = Self { circle, ids, owners: Box::default() };
        ring.owners = (0..SLOTS as usize).filter_map(|number| ring.clockwise(number).next()).collect();
        Ok(ring)
    }

    #[inline]
    pub(super) fn primary(&self, hash: u64) -> Option<u16> {
        self.owners.get(key_number(hash)).copied()
    }

    pub(super) fn candidates(&self, hash: u64) -> Candidates<'_> {
        self.clockwise(key_number(hash))
    }

    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// Who stands where, by index; decides over all candidates.
    pub(super) fn circle(&self) -> &[u16] {
        &self.circle
    }

    fn clockwise(&self, number: usize) -> Candidates<'_> {
        Candidates { ring: self, slot: key_slot(number), steps: SLOTS as usize, seen: 0 }
    }
}

/// A hash's highest bits, as for every other algorithm, so that key spaces compare slot by slot.
fn key_number(hash: u64) -> usize {
    top_bits(hash, u64::BITS - SLOTS.ilog2())
}

// === impl Candidates ===

impl Iterator for Candidates<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        while self.steps > 0 {
            let index = self.ring.circle[self.slot];
            self.slot = (self.slot + 1) % SLOTS as usize;
            self.steps -= 1;
            if index != EMPTY && self.seen & (1 << index) == 0 {
                self.seen |= 1 << index;
                return Some(self.ring.ids[usize::from(index)]);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ring::{Ring, RingSpec};

    fn ring(count: u16) -> Ring {
        let members: Vec<Member> = (0..count).map(|id| Member { id, weight: 1 }).collect();
        Ring::build(RingSpec::Polynomial, &members).expect("fits")
    }

    #[test]
    fn keys_reach_87_slots_of_the_circle() {
        let reached: BTreeSet<usize> = (0..512).map(key_slot).collect();
        assert_eq!(reached.len(), 87);
    }

    #[test]
    fn two_and_three_members_have_the_classic_shares() {
        assert_eq!(ring(2).shares(), [0.953_125, 0.046_875]);
        assert_eq!(ring(3).shares(), [0.843_75, 0.046_875, 0.109_375]);
    }

    #[test]
    fn taken_slots_are_probed_linearly() {
        // Φ(1, j) = 26, 29, 34, … and Φ(2, j) = 29, 32, 37, …: the second server's first wish is taken by the first.
        let members = [Member { id: 0, weight: 1 }, Member { id: 1, weight: 1 }];
        let circle = Polynomial::build(&members).expect("fits").circle;
        let stands = |index| (0..512).filter(|slot| circle[*slot] == index).collect::<Vec<usize>>();
        assert_eq!(stands(0), [26, 29, 34, 41, 50, 61, 74, 89, 106]);
        assert_eq!(stands(1), [30, 32, 37, 44, 53, 64, 77, 92, 109]);
    }

    #[test]
    fn fifty_six_members_fit_and_one_more_is_refused_with_the_limit() {
        let full = ring(56);
        assert_eq!(full.candidates(0).collect::<BTreeSet<u16>>(), (0..56).collect());
        let members: Vec<Member> = (0..57).map(|id| Member { id, weight: 1 }).collect();
        let error = Ring::build(RingSpec::Polynomial, &members).expect_err("too many");
        assert_eq!(error, BuildError::TooManyMembers { algorithm: "Polynomial", wanted: 57, limit: 56 });
        assert_eq!(
            error.to_string(),
            "the Polynomial ring seats at most 56 members, counted by weight, not 57; use Rendezvous"
        );
    }

    #[test]
    fn the_highest_id_has_a_place() {
        let members = [Member { id: u16::MAX, weight: 1 }];
        let ring = Ring::build(RingSpec::Polynomial, &members).expect("fits");
        assert_eq!(ring.candidates(7).collect::<Vec<u16>>(), [u16::MAX]);
    }
}
