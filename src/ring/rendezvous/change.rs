//! A table made from the one before.
//!
//! Who leaves, leaves seats empty, and everybody throws again, at these slots alone. Who joins throws alone, until a time at
//! which all seats were taken, and finds its place in a slot by the quanta of those that sit there; where quanta are equal,
//! the other's throw is looked for in its quantum. A weight that changes is a member that leaves and another that joins.

use std::cmp::Ordering;

use crate::ring::Member;
use crate::ring::rendezvous::lists::Lists;
use crate::ring::rendezvous::throws::{Clock, Game, Throw, unit, weight};
use crate::ring::rendezvous::{Rendezvous, STORED, keeps_times};

/// The table of the members `after`, made from that of the members `before`; both sorted by id, and the latter distinct and
/// of weight 1 or more. `None` if it is as quick to build it.
pub(super) fn change(table: &Rendezvous, before: &[Member], after: &[Member]) -> Option<Rendezvous> {
    let clock = table.times.as_ref().filter(|_| keeps_times(after))?.clock;
    let slots = u32::try_from(table.owners.len()).ok()?;
    let game = Game::with_clock(slots, after, clock);
    if unit(before) != unit(after) || !clock.suits(slots, game.members()) {
        return None;
    }
    let joining: Vec<Member> = missing(after, before).map(|member| game.member(member.id)).collect();
    if weight(&joining) > weight(game.members()) / 16 {
        return None;
    }
    let vacated = vacated(table, missing(before, after));
    if vacated.len() > table.owners.len() / 2 {
        return None;
    }
    let mut table = table.clone();
    if !vacated.is_empty() {
        let mut lists = Lists::with_open(slots, STORED, &vacated);
        game.fill(&mut lists);
        for slot in vacated {
            let (ids, quanta) = lists.seated_at(slot);
            table.set(slot, ids, quanta);
        }
    }
    for member in joining {
        join(&mut table, &game, member)?;
    }
    Some(table)
}

/// The members that are not among the others with the same weight.
fn missing<'a>(members: &'a [Member], others: &'a [Member]) -> impl Iterator<Item = &'a Member> {
    let mut others = others.iter().peekable();
    members.iter().filter(move |member| {
        while others.next_if(|other| other.id < member.id).is_some() {}
        others.peek() != Some(member)
    })
}

/// The slots in which one of these sits.
fn vacated<'a>(table: &Rendezvous, leaving: impl Iterator<Item = &'a Member>) -> Vec<usize> {
    let mut leaving = leaving.peekable();
    if leaving.peek().is_none() {
        return Vec::new();
    }
    // As long as it may be, so that looking into it needs no check.
    let mut leaves = Box::new([false; 1 << 16]);
    for member in leaving {
        leaves[usize::from(member.id)] = true;
    }
    let leaves = |id: &u16| leaves[usize::from(*id)];
    let successors = table.successors.as_chunks::<{ STORED - 1 }>().0;
    let slots = table.owners.iter().zip(successors).enumerate();
    let vacated = slots.filter(|(_, (owner, [a, b, c]))| leaves(owner) | leaves(a) | leaves(b) | leaves(c));
    vacated.map(|(slot, _)| slot).collect()
}

/// Seats a newcomer wherever it comes before the last. `None` if some slot's last came too late to have a quantum.
fn join(table: &mut Rendezvous, game: &Game, newcomer: Member) -> Option<()> {
    let quanta = &table.times.as_ref()?.quanta;
    let latest = quanta.iter().map(|quanta| quanta[STORED - 1]).max().filter(|latest| *latest < Clock::LATE)?;
    for (slot, quantum, throw) in game.throws(newcomer) {
        match u8::try_from(quantum).ok().filter(|quantum| *quantum <= latest) {
            Some(quantum) => seat(table, game, slot, quantum, throw)?,
            None => break,
        }
    }
    Some(())
}

/// Seats a newcomer in a slot, if it comes before the last and has not come before.
fn seat(table: &mut Rendezvous, game: &Game, slot: usize, quantum: u8, throw: Throw) -> Option<()> {
    let (mut ids, mut quanta) = table.get(slot)?;
    if quantum > quanta[STORED - 1] || ids.contains(&throw.member.id) {
        return Some(());
    }
    let comes_first = |place: &usize| match quanta[*place].cmp(&quantum) {
        Ordering::Less => true,
        Ordering::Equal => game.first_in_quantum(ids[*place], slot, quantum) < throw,
        Ordering::Greater => false,
    };
    let place = (0..STORED).rev().find(comes_first).map_or(0, |place| place + 1);
    if place < STORED {
        ids[place..].rotate_right(1);
        quanta[place..].rotate_right(1);
        (ids[place], quanta[place]) = (throw.member.id, quantum);
        table.set(slot, ids, quanta);
    }
    Some(())
}
