//! Each slot's earliest members while a table is built.
//!
//! Throws are offered round by round, a round being a span of time, so whoever comes in a later round sits behind all that
//! are there, and only those of one round have to be compared, which is rare. So lists hold no times and take 16 bytes,
//! and four members are compared and moved at once, without a branch: what a throw finds at its slot is as hard to predict
//! as the hash is meant to be.

use std::hint::{black_box, select_unpredictable};

use crate::ring::rendezvous::STORED;
use crate::ring::rendezvous::throws::Throw;

/// The first members of each slot, in order.
pub(super) struct Lists {
    /// How many a slot has, 1 to 4.
    seats: u32,
    lists: Vec<List>,
    /// One bit for each slot that takes nobody of a later round. Most throws come to such a slot, and the bits fit into a
    /// fast cache.
    closed: Vec<u64>,
    /// How many slots are not closed.
    open: usize,
}

/// Who came where when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) slot: usize,
    pub(super) id: u16,
    /// From 1, and never before that of an earlier offer.
    pub(super) round: u32,
    /// Rounds lie within quanta.
    pub(super) quantum: u8,
}

/// Up to four members, the latest in the lowest bits.
#[derive(Clone, Copy, Default)]
struct List {
    /// 16 bits each.
    ids: u64,
    /// When they came, 8 bits each.
    quanta: u32,
    /// From the lowest bits: 3, how many there are; 3, how many of them came in the latest round in which somebody did; 26,
    /// that round. More rounds are not needed: after 2²⁶ throws a member would still miss one of 2²⁰ slots with a
    /// probability of e⁻⁶⁴.
    state: u32,
}

const EACH: u64 = 0x0001_0001_0001_0001;

/// The bits of `ids` that a list of so many members takes.
const TAKEN: [u64; 8] = [0, 0xffff, 0xffff_ffff, 0xffff_ffff_ffff, u64::MAX, 0, 0, 0];

// === impl Lists ===

impl Lists {
    /// Empty lists of 1 to 4 seats.
    pub(super) fn new(slots: u32, seats: usize) -> Self {
        let mut closed = vec![0; slots.div_ceil(64) as usize];
        if slots < 64 {
            closed[0] = u64::MAX << slots;
        }
        Self::with_closed(slots, seats, closed, slots as usize)
    }

    /// Empty lists of which only these are open.
    pub(super) fn with_open(slots: u32, seats: usize, open: &[usize]) -> Self {
        let mut closed = vec![u64::MAX; slots.div_ceil(64) as usize];
        for slot in open {
            closed[slot / 64] &= !(1 << (slot % 64));
        }
        Self::with_closed(slots, seats, closed, open.len())
    }

    fn with_closed(slots: u32, seats: usize, closed: Vec<u64>, open: usize) -> Self {
        let seats = u32::try_from(seats.min(STORED)).unwrap_or_default();
        Self { seats, lists: vec![List::default(); slots as usize], closed, open }
    }

    /// How many slots take somebody in the next round.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// One bit for each slot that takes nobody in the next round.
    pub(super) fn closed(&self) -> &[u64] {
        &self.closed
    }

    /// Reads some lists and does nothing with them: reads wait for memory together, offers one after the other.
    #[inline]
    pub(super) fn read(&self, slots: impl Iterator<Item = usize>) {
        black_box(slots.fold(0, |all, slot| all | self.lists[slot].state));
    }

    /// Offers a throw at a slot that was open when its round began. Those of one round come in any order, but each member's
    /// in order. `first` finds a member's first throw at a slot of those in a round.
    #[inline]
    pub(super) fn offer(&mut self, arrival: Arrival, first: &impl Fn(u16, usize, u32) -> Throw) {
        let Arrival { slot, id, round, quantum } = arrival;
        let list = &mut self.lists[slot];
        if list.round() == round {
            return self.offer_in_same_round(arrival, first);
        }
        let filled = list.seat_last(self.seats, id, round, quantum);
        self.close(slot, filled);
    }

    #[cold]
    fn offer_in_same_round(&mut self, arrival: Arrival, first: &impl Fn(u16, usize, u32) -> Throw) {
        let Arrival { slot, id, round, quantum } = arrival;
        let filled = self.lists[slot].seat_by_time(self.seats, id, quantum, |id| first(id, slot, round));
        self.close(slot, filled);
    }

    /// Closes a slot that has been filled.
    #[inline]
    fn close(&mut self, slot: usize, filled: bool) {
        self.closed[slot / 64] |= u64::from(filled) << (slot % 64);
        self.open -= usize::from(filled);
    }

    /// Who sits in the slots that are open.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u16> + '_ {
        let is_open = |slot: &usize| (self.closed[slot / 64] >> (slot % 64)) & 1 == 0;
        (0..self.lists.len()).filter(is_open).flat_map(|slot| self.lists[slot].ids())
    }

    /// Who sits where, slot after slot, and in which quanta they came. All seats have to be taken; what there is no seat for
    /// is 0.
    pub(super) fn seated(&self) -> impl Iterator<Item = ([u16; STORED], [u8; STORED])> + Clone {
        self.lists.iter().map(|list| list.in_order(self.seats))
    }

    /// Who sits in one slot.
    pub(super) fn seated_at(&self, slot: usize) -> ([u16; STORED], [u8; STORED]) {
        self.lists[slot].in_order(self.seats)
    }
}

// === impl List ===

impl List {
    #[inline]
    fn len(self) -> u32 {
        self.state & 7
    }

    fn latest(self) -> u32 {
        (self.state >> 3) & 7
    }

