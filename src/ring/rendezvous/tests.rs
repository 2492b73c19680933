//! A table that is made from another is the one that would be built, and both ways of throwing come to the same.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;

use super::throws::Throw;
use super::*;
use crate::ring::{Ring, RingSpec};

fn members(weights: &BTreeMap<u16, u16>) -> Vec<Member> {
    weights.iter().map(|(id, weight)| Member { id: *id, weight: *weight }).collect()
}

fn equal(ids: impl IntoIterator<Item = u16>) -> Vec<Member> {
    ids.into_iter().map(|id| Member { id, weight: 1 }).collect()
}

fn build(slots: u32, members: &[Member]) -> Rendezvous {
    Rendezvous::build(slots, members)
}

fn ring(slots: u32, members: &[Member]) -> Ring {
    Ring::build(RingSpec::Rendezvous { slots }, members).expect("a possible ring")
}

/// Everything that decides over candidates.
fn table(of: &Rendezvous) -> (Vec<u16>, Vec<u16>) {
    (of.owners().to_vec(), of.successors().to_vec())
}

fn any_weight() -> impl Strategy<Value = u16> {
    prop_oneof![6 => Just(1_u16), 2 => 1..5_u16, 1 => 1..2000_u16]
}

/// Weights that are all the same, of two kinds, or mixed.
fn any_fleet(sizes: std::ops::Range<usize>) -> impl Strategy<Value = BTreeMap<u16, u16>> {
    let equal = (1..5_u16).prop_flat_map({
        let sizes = sizes.clone();
        move |weight| btree_map(0..500_u16, Just(weight), sizes.clone())
    });
    let alike = btree_map(0..500_u16, prop_oneof![4 => Just(2_u16), 1 => Just(6_u16)], sizes.clone());
    prop_oneof![equal, alike, btree_map(0..500_u16, any_weight(), sizes)]
}

/// What happens to a fleet in one step.
#[derive(Debug, Clone)]
enum Event {
    Join(u16, u16),
    Leave(Index),
    Weigh(Index, u16),
    Several(Vec<(u16, u16)>, Vec<Index>),
    Empty,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..500_u16, any_weight()).prop_map(|(id, weight)| Event::Join(id, weight)),
        6 => any::<Index>().prop_map(Event::Leave),
        3 => (any::<Index>(), any_weight()).prop_map(|(member, weight)| Event::Weigh(member, weight)),
        3 => (vec((0..500_u16, any_weight()), 0..4), vec(any::<Index>(), 0..4)).prop_map(|(j, l)| Event::Several(j, l)),
        1 => Just(Event::Empty),
    ]
}

