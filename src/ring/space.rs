//! Counting over the whole key space. Exact, because a ring is constant within each of its arcs.

use crate::ring::Member;

/// A ring as a function of the hash alone: the space of hashes in arcs, in their order, each with its owner.
#[derive(Clone, Copy)]
pub(super) struct Space<'ring> {
    pub(super) owners: &'ring [u16],
    pub(super) arcs: Arcs<'ring>,
}

/// Where the arcs end.
#[derive(Clone, Copy)]
pub(super) enum Arcs<'ring> {
    /// As many equal arcs as there are owners.
    Equal,
    /// An arc ends with each of these highest 32 bits; behind the last, the first owner's begins anew.
    Points(&'ring [u32]),
}

/// What becomes of keys when one ring follows another.
#[derive(Debug, Clone, PartialEq)]
pub struct Moves {
    /// The share of the key space, 0 to 1, that has another owner.
    pub moved: f64,
    /// The least that has to move, whatever the algorithm, so that the members' shares become what they are now: what
    /// those gain that gain.
    pub needed: f64,
    /// By member that has keys in either ring, sorted by id.
    pub members: Vec<MemberMoves>,
}

/// What becomes of one member's keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemberMoves {
    /// Which.
    pub id: u16,
    /// Its share of the key space before.
    pub before: f64,
    /// And after.
    pub after: f64,
    /// The share that goes from it to others.
    pub lost: f64,
    /// The share that comes to it from others.
    pub gained: f64,
}

/// The space of 64-bit hashes has so many.
const WHOLE: u128 = 1 << 64;

// === impl Space ===

impl<'ring> Space<'ring> {
    /// Each arc's last hash and owner.
    pub(super) fn arcs(self) -> impl Iterator<Item = (u64, u16)> + 'ring {
        let last = |end: u128| u64::try_from(end - 1).unwrap_or(u64::MAX);
        (0..self.count()).map(move |arc| (last(self.end(arc)), self.owner(arc)))
    }
}

impl Space<'_> {
    /// Each member's part, in the members' order.
    pub(super) fn shares(self, members: &[Member]) -> Vec<f64> {
        let mut sizes = vec![0_u128; members.last().map_or(0, |last| usize::from(last.id) + 1)];
        let whole = match self.arcs {
            Arcs::Equal => {
                for owner in self.owners {
                    sizes[usize::from(*owner)] += 1;
                }
                self.owners.len() as u128
            }
            Arcs::Points(_) => {
                let mut begin = 0;
                for arc in 0..self.count() {
                    sizes[usize::from(self.owner(arc))] += self.end(arc) - begin;
                    begin = self.end(arc);
                }
                WHOLE
            }
        };
        members.iter().map(|member| part(sizes[usize::from(member.id)], whole)).collect()
    }

    /// What becomes of the keys if the other follows.
    pub(super) fn moves(self, next: Space<'_>) -> Moves {
        let ids = self.owners.iter().chain(next.owners).max().map_or(0, |last| usize::from(*last) + 1);
        let mut ledger = Ledger { sizes: vec![Sizes::default(); ids], moved: 0, whole: 0 };
        match (self.arcs, next.arcs) {
            (Arcs::Equal, Arcs::Equal) if self.owners.len() == next.owners.len() => {
                for (before, after) in self.owners.iter().zip(next.owners) {
                    ledger.enter(Some(*before), Some(*after), 1);
                }
            }
            _ => self.each_common_arc(next, |before, after, size| ledger.enter(before, after, size)),
        }
        ledger.moves()
    }

    /// Every range of hashes within which neither ring changes its owner.
    fn each_common_arc(self, next: Space<'_>, mut enter: impl FnMut(Option<u16>, Option<u16>, u128)) {
        let (mut begin, mut one, mut other) = (0, 0, 0);
        while begin < WHOLE {
            let ends = (self.end(one), next.end(other));
            let end = ends.0.min(ends.1);
            let owner = |space: Space<'_>, arc| (!space.owners.is_empty()).then(|| space.owner(arc));
            enter(owner(self, one), owner(next, other), end - begin);
            one += usize::from(ends.0 == end);
            other += usize::from(ends.1 == end);
            begin = end;
        }
    }

    pub(super) fn count(self) -> usize {
        match self.arcs {
            Arcs::Equal => self.owners.len(),
            // What lies behind the last point is the first one's.
            Arcs::Points(points) => points.len() + usize::from(points.last().is_some_and(|last| *last != u32::MAX)),
        }
    }

    fn owner(self, arc: usize) -> u16 {
        self.owners[if arc == self.owners.len() { 0 } else { arc }]
    }

    /// The first hash behind an arc.
    pub(super) fn end(self, arc: usize) -> u128 {
        match self.arcs {
            _ if self.owners.is_empty() => WHOLE,
            Arcs::Equal => (WHOLE * (arc as u128 + 1)).div_ceil(self.owners.len() as u128),
            Arcs::Points(points) => points.get(arc).map_or(WHOLE, |point| (u128::from(*point) + 1) << 32),
        }
    }
}

/// What was counted so far, in hashes or in slots.
struct Ledger {
    sizes: Vec<Sizes>,
    moved: u128,
    whole: u128,
}

/// One member's.
#[derive(Clone, Copy, Default)]
struct Sizes {
    before: u128,
    after: u128,
    lost: u128,
    gained: u128,
}

// === impl Ledger ===

impl Ledger {
    #[inline]
    fn enter(&mut self, before: Option<u16>, after: Option<u16>, size: u128) {
        self.whole += size;
        let moves = if before == after { 0 } else { size };
        self.moved += moves;
        if let Some(id) = before {
            let of = &mut self.sizes[usize::from(id)];
            (of.before, of.lost) = (of.before + size, of.lost + moves);
        }
        if let Some(id) = after {
            let of = &mut self.sizes[usize::from(id)];
            (of.after, of.gained) = (of.after + size, of.gained + moves);
        }
    }

    fn moves(self) -> Moves {
        let part = |size| part(size, self.whole);
        let ids = 0..=u16::MAX;
        let there = ids.zip(&self.sizes).filter(|(_, of)| of.before + of.after > 0);
        let members = there.map(|(id, Sizes { before, after, lost, gained })| MemberMoves {
            id,
            before: part(*before),
            after: part(*after),
            lost: part(*lost),
            gained: part(*gained),
        });
        let members = members.collect();
        let gains: u128 = self.sizes.iter().map(|of| of.after.saturating_sub(of.before)).sum();
        let losses: u128 = self.sizes.iter().map(|of| of.before.saturating_sub(of.after)).sum();
        // They differ only where a ring without members comes or goes.
        Moves { moved: part(self.moved), needed: part(gains.max(losses)), members }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn part(size: u128, whole: u128) -> f64 {
    if whole == 0 { 0.0 } else { size as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_cover_all_hashes_once_wherever_the_last_point_stands() {
        let arcs = |points| Space { owners: &[1, 2], arcs: Arcs::Points(points) }.arcs().collect::<Vec<_>>();
        assert_eq!(arcs(&[0, 6]), [(0xffff_ffff, 1), (0x6_ffff_ffff, 2), (u64::MAX, 1)]);
        assert_eq!(arcs(&[0, u32::MAX]), [(0xffff_ffff, 1), (u64::MAX, 2)]);
    }
}
