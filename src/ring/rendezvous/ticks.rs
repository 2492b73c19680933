//! Throwing tick by tick: the usual way, and the fast one.
//!
//! In a tick a member makes as many throws as its weight says, all of them before those of the next tick. So it is known
//! beforehand who throws when, and the throws of some ticks, a volley, are one loop over numbers that lie in a row. With
//! 1000 members, each slot is thrown at 19 times until all are full, and 15 of the throws come to a slot that is full
//! already; so a volley first gathers those that are of use.

use crate::ring::Member;
use crate::ring::hash::{GOLDEN, mix64, top_bits};
use crate::ring::rendezvous::lists::{Arrival, Lists};
use crate::ring::rendezvous::throws::{Clock, Game, Throw, seed, weight};

/// The throws of some ticks, one after the other.
struct Volley {
    ticks: u32,
    throws: Vec<Hashed>,
    throwers: Vec<Thrower>,
    useful: Vec<Useful>,
}

/// What a throw is hashed from, and how far from there is that of the same place in the next volley.
struct Hashed {
    seed: u64,
    step: u64,
}

/// Who throws, in which of the volley's ticks.
#[derive(Clone, Copy)]
struct Thrower {
    id: u16,
    tick: u32,
}

/// A throw that comes to an open slot, and its place in the volley.
#[derive(Clone, Copy, Default)]
struct Useful {
    slot: u32,
    place: u32,
}

/// How many throws a volley has if a tick has less.
const THROWS: u64 = 1024;

/// How many offers wait for memory together.
const OFFERS: usize = 64;

/// The size that most tables have.
const DEFAULT_SLOTS: usize = 1 << 16;

/// Throws until every list is full.
pub(super) fn fill(game: &Game, lists: &mut Lists) {
    let late = game.clock.ticks() * u32::from(Clock::LATE);
    let mut volley = Volley::new(game, game.members(), 0);
    let (mut tick, mut review) = (0, late);
    while lists.open() > 0 {
        if tick >= review {
            // Else one of great weight would throw for ever while one of weight 1 looks for a slot.
            volley = Volley::new(game, &game.wanting(lists), tick);
            review = tick + volley.ticks * game.slots().div_ceil(volley.len());
        }
        let useful = volley.throw(game, lists);
        volley.offer(game, lists, tick, useful);
        tick += volley.ticks;
    }
}

// === impl Volley ===

impl Volley {
    /// What these members throw from a tick on.
    fn new(game: &Game, members: &[Member], tick: u32) -> Self {
        let most = u64::from(game.slots() / 4).min(THROWS) / weight(members).max(1);
        // A power of two, so that it lies within a quantum.
        let ticks = 1 << most.max(1).ilog2().min(game.clock.ticks().ilog2());
        let (mut throws, mut throwers) = (Vec::new(), Vec::new());
        for later in 0..ticks {
            for Member { id, weight } in members {
                let weight = u64::from(*weight);
                let numbers = (0..weight).map(|number| u64::from(tick + later) * weight + number);
                let step = GOLDEN.wrapping_mul(u64::from(ticks) * weight);
                throws.extend(numbers.map(|number| Hashed { seed: seed(*id, number), step }));
                throwers.resize(throws.len(), Thrower { id: *id, tick: later });
            }
        }
        let useful = vec![Useful::default(); throws.len() + 1];
        Self { ticks, throws, throwers, useful }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.throws.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Throws, and gathers what comes to open slots. Returns how much that is.
    fn throw(&mut self, game: &Game, lists: &Lists) -> usize {
        let are_many = lists.open() > game.slots() as usize / 16;
        let closed = lists.closed();
        // The default size has loops of its own: knowing how many bits a slot has, they are a sixth shorter.
        match (are_many, <&[u64; DEFAULT_SLOTS / 64]>::try_from(closed)) {
            (true, Ok(closed)) => self.gather_many(|hash| look(closed, top_bits(hash, DEFAULT_SHIFT))),
            (true, Err(_)) => self.gather_many(|hash| look(closed, game.slot(hash))),
            (false, Ok(closed)) => self.gather_few(|hash| look(closed, top_bits(hash, DEFAULT_SHIFT))),
            (false, Err(_)) => self.gather_few(|hash| look(closed, game.slot(hash))),
        }
    }

    /// Without a branch: while many slots are open, it can't be predicted whether a throw finds one.
    #[inline(never)] // in a function of its own, the loop has all registers
    fn gather_many(&mut self, look: impl Fn(u64) -> (u32, bool)) -> usize {
        let useful = &mut self.useful[..];
        let mut count = 0;
        for (place, throw) in (0..).zip(&mut self.throws) {
            let (slot, is_open) = look(mix64(throw.seed));
            throw.seed = throw.seed.wrapping_add(throw.step);
            useful[count] = Useful { slot, place };
            count += usize::from(is_open);
        }
        count
    }

    /// With a branch: where few slots are open, it is well predicted that a throw finds none.
    #[inline(never)] // as above
    fn gather_few(&mut self, look: impl Fn(u64) -> (u32, bool)) -> usize {
        let useful = &mut self.useful[..];
        let mut count = 0;
        for (place, throw) in (0..).zip(&mut self.throws) {
            let (slot, is_open) = look(mix64(throw.seed));
            throw.seed = throw.seed.wrapping_add(throw.step);
            if is_open {
                useful[count] = Useful { slot, place };
                count += 1;
            }
        }
        count
    }

    /// Offers what has been gathered in the volley that began with this tick.
    #[inline(never)] // as above
    fn offer(&self, game: &Game, lists: &mut Lists, tick: u32, useful: usize) {
        let quantum = game.clock.quantum_of_tick(tick);
        // A round is a tick, counted from 1.
        let first = |id, slot, round: u32| -> Throw {
            let member = game.member(id);
            game.first(member, slot, u64::from(round - 1) * u64::from(member.weight))
        };
        for offers in self.useful[..useful].chunks(OFFERS) {
            lists.read(offers.iter().map(|useful| useful.slot as usize));
            for Useful { slot, place } in offers {
                let thrower = self.throwers[*place as usize];
                let round = tick + thrower.tick + 1;
                lists.offer(Arrival { slot: *slot as usize, id: thrower.id, round, quantum }, &first);
            }
        }
    }
}

const DEFAULT_SHIFT: u32 = u64::BITS - DEFAULT_SLOTS.ilog2();

/// A slot, and whether it is open.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a slot has at most 20 bits")]
fn look(closed: &[u64], slot: usize) -> (u32, bool) {
    (slot as u32, (closed[slot / 64] >> (slot % 64)) & 1 == 0)
}