    #[inline]
    fn round(self) -> u32 {
        self.state >> 6
    }

    #[inline]
    fn state(round: u32, latest: u32, len: u32) -> u32 {
        (round << 6) | (latest << 3) | len
    }

    #[expect(clippy::cast_possible_truncation, reason = "it is the lowest 16 bits")]
    fn id(self, lane: u32) -> u16 {
        (self.ids >> (16 * lane)) as u16
    }

    fn ids(self) -> impl Iterator<Item = u16> {
        (0..self.len()).map(move |lane| self.id(lane))
    }

    #[inline]
    fn in_order(self, seats: u32) -> ([u16; STORED], [u8; STORED]) {
        let vacant = 4 - seats;
        let list = Self { ids: self.ids << (16 * vacant), ..self };
        ([list.id(3), list.id(2), list.id(1), list.id(0)], (self.quanta << (8 * vacant)).to_be_bytes())
    }

    /// Whether a member sits here.
    #[inline]
    fn holds(self, id: u16) -> bool {
        let others = self.ids ^ (EACH * u64::from(id));
        // The highest bit of each lane that is zero, and perhaps of lanes above one.
        let zero = others.wrapping_sub(EACH) & !others & (EACH << 15);
        zero & TAKEN[self.len() as usize] != 0
    }

    /// Seats a member of a later round, if there is room and it isn't here. Returns whether that has filled the list.
    #[inline]
    fn seat_last(&mut self, seats: u32, id: u16, round: u32, quantum: u8) -> bool {
        let Self { ids, quanta, state } = *self;
        let len = self.len();
        let is_seated = (len < seats) & !self.holds(id);
        self.ids = select_unpredictable(is_seated, (ids << 16) | u64::from(id), ids);
        self.quanta = select_unpredictable(is_seated, (quanta << 8) | u32::from(quantum), quanta);
        self.state = select_unpredictable(is_seated, Self::state(round, 1, len + 1), state);
        is_seated & (len + 1 == seats)
    }

    /// Seats a member by its time among the latest, which came in the same round. Returns whether that has filled the list.
    fn seat_by_time(&mut self, seats: u32, id: u16, quantum: u8, first: impl Fn(u16) -> Throw) -> bool {
        if self.ids().any(|other| other == id) {
            return false;
        }
        let throw = first(id);
        let mut lane = (0..self.latest()).find(|lane| first(self.id(*lane)) < throw).unwrap_or(self.latest());
        let was_full = self.len() == seats;
        if was_full {
            if lane == 0 {
                return false;
            }
            self.unseat_last();
            lane -= 1;
        }
        let (later, later_quanta) = ((1 << (16 * lane)) - 1, (1 << (8 * lane)) - 1);
        let (ids, quanta) = (self.ids, self.quanta);
        self.ids = ((ids & !later) << 16) | (u64::from(id) << (16 * lane)) | (ids & later);
        self.quanta = ((quanta & !later_quanta) << 8) | (u32::from(quantum) << (8 * lane)) | (quanta & later_quanta);
        self.state = Self::state(self.round(), self.latest() + 1, self.len() + 1);
        !was_full && self.len() == seats
    }

    fn unseat_last(&mut self) {
        self.ids >>= 16;
        self.quanta >>= 8;
        self.state = Self::state(self.round(), self.latest() - 1, self.len() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Member;

    /// Offers members to slot 1 of 2; where several come in one round, each at the time of its id.
    fn offered(seats: usize, arrivals: &[(u16, u32)]) -> Lists {
        let mut lists = Lists::new(2, seats);
        let first = |id, _, _| Throw { member: Member { id, weight: 1 }, time: id.into() };
        for (id, round) in arrivals {
            let quantum = u8::try_from(*round).expect("small") * 10;
            lists.offer(Arrival { slot: 1, id: *id, round: *round, quantum }, &first);
        }
        lists
    }

    #[test]
    fn who_comes_in_a_later_round_sits_behind_and_who_comes_when_all_seats_are_taken_does_not() {
        let lists = offered(3, &[(9, 1), (4, 2), (7, 4), (2, 5)]);
        assert_eq!((lists.seated_at(1), lists.open()), (([9, 4, 7, 0], [10, 20, 40, 0]), 1));
        assert_eq!(lists.closed(), [u64::MAX << 1]);
    }

    #[test]
    fn who_comes_in_one_round_sits_in_the_order_of_time() {
        let lists = offered(4, &[(9, 1), (4, 2), (7, 2), (5, 2)]);
        assert_eq!((lists.seated_at(1), lists.open()), (([9, 4, 5, 7], [10, 20, 20, 20]), 1));
    }

    #[test]
    fn who_comes_earlier_in_the_round_in_which_a_slot_was_filled_takes_the_seat_of_the_last() {
        let lists = offered(3, &[(9, 1), (4, 2), (7, 2), (8, 2), (5, 2), (1, 2)]);
        assert_eq!((lists.seated_at(1), lists.open()), (([9, 1, 4, 0], [10, 20, 20, 0]), 1));
    }

    #[test]
    fn nobody_sits_in_a_slot_twice() {
        let lists = offered(4, &[(0, 1), (0, 1), (0, 2), (65_535, 3), (0, 3), (65_535, 4)]);
        assert_eq!((lists.waiting().collect::<Vec<u16>>(), lists.open()), (vec![65_535, 0], 2));
    }

    #[test]
    fn only_the_open_slots_wait() {
        let lists = Lists::with_open(128, 2, &[3, 64, 127]);
        assert_eq!((lists.open(), lists.closed()), (3, &[!(1 << 3), !(1 | 1 << 63)][..]));
    }
}
