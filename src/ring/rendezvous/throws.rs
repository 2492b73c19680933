//! Who hits which slot when.
//!
//! Member i throws its virtual servers j = 0, 1, 2 … one after the other. Number j lands at
//!
//! ```text
//! r = mix64(id + j·0x9E3779B97F4A7C15)    slot = r >> (64 − log₂ slots)    time = (j·2²⁴ + (r mod 2²⁴)) / weight
//! ```
//!
//! and each slot keeps the earliest members, ties going to the lower id. All of it is exact integer arithmetic.
//! Throws are made in rounds, each a window of time, until every slot has as many members as it should; what comes in a
//! later round is later, so nothing after the last round could change a slot.

use crate::ring::Member;
use crate::ring::hash::{GOLDEN, mix64, top_bits};
use crate::ring::rendezvous::lists::{Lists, Offer};

/// Bits of a throw's time behind the whole number j.
const FRACTION: u32 = 24;

/// The first `stored` members of each slot, by id, slot after slot.
pub(super) fn candidates(slots: u32, members: &[Member], stored: usize) -> Vec<u16> {
    // Who comes last of all members needs no throw.
    let thrown = stored.min(members.len().saturating_sub(1));
    let indices = match thrown {
        0 => Vec::new(),
        1 => indices::<1>(slots, members),
        2 => indices::<2>(slots, members),
        3 => indices::<3>(slots, members),
        _ => indices::<4>(slots, members),
    };
    let mut candidates = Vec::with_capacity(slots as usize * stored);
    for slot in 0..slots as usize {
        let list = &indices[slot * thrown..][..thrown];
        candidates.extend(list.iter().map(|index| members[usize::from(*index)].id));
        if thrown < stored {
            let last = (0..).zip(members).find(|(index, _)| !list.contains(index));
            candidates.extend(last.map(|(_, member)| member.id));
        }
    }
    candidates
}

/// The first W members of each slot, by index.
fn indices<const W: usize>(slots: u32, members: &[Member]) -> Vec<u16> {
    equal_weights::<W>(slots, members).unwrap_or_else(|| any_weights::<W>(slots, members))
}

/// With equal weights time and index fit into 64 bits: the usual case, and the fast one. A round is one throw of each
/// member, or some more in a small fleet. `None` if weights differ, or if it takes more throws than fit.
///
/// A round first gathers the throws at slots that are still open, without a branch, because which these are is as hard to
/// predict as the hash is meant to be.
fn equal_weights<const W: usize>(slots: u32, members: &[Member]) -> Option<Vec<u16>> {
    if members.windows(2).any(|pair| pair[0].weight != pair[1].weight) {
        return None;
    }
    let shift = u64::BITS - slots.ilog2();
    let throws_a_round = ROUND.div_ceil(members.len());
    let mut lists = Lists::<u64, W>::new(slots);
    let mut seeds: Vec<u64> = members.iter().map(|member| u64::from(member.id)).collect();
    let mut useful = vec![(0, 0); seeds.len() * throws_a_round];
    let mut number = 0;
    // Past this a time would not fit any more.
    while number + (ROUND as u64) < 1 << FRACTION {
        let mut count = 0;
        for _ in 0..throws_a_round {
            for (index, seed) in (0_u64..).zip(&mut seeds) {
                let r = mix64(*seed);
                *seed = seed.wrapping_add(GOLDEN);
                let time = (number << FRACTION) | (r & ((1 << FRACTION) - 1));
                let slot = top_bits(r, shift);
                useful[count] = (slot, (time << 16) | index);
                count += usize::from(lists.is_open(slot));
            }
            number += 1;
        }
        for (slot, key) in &useful[..count] {
            lists.offer(*slot, *key);
        }
        if lists.end_round() == 0 {
            return Some(lists.indices());
        }
    }
    None
}

/// How many throws a round has at least.
const ROUND: usize = 256;

/// One member's throws: the next is made already, but not due yet.
struct Thrower {
    index: u16,
    seed: u64,
    weight: u64,
    number: u64,
    slot: usize,
    time: u128,
}

/// With any weights a round is the time in which all that still throw make about one throw each. A member that stands in
/// every open slot throws no more: else one of weight 65,535 would throw for ever while one of weight 1 looks for a slot.
fn any_weights<const W: usize>(slots: u32, members: &[Member]) -> Vec<u16> {
    let shift = u64::BITS - slots.ilog2();
    let mut lists = Lists::<u128, W>::new(slots);
    let throwers = (0..=u16::MAX).zip(members).map(|(index, member)| Thrower::new(index, *member, shift));
    let mut throwers: Vec<Thrower> = throwers.collect();
    let mut seats = Seats::new(members.len(), slots as usize);
    let mut end: u128 = 0;
    while seats.open > 0 {
        // Asked once a round: within one, a full slot may still change, and that takes everybody's throws.
        throwers.retain(|thrower| seats.wants(thrower.index));
        let weight: u64 = throwers.iter().map(|thrower| thrower.weight).sum();
        end += (u128::from(throwers.len() as u64) << (FRACTION + SCALE)) / u128::from(weight);
        for thrower in &mut throwers {
            while thrower.time < end {
                match lists.offer(thrower.slot, (thrower.time << 16) | u128::from(thrower.index)) {
                    Offer::Late | Offer::Swapped => {}
                    Offer::Seated => seats.seated(thrower.index),
                    Offer::Filled => seats.filled(lists.list(thrower.slot), thrower.index),
                }
                thrower.next(shift);
            }
        }
        lists.end_round();
    }
    lists.indices()
}

/// Bits by which a time is widened before it is divided by a weight. Times a/v and b/w that differ do so by at least
/// 1/(v·w) > 2⁻³², so after widening by 2³² they differ by more than 1 and keep their order when rounded down.
const SCALE: u32 = 32;

// === impl Thrower ===

impl Thrower {
    fn new(index: u16, member: Member, shift: u32) -> Self {
        let (seed, weight) = (u64::from(member.id), u64::from(member.weight));
        let mut thrower = Self { index, seed, weight, number: 0, slot: 0, time: 0 };
        thrower.aim(shift);
        thrower
    }

    fn next(&mut self, shift: u32) {
        self.number += 1;
        self.seed = self.seed.wrapping_add(GOLDEN);
        self.aim(shift);
    }

    fn aim(&mut self, shift: u32) {
        let r = mix64(self.seed);
        self.slot = top_bits(r, shift);
        let time = (self.number << FRACTION) | (r & ((1 << FRACTION) - 1));
        let (whole, part) = (time / self.weight, time % self.weight);
        self.time = (u128::from(whole) << SCALE) | u128::from((part << SCALE) / self.weight);
    }
}

/// Which members still have a slot to look for.
struct Seats {
    /// Slots that are not full.
    open: usize,
    /// Of them, how many each member stands in.
    held: Vec<usize>,
}

// === impl Seats ===

impl Seats {
    fn new(members: usize, slots: usize) -> Self {
        Self { open: slots, held: vec![0; members] }
    }

    /// Once false, it stays false: whoever stands in all open slots stands in all that are left when one is filled.
    fn wants(&self, index: u16) -> bool {
        self.held[usize::from(index)] < self.open
    }

    fn seated(&mut self, index: u16) {
        self.held[usize::from(index)] += 1;
    }

    fn filled(&mut self, list: impl Iterator<Item = u16>, newest: u16) {
        self.open -= 1;
        for index in list.filter(|index| *index != newest) {
            self.held[usize::from(index)] -= 1;
        }
    }
}
