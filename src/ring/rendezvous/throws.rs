//! Who hits which slot when.
//!
//! Member i throws its virtual servers j = 0, 1, 2 … one after the other. Number j lands at
//!
//! ```text
//! r = mix64(id + j·0x9E3779B97F4A7C15)    slot = r >> (64 − log₂ slots)    time = (j·2²⁴ + (r mod 2²⁴)) / weight
//! ```
//!
//! and each slot keeps the earliest members, ties going to the lower id. All of it is exact integer arithmetic; times are
//! compared as fractions. Only proportions of weights matter, so weights are divided by what they have in common.

use std::cmp::Ordering;

use crate::ring::Member;
use crate::ring::hash::{GOLDEN, mix64, top_bits};
use crate::ring::rendezvous::lists::Lists;
use crate::ring::rendezvous::{ticks, windows};

/// What is thrown at, who throws, and by which clock.
pub(super) struct Game {
    /// log₂ of the number of slots.
    bits: u32,
    /// Sorted by id; no number divides all weights.
    members: Box<[Member]>,
    pub(super) clock: Clock,
}

/// A member's throw at some slot; the earlier one is less.
#[derive(Clone, Copy)]
pub(super) struct Throw {
    pub(super) member: Member,
    /// Its time, times the weight.
    pub(super) time: u64,
}

/// Tells time in quanta, numbers of 8 bits that are kept for each candidate. They decide nearly always who of two came
/// first, and by its quantum a throw is found again.
///
/// Time is counted in ticks: in a tick, a member of weight 1 makes one throw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// A quantum has 2 to this power of the smallest parts of time.
    length: u32,
}

/// Bits of a throw's time behind the whole number j.
const FRACTION: u32 = 24;

/// log₂ of the largest number of slots.
const MOST_BITS: u32 = 20;

// === impl Game ===

impl Game {
    pub(super) fn new(slots: u32, members: &[Member]) -> Self {
        let members = reduced(members);
        let clock = Clock::new(slots, &members);
        Self { bits: slots.ilog2(), members, clock }
    }

    pub(super) fn with_clock(slots: u32, members: &[Member], clock: Clock) -> Self {
        Self { bits: slots.ilog2(), members: reduced(members), clock }
    }

    pub(super) fn slots(&self) -> u32 {
        1 << self.bits
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member as it throws here.
    pub(super) fn member(&self, id: u16) -> Member {
        let place = self.members.binary_search_by_key(&id, |member| member.id);
        self.members[place.expect("whoever sits in a slot is a member")]
    }

    /// Throws until every list is full.
    pub(super) fn fill(&self, lists: &mut Lists) {
        if self.clock.has_whole_ticks() { ticks::fill(self, lists) } else { windows::fill(self, lists) }
    }

    /// Where a throw lands.
    #[inline]
    pub(super) fn slot(&self, hash: u64) -> usize {
        // In two steps, so that the compiler sees that the lowest bits don't matter, and spares itself the last step of
        // mix64, which changes only those.
        top_bits(hash, u64::BITS - MOST_BITS) >> (MOST_BITS - self.bits)
    }

    /// A member's throws, one after the other, with slots and quanta.
    pub(super) fn throws(&self, member: Member) -> impl Iterator<Item = (usize, u64, Throw)> {
        (0..).map(move |number| {
            let hash = mix64(seed(member.id, number));
            let time = time(number, hash);
            (self.slot(hash), self.clock.quantum(time, member.weight), Throw { member, time })
        })
    }

    /// A member's first throw at this slot, of those with this number or a later one.
    pub(super) fn first(&self, member: Member, slot: usize, mut number: u64) -> Throw {
        let mut seed = seed(member.id, number);
        loop {
            let hash = mix64(seed);
            if self.slot(hash) == slot {
                return Throw { member, time: time(number, hash) };
            }
            (number, seed) = (number + 1, seed.wrapping_add(GOLDEN));
        }
    }

    /// A member's first throw at this slot, of which the quantum is known.
    pub(super) fn first_in_quantum(&self, id: u16, slot: usize, quantum: u8) -> Throw {
        let member = self.member(id);
        self.first(member, slot, self.clock.first_number(quantum, member.weight))
    }

    /// Who does not sit in all slots that are open. The others' throws are of no use any more: where they sit they don't
    /// sit down again, and no slot opens.
    pub(super) fn wanting(&self, lists: &Lists) -> Vec<Member> {
        let mut seats = vec![0; self.members.last().map_or(0, |last| usize::from(last.id) + 1)];
        for id in lists.waiting() {
            seats[usize::from(id)] += 1;
        }
        let wanting = self.members.iter().filter(|member| seats[usize::from(member.id)] < lists.open());
        wanting.copied().collect()
    }
}

/// The greatest common divisor of the weights; 1 without members.
pub(super) fn unit(members: &[Member]) -> u16 {
    let mut unit = 0;
    for member in members {
        let mut rest = member.weight;
        while rest != 0 {
            (unit, rest) = (rest, unit % rest);
        }
        if unit == 1 {
            break;
        }
    }
    unit.max(1)
}

/// The same proportions in the lowest numbers.
fn reduced(members: &[Member]) -> Box<[Member]> {
    let unit = unit(members);
    members.iter().map(|member| Member { weight: member.weight / unit, ..*member }).collect()
}

/// The sum of the weights.
pub(super) fn weight(members: &[Member]) -> u64 {
    members.iter().map(|member| u64::from(member.weight)).sum()
}

/// What a member's throw of this number is hashed from; the next number's is [`GOLDEN`] further.
#[inline]
pub(super) fn seed(id: u16, number: u64) -> u64 {
    u64::from(id).wrapping_add(number.wrapping_mul(GOLDEN))
}

/// A throw's time, times the weight.
#[inline]
pub(super) fn time(number: u64, hash: u64) -> u64 {
    (number << FRACTION) | (hash & ((1 << FRACTION) - 1))
}

// === impl Throw ===

impl Ord for Throw {
    fn cmp(&self, other: &Self) -> Ordering {
        let scaled = |one: &Self, other: &Self| u128::from(one.time) * u128::from(other.member.weight);
        scaled(self, other).cmp(&scaled(other, self)).then(self.member.id.cmp(&other.member.id))
    }
}

impl PartialOrd for Throw {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Throw {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Throw {}

// === impl Clock ===

impl Clock {
    /// The quantum of everything that comes too late to have one of its own.
    pub(super) const LATE: u8 = u8::MAX;

