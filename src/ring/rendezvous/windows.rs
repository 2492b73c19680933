//! Throwing window by window: for weights of which a tick would be too long.
//!
//! With weights of 1 to 1000, a tick of 1000 members is half a million throws. So time is cut finer than ticks: into
//! windows, half a quantum each. Who throws how often in one depends on the throws, so each member always has the next one
//! ready and makes it when it is due.

use crate::ring::Member;
use crate::ring::hash::{GOLDEN, mix64};
use crate::ring::rendezvous::lists::{Arrival, Lists};
use crate::ring::rendezvous::throws::{Clock, Game, Throw, seed, time};

/// A member with its next throw.
struct Thrower {
    member: Member,
    number: u64,
    hash: u64,
    /// The number with which the window began.
    first: u64,
}

/// A throw that comes to an open slot, and the place of its thrower.
type Useful = (usize, usize);

/// How many offers wait for memory together.
const OFFERS: usize = 64;

/// Throws until every list is full.
pub(super) fn fill(game: &Game, lists: &mut Lists) {
    let mut throwers: Vec<Thrower> = game.members().iter().map(|member| Thrower::new(*member)).collect();
    let mut useful = Vec::new();
    let mut length = game.clock.half_a_quantum();
    let mut end = 0;
    for round in 1.. {
        let quantum = u8::try_from((round - 1) / 2).unwrap_or(Clock::LATE);
        if quantum == Clock::LATE {
            // Now windows may be longer, and become so, since a member of weight 1 may need very many. One of great weight
            // would throw for ever beside it.
            length += length / 64;
            let wanting = game.wanting(lists);
            let wants = |id| wanting.binary_search_by_key(&id, |member| member.id).is_ok();
            throwers.retain(|thrower| wants(thrower.member.id));
        }
        end += length;
        let count = gather(game, lists, &mut throwers, end, &mut useful);
        let first = |id: u16, slot, _| -> Throw {
            let place = throwers.binary_search_by_key(&id, |thrower| thrower.member.id);
            let thrower = &throwers[place.expect("who came in this window has thrown in it")];
            game.first(thrower.member, slot, thrower.first)
        };
        for offers in useful[..count].chunks(OFFERS) {
            lists.read(offers.iter().map(|(slot, _)| *slot));
            for (slot, place) in offers {
                let id = throwers[*place].member.id;
                lists.offer(Arrival { slot: *slot, id, round, quantum }, &first);
            }
        }
        if lists.open() == 0 {
            return;
        }
    }
}

/// Makes all throws that are due, and gathers those that come to open slots. Returns how many these are.
fn gather(game: &Game, lists: &Lists, throwers: &mut [Thrower], end: u128, useful: &mut Vec<Useful>) -> usize {
    let closed = lists.closed();
    let mut count = 0;
    for (place, thrower) in throwers.iter_mut().enumerate() {
        let due = Clock::due(end, thrower.member.weight);
        let mut seed = seed(thrower.member.id, thrower.number);
        thrower.first = thrower.number;
        while time(thrower.number, thrower.hash) < due {
            if count == useful.len() {
                useful.resize(2 * count + OFFERS, (0, 0));
            }
            let slot = game.slot(thrower.hash);
            useful[count] = (slot, place);
            count += usize::from((closed[slot / 64] >> (slot % 64)) & 1 == 0);
            seed = seed.wrapping_add(GOLDEN);
            (thrower.number, thrower.hash) = (thrower.number + 1, mix64(seed));
        }
    }
    count
}

// === impl Thrower ===

impl Thrower {
    fn new(member: Member) -> Self {
        Self { member, number: 0, hash: mix64(seed(member.id, 0)), first: 0 }
    }
}
