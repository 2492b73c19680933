//! The candidates behind the stored ones: plain weighted rendezvous order, evaluated for one slot when somebody asks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ring::Member;
use crate::ring::hash::mix64;

/// All members that a slot does not store, the next on top. Costs O(members) once and O(log members) for each.
pub(super) struct Rest {
    heap: BinaryHeap<Reverse<(u64, u16)>>,
}

impl Rest {
    pub(super) fn new(slot: usize, members: &[Member], is_stored: impl Fn(u16) -> bool) -> Self {
        let others = members.iter().filter(|member| !is_stored(member.id));
        Self { heap: others.map(|member| Reverse((waiting_time(slot, *member), member.id))).collect() }
    }

    pub(super) fn next(&mut self) -> Option<u16> {
        self.heap.pop().map(|Reverse((_, id))| id)
    }
}

/// An exponential waiting time with the member's weight as its rate, in integers so that architectures agree:
/// −log₂ of a uniform number, interpolated linearly between powers of two.
fn waiting_time(slot: usize, member: Member) -> u64 {
    let uniform = mix64(mix64(((slot as u64) << 16) | u64::from(member.id)) ^ REST);
    let zeros = uniform.leading_zeros();
    let mantissa = uniform.checked_shl(zeros + 1).unwrap_or(0) >> 32;
    let waiting = (u64::from(zeros) << 32) + (u64::from(u32::MAX) - mantissa);
    (waiting << 16) / u64::from(member.weight)
}

/// Keeps these times apart from those of the throws; the digits of π.
const REST: u64 = 0x243F_6A88_85A3_08D3;