    /// log₂ of the smallest parts of time that a tick has.
    const TICK: u32 = 56;

    /// A quantum is the time of a quarter of a throw a slot, or of two throws a member if these are more, rounded down to a
    /// power of two. Tables are full after 17 to 35 throws a slot where weights are alike, and [`Self::LATE`] begins after
    /// 32 to 64.
    fn new(slots: u32, members: &[Member]) -> Self {
        let throws = u128::from(slots / 4).max(2 * members.len() as u128);
        Self { length: ((throws << Self::TICK) / u128::from(weight(members).max(1))).ilog2() }
    }

    /// Whether its quanta are neither much longer nor much shorter than they would be for these members.
    pub(super) fn suits(self, slots: u32, members: &[Member]) -> bool {
        self.length.abs_diff(Self::new(slots, members).length) <= 2
    }

    /// Whether no tick lies in two quanta.
    pub(super) fn has_whole_ticks(self) -> bool {
        self.length >= Self::TICK
    }

    /// How many ticks a quantum has, if these are whole.
    pub(super) fn ticks(self) -> u32 {
        1 << (self.length - Self::TICK)
    }

    pub(super) fn quantum_of_tick(self, tick: u32) -> u8 {
        u8::try_from(tick / self.ticks()).unwrap_or(Self::LATE)
    }

    /// The quantum of a throw, as if there were no end of them.
    #[inline]
    pub(super) fn quantum(self, time: u64, weight: u16) -> u64 {
        // A quantum is so long that each member has two throws in it or more, hence longer than what is shifted away.
        (time >> (self.length - (Self::TICK - FRACTION))) / u64::from(weight)
    }

    /// The number of a member's throw with which the quantum begins, or one before it.
    fn first_number(self, quantum: u8, weight: u16) -> u64 {
        self.number(u128::from(quantum) << self.length, weight)
    }

    /// In which number of throw a member is at this time.
    fn number(self, time: u128, weight: u16) -> u64 {
        u64::try_from((time * u128::from(weight)) >> Self::TICK).unwrap_or(u64::MAX)
    }

    /// Half a quantum, in the smallest parts of time.
    pub(super) fn half_a_quantum(self) -> u128 {
        1 << (self.length - 1)
    }

    /// The first time of a throw, times the weight, that comes no earlier than so many smallest parts of time.
    pub(super) fn due(end: u128, weight: u16) -> u64 {
        let due = (end * u128::from(weight)).div_ceil(1 << (Self::TICK - FRACTION));
        u64::try_from(due).unwrap_or(u64::MAX)
    }
}