impl Event {
    fn happen_to(&self, fleet: &mut BTreeMap<u16, u16>) {
        let pick = |fleet: &BTreeMap<u16, u16>, index: &Index| {
            let ids: Vec<u16> = fleet.keys().copied().collect();
            (!ids.is_empty()).then(|| *index.get(&ids))
        };
        match self {
            Self::Join(id, weight) => _ = fleet.insert(*id, *weight),
            Self::Leave(index) => _ = pick(fleet, index).and_then(|id| fleet.remove(&id)),
            Self::Weigh(index, weight) => _ = pick(fleet, index).map(|id| fleet.insert(id, *weight)),
            Self::Several(joining, leaving) => {
                for index in leaving {
                    Self::Leave(*index).happen_to(fleet);
                }
                fleet.extend(joining.iter().copied());
            }
            Self::Empty => fleet.clear(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_global_rejects: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leads_to_the_ring_that_would_be_built(
        bits in 1..8_u32, fleet in any_fleet(0..40), events in vec(any_event(), 1..8),
    ) {
        let (slots, mut fleet) = (1 << bits, fleet);
        let mut changed = ring(slots, &members(&fleet));
        for event in events {
            event.happen_to(&mut fleet);
            changed = changed.with_members(&members(&fleet)).expect("possible members");
            let built = ring(slots, &members(&fleet));
            prop_assert_eq!(changed.fingerprint(), built.fingerprint(), "after {:?}", event);
            prop_assert_eq!(changed.members(), built.members());
        }
    }

    #[test]
    fn a_large_fleet_changes_without_building(fleet in any_fleet(30..60), id in 500..600_u16, pick in any::<Index>()) {
        let before = members(&fleet);
        let lightest = before.iter().map(|member| member.weight).min().expect("not empty");
        let table_before = build(128, &before);
        // Where one is so much heavier than all others that these come late, tables are built.
        prop_assume!(table_before.times.as_ref().is_some_and(|times| times.quanta.iter().all(|of| of[3] < Clock::LATE)));
        let mut more = before.clone();
        more.push(Member { id, weight: lightest });
        let grown = table_before.with_members(&before, &more).expect("the table of one member more");
        prop_assert_eq!(table(&grown), table(&build(128, &more)));
        let mut less = before.clone();
        less.remove(pick.index(before.len()));
        if throws::unit(&less) == throws::unit(&before)
            && let Some(shrunk) = table_before.with_members(&before, &less)
        {
            prop_assert_eq!(table(&shrunk), table(&build(128, &less)));
        } else {
            // A heavy one sits in most slots.
            prop_assert!(fleet.values().any(|weight| *weight > lightest));
        }
    }

    #[test]
    fn throwing_by_ticks_and_by_windows_comes_to_the_same(bits in 1..8_u32, fleet in any_fleet(2..40)) {
        let members = members(&fleet);
        let game = Game::new(1 << bits, &members);
        prop_assume!(game.clock.has_whole_ticks());
        let seats = STORED.min(members.len() - 1);
        let (mut one, mut other) = (Lists::new(1 << bits, seats), Lists::new(1 << bits, seats));
        ticks::fill(&game, &mut one);
        windows::fill(&game, &mut other);
        prop_assert!(one.seated().eq(other.seated()));
    }

    #[test]
    fn a_candidate_is_found_again_by_its_quantum(fleet in any_fleet(16..40)) {
        let members = members(&fleet);
        let Rendezvous { owners, successors, times, .. } = build(64, &members);
        let Times { clock, quanta } = times.expect("a large fleet");
        let game = Game::with_clock(64, &members, clock);
        for (slot, quanta) in quanta.iter().enumerate() {
            let ids = [owners[slot], successors[3 * slot], successors[3 * slot + 1], successors[3 * slot + 2]];
            let throws: Vec<Throw> = ids.iter().zip(quanta).map(|(id, at)| game.first_in_quantum(*id, slot, *at)).collect();
            prop_assert!(throws.is_sorted(), "slot {}", slot);
            for (throw, quantum) in throws.iter().zip(quanta) {
                let found = clock.quantum(throw.time, throw.member.weight).min(u64::from(Clock::LATE));
                prop_assert_eq!(found, u64::from(*quantum));
            }
        }
    }
}

#[test]
fn a_fleet_that_grows_and_shrinks_one_by_one_has_the_ring_that_would_be_built_at_every_size() {
    let mut changed = ring(64, &[]);
    for size in (0..200_u16).chain((0..200).rev()) {
        let members = equal(0..size);
        changed = changed.with_members(&members).expect("possible members");
        assert_eq!(changed.fingerprint(), ring(64, &members).fingerprint(), "{size} members");
    }
}

#[test]
fn the_default_size_changes_as_others_do() {
    let (less, more) = (equal(0..100), equal(0..101));
    let (small, large) = (build(65_536, &less), build(65_536, &more));
    let grown = small.with_members(&less, &more).expect("the table of one member more");
    let shrunk = large.with_members(&more, &less).expect("the table of one member less");
    assert_eq!((table(&grown), table(&shrunk)), (table(&large), table(&small)));
    // The copies keep time as well as the originals.
    assert!(grown.times.zip(large.times).is_some_and(|(one, other)| one.quanta == other.quanta));
}

#[test]
fn impossible_members_are_refused_as_by_a_build() {
    let ring = ring(64, &equal(0..20));
    let twice = [equal(0..20), equal([3])].concat();
    let light = [equal(0..20), vec![Member { id: 20, weight: 0 }]].concat();
    for members in [twice, light] {
        let refused = ring.with_members(&members).expect_err("impossible");
        assert_eq!(Some(refused), Ring::build(ring.spec().clone(), &members).err());
    }
}

#[test]
fn every_possible_id_may_be_a_member() {
    let members = equal(0..=u16::MAX);
    let table = build(4, &members);
    // All slots are full after the first throw of each.
    let mut throws: Vec<(u64, u64, u16)> = (0..=u16::MAX)
        .map(|id| (crate::ring::hash::mix64(u64::from(id)), id))
        .map(|(hash, id)| (hash >> 62, hash & 0xff_ffff, id))
        .collect();
    throws.sort_unstable();
    for slot in 0..4_u16 {
        let first: Vec<u16> =
            throws.iter().filter(|throw| throw.0 == u64::from(slot)).map(|throw| throw.2).take(4).collect();
        let slot = usize::from(slot);
        assert_eq!([&table.owners()[slot..=slot], &table.successors()[3 * slot..][..3]].concat(), first);
    }
}
