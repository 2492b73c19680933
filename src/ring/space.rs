//! Counting over the whole key space. Exact, because a ring is constant within each of its slots.

use crate::ring::Member;

/// Each member's part of the slots, in the members' order.
pub(super) fn shares(members: &[Member], owners: &[u16]) -> Vec<f64> {
    let mut slots_of = vec![0_u32; members.last().map_or(0, |last| usize::from(last.id) + 1)];
    for owner in owners {
        slots_of[usize::from(*owner)] += 1;
    }
    members.iter().map(|member| f64::from(slots_of[usize::from(member.id)]) / owners.len() as f64).collect()
}

/// The part of the key space whose owner differs between two rings, compared slot by slot of the finer one.
pub(super) fn moved_share(before: &[u16], after: &[u16]) -> f64 {
    let (coarse, fine) = if before.len() <= after.len() { (before, after) } else { (after, before) };
    if coarse.is_empty() {
        return if fine.is_empty() { 0.0 } else { 1.0 };
    }
    // Both are powers of two, so every slot of the finer ring lies in exactly one of the coarser.
    let within = fine.len() / coarse.len();
    let moved: usize = coarse
        .iter()
        .zip(fine.chunks_exact(within))
        .map(|(owner, slots)| slots.iter().filter(|slot| *slot != owner).count())
        .sum();
    moved as f64 / fine.len() as f64
}
