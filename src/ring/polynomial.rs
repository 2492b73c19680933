//! The 512-slot ring of the classic design: H(i) = i² + 2i + 17, Φ(i, j) = i² + j² + 2j + 25, both mod 512, unless other
//! factors are asked for.
//!
//! Kept for its golden numbers and as a demonstration, not for its evenness: H reaches only 87 of the 512 slots, and Φ
//! keeps the virtual servers of one member close together.

use crate::ring::Member;
use crate::ring::hash::top_bits;
use crate::ring::spec::{KeyPolynomial, Polynomials, ServerPolynomial};
use crate::ring::walk::Walk;

/// The circle's size. The polynomials need no more of a key than its number mod 512.
pub(super) const SLOTS: u32 = 512;

/// log₂ 512: nine virtual servers for each unit of weight.
const VIRTUAL_SERVERS: u32 = 9;

/// More members than this find no slot for all their virtual servers.
pub(super) const MAX_MEMBERS: u32 = SLOTS / VIRTUAL_SERVERS;

/// The circle with its virtual servers.
#[derive(Debug, Clone)]
pub(super) struct Polynomial {
    /// Whose the virtual servers are, clockwise.
    circle: Box<[u16]>,
    /// For each key number, 0 to 511, the first virtual server that is not before its slot; empty without members.
    starts: Box<[u16]>,
    /// The owner of each key number.
    owners: Box<[u16]>,
}

// === impl Polynomial ===

impl Polynomial {
    /// Builds the ring of these members, sorted by id, which are few enough.
    pub(super) fn build(polynomials: &Polynomials, members: &[Member]) -> Self {
        let slots = seats(polynomials.server, members);
        let circle: Box<[u16]> = slots.iter().filter_map(|slot| *slot).collect();
        let starts: Box<[u16]> = match circle.len() {
            0 => Box::default(),
            servers => (0..SLOTS)
                .map(|number| {
                    let before = slots[..polynomials.key.slot(number)].iter().flatten().count();
                    u16::try_from(before % servers).expect("there are 512 slots")
                })
                .collect(),
        };
        let owners = starts.iter().map(|start| circle[usize::from(*start)]).collect();
        Self { circle, starts, owners }
    }

    #[inline]
    pub(super) fn primary(&self, hash: u64) -> Option<u16> {
        self.owners.get(key_number(hash)).copied()
    }

    pub(super) fn candidates<'ring>(&'ring self, members: &'ring [Member], hash: u64) -> Walk<'ring> {
        let start = self.starts.get(key_number(hash)).copied().unwrap_or_default();
        Walk::new(&self.circle, members, start.into())
    }

    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// With [`starts`](Self::starts), decides over all candidates.
    pub(super) fn circle(&self) -> &[u16] {
        &self.circle
    }

    pub(super) fn starts(&self) -> &[u16] {
        &self.starts
    }

    pub(super) fn bytes(&self) -> usize {
        [&self.circle, &self.starts, &self.owners].map(|part| size_of_val(&**part)).iter().sum()
    }
}

/// Seats the members one after the other; who finds a slot taken probes on linearly. The classic design counts servers
/// from 1, so ordinal 0 is server 1.
fn seats(polynomial: ServerPolynomial, members: &[Member]) -> [Option<u16>; SLOTS as usize] {
    let mut slots = [None; SLOTS as usize];
    for member in members {
        for j in 0..VIRTUAL_SERVERS * u32::from(member.weight) {
            let wish = polynomial.slot(u32::from(member.id) + 1, j);
            let free = (wish..wish + SLOTS).map(|slot| (slot % SLOTS) as usize).find(|slot| slots[*slot].is_none());
            slots[free.expect("the limit leaves a slot for every virtual server")] = Some(member.id);
        }
    }
    slots
}

/// A hash's highest bits, as for every other algorithm, so that key spaces compare slot by slot.
fn key_number(hash: u64) -> usize {
    top_bits(hash, u64::BITS - SLOTS.ilog2())
}

// === impl KeyPolynomial, ServerPolynomial ===

impl KeyPolynomial {
    /// Where a key stands.
    fn slot(self, number: u32) -> usize {
        let [square, linear, constant] =
            [self.square, self.linear, self.constant].map(|factor| u32::from(factor) % SLOTS);
        let i = number % SLOTS;
        ((square * (i * i % SLOTS) + linear * i + constant) % SLOTS) as usize
    }
}

impl ServerPolynomial {
    /// Where a virtual server would like to stand.
    fn slot(self, server: u32, virtual_server: u32) -> u32 {
        let Self { server_square, server_linear, virtual_square, virtual_linear, constant } = self;
        let factors = [server_square, server_linear, virtual_square, virtual_linear, constant];
        let [a, b, c, d, e] = factors.map(|factor| u32::from(factor) % SLOTS);
        let (i, j) = (server % SLOTS, virtual_server % SLOTS);
        (a * (i * i % SLOTS) + b * i + c * (j * j % SLOTS) + d * j + e) % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ring::{Ring, RingSpec};

    const CLASSIC: RingSpec = RingSpec::Polynomial(Polynomials::CLASSIC);

    fn ring(count: u16) -> Ring {
        let members: Vec<Member> = (0..count).map(|id| Member { id, weight: 1 }).collect();
        Ring::build(CLASSIC, &members).expect("fits")
    }

    #[test]
    fn keys_reach_87_slots_of_the_circle() {
        let reached: BTreeSet<usize> = (0..512).map(|number| Polynomials::CLASSIC.key.slot(number)).collect();
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
        let slots = seats(Polynomials::CLASSIC.server, &members);
        let stands = |id| (0..512).filter(|slot| slots[*slot] == Some(id)).collect::<Vec<usize>>();
        assert_eq!(stands(0), [26, 29, 34, 41, 50, 61, 74, 89, 106]);
        assert_eq!(stands(1), [30, 32, 37, 44, 53, 64, 77, 92, 109]);
    }

    #[test]
    fn fifty_six_members_fit_and_one_more_is_refused_with_the_limit() {
        let full = ring(56);
        assert_eq!(full.candidates(0).collect::<BTreeSet<u16>>(), (0..56).collect());
        let members: Vec<Member> = (0..57).map(|id| Member { id, weight: 1 }).collect();
        assert_eq!(
            Ring::build(CLASSIC, &members).expect_err("too many").to_string(),
            "a Polynomial ring of this size seats at most 56 members, counted by weight, not 57; use Rendezvous or \
             another size"
        );
    }

    #[test]
    fn other_polynomials_seat_otherwise() {
        let key = KeyPolynomial { square: 0, linear: 3, constant: 1 };
        assert_eq!((key.slot(0), key.slot(200), key.slot(511)), (1, 89, 510));
        let server = ServerPolynomial { server_square: 0, server_linear: 57, ..Polynomials::CLASSIC.server };
        assert_eq!((server.slot(1, 0), server.slot(2, 3), server.slot(9, 511)), (82, 154, 25));
    }

    #[test]
    fn the_highest_id_has_a_place() {
        let members = [Member { id: u16::MAX, weight: 1 }];
        let ring = Ring::build(CLASSIC, &members).expect("fits");
        assert_eq!(ring.candidates(7).collect::<Vec<u16>>(), [u16::MAX]);
    }
}
