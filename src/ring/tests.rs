//! The ring's promises, as properties over arbitrary fleets and as golden values.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::Index;

use super::hash::{GOLDEN, mix64, top_bits};
use super::*;

const SLOTS: u32 = 256;
const SMALL: RingSpec = RingSpec::Rendezvous { slots: SLOTS };

fn equal(count: u16) -> Vec<Member> {
    (0..count).map(|id| Member { id, weight: 1 }).collect()
}

fn members(weights: &BTreeMap<u16, u16>) -> Vec<Member> {
    weights.iter().map(|(id, weight)| Member { id: *id, weight: *weight }).collect()
}

fn build(spec: RingSpec, members: &[Member]) -> Ring {
    Ring::build(spec, members).expect("these members fit")
}

/// A hash in the middle of each slot of a ring.
fn hashes(ring: &Ring) -> impl Iterator<Item = u64> {
    let shift = u64::BITS - ring.spec().slots().ilog2();
    (0..u64::from(ring.spec().slots())).map(move |slot| (slot << shift) | (1 << (shift - 1)))
}

fn lists(ring: &Ring) -> Vec<Vec<u16>> {
    hashes(ring).map(|hash| ring.candidates(hash).collect()).collect()
}

/// The definition, word for word: for one slot all members by time of their first hit, compared as fractions.
fn by_definition(members: &[Member], slots: u32, throws: u64) -> Vec<Vec<u16>> {
    let mut hits: Vec<BTreeMap<u16, (u128, u128)>> = vec![BTreeMap::new(); slots as usize];
    for member in members {
        for j in 0..throws * u64::from(member.weight) {
            let r = mix64(u64::from(member.id).wrapping_add(j.wrapping_mul(GOLDEN)));
            let slot = top_bits(r, 64 - slots.ilog2());
            let time = (u128::from((j << 24) | (r & 0xff_ffff)), u128::from(member.weight));
            hits[slot].entry(member.id).or_insert(time);
        }
    }
    let in_order = |hits: BTreeMap<u16, (u128, u128)>| {
        let mut order: Vec<(u16, (u128, u128))> = hits.into_iter().collect();
        order.sort_by(|(id_a, (a, v)), (id_b, (b, w))| (a * w).cmp(&(b * v)).then(id_a.cmp(id_b)));
        order.into_iter().map(|(id, _)| id).collect()
    };
    hits.into_iter().map(in_order).collect()
}

fn any_fleet(sizes: std::ops::Range<usize>) -> impl Strategy<Value = BTreeMap<u16, u16>> {
    let equal = btree_map(0..2000_u16, Just(1_u16), sizes.clone());
    let mixed = btree_map(0..2000_u16, 1..6_u16, sizes);
    prop_oneof![equal, mixed]
}

fn any_ring_fleet() -> impl Strategy<Value = (RingSpec, BTreeMap<u16, u16>)> {
    let rendezvous = any_fleet(0..24).prop_map(|fleet| (SMALL, fleet));
    let polynomial = btree_map(any::<u16>(), 1..3_u16, 0..24).prop_map(|fleet| (RingSpec::Polynomial, fleet));
    prop_oneof![rendezvous, polynomial]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn input_order_does_not_matter((spec, fleet) in any_ring_fleet(), seed in any::<u64>()) {
        let sorted = members(&fleet);
        let mut shuffled = sorted.clone();
        shuffled.sort_by_key(|member| mix64(seed ^ u64::from(member.id)));
        let (one, other) = (build(spec, &sorted), build(spec, &shuffled));
        prop_assert_eq!(one.members(), other.members());
        prop_assert_eq!(lists(&one), lists(&other));
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(one.moved_share(&other), 0.0);
    }

    #[test]
    fn candidates_are_distinct_and_complete_and_begin_with_the_primary((spec, fleet) in any_ring_fleet()) {
        let ring = build(spec, &members(&fleet));
        let all: BTreeSet<u16> = fleet.keys().copied().collect();
        for hash in hashes(&ring) {
            let list: Vec<u16> = ring.candidates(hash).collect();
            prop_assert_eq!(list.len(), all.len());
            prop_assert_eq!(list.first().copied(), ring.primary(hash));
            prop_assert_eq!(&list.into_iter().collect::<BTreeSet<u16>>(), &all);
        }
    }

    #[test]
    fn shares_count_the_slots_of_each_primary((spec, fleet) in any_ring_fleet()) {
        let ring = build(spec, &members(&fleet));
        let mut slots_of: BTreeMap<u16, u32> = fleet.keys().map(|id| (*id, 0)).collect();
        for id in hashes(&ring).filter_map(|hash| ring.primary(hash)) {
            *slots_of.entry(id).or_default() += 1;
        }
        let counted: Vec<f64> = slots_of.values().map(|n| f64::from(*n) / f64::from(spec.slots())).collect();
        prop_assert_eq!(ring.shares(), counted);
    }

    #[test]
    fn stored_candidates_follow_the_definition(fleet in any_fleet(1..12)) {
        let members = members(&fleet);
        let expected = by_definition(&members, 32, 1500);
        let stored = members.len().min(4);
        for (list, expected) in lists(&build(RingSpec::Rendezvous { slots: 32 }, &members)).iter().zip(expected) {
            prop_assert_eq!(&list[..stored], &expected[..stored]);
        }
    }

    #[test]
    fn removal_moves_each_slot_of_the_member_to_its_next_candidate(fleet in any_fleet(1..24), pick in any::<Index>()) {
        let gone = *pick.get(&fleet.keys().copied().collect::<Vec<u16>>());
        let mut fewer = fleet.clone();
        fewer.remove(&gone);
        let (before, after) = (build(SMALL, &members(&fleet)), build(SMALL, &members(&fewer)));
        let mut moved = 0;
        for hash in hashes(&before) {
            prop_assert_eq!(before.candidates(hash).find(|id| *id != gone), after.primary(hash));
            moved += u32::from(before.primary(hash) == Some(gone));
        }
        prop_assert_eq!(before.moved_share(&after), f64::from(moved) / f64::from(SLOTS));
        prop_assert_eq!(after.moved_share(&before), f64::from(moved) / f64::from(SLOTS));
    }

    #[test]
    fn addition_moves_slots_only_to_the_new_member_and_removing_it_restores(
        fleet in any_fleet(0..24), id in 0..2000_u16, weight in 1..6_u16,
    ) {
        let mut without = fleet;
        without.remove(&id);
        let mut with = without.clone();
        with.insert(id, weight);
        let (before, after) = (build(SMALL, &members(&without)), build(SMALL, &members(&with)));
        for hash in hashes(&before) {
            let (old, new) = (before.primary(hash), after.primary(hash));
            prop_assert!(new == Some(id) || new == old, "{old:?} became {new:?}");
        }
        with.remove(&id);
        let restored = build(SMALL, &members(&with));
        prop_assert_eq!(lists(&restored), lists(&before));
        prop_assert_eq!(restored.fingerprint(), before.fingerprint());
    }

    #[test]
    fn more_weight_moves_slots_only_to_that_member(fleet in any_fleet(1..24), pick in any::<Index>(), more in 1..9_u16) {
        let grown = *pick.get(&fleet.keys().copied().collect::<Vec<u16>>());
        let mut heavier = fleet.clone();
        heavier.entry(grown).and_modify(|weight| *weight += more);
        let (before, after) = (build(SMALL, &members(&fleet)), build(SMALL, &members(&heavier)));
        for hash in hashes(&before) {
            let (old, new) = (before.primary(hash), after.primary(hash));
            prop_assert!(new == Some(grown) || new == old, "{old:?} became {new:?}");
        }
    }

    #[test]
    fn moves_are_counted_at_the_finer_resolution(fleet in any_fleet(0..12), others in any_fleet(0..12)) {
        let rings = [
            build(SMALL, &members(&fleet)),
            build(RingSpec::Rendezvous { slots: 1024 }, &members(&others)),
            build(RingSpec::Polynomial, &equal(3)),
        ];
        let fine = build(RingSpec::Rendezvous { slots: 1024 }, &[]);
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            let moved = hashes(&fine).filter(|hash| rings[one].primary(*hash) != rings[other].primary(*hash)).count();
            prop_assert_eq!(rings[one].moved_share(&rings[other]), moved as f64 / 1024.0);
        }
    }
}

#[test]
fn equal_times_go_to_the_lower_id() {
    // Of all ordinals' first throws at 2 slots, some pairs agree in slot and time to the last bit.
    let mut first_throws: Vec<(u64, u64, u16)> =
        (0..=u16::MAX).map(|id| (mix64(u64::from(id)), id)).map(|(r, id)| (r >> 63, r & 0xff_ffff, id)).collect();
    first_throws.sort_unstable();
    let ties: Vec<&[(u64, u64, u16)]> =
        first_throws.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)).collect();
    assert!(ties.len() > 20, "found {}", ties.len());
    for pair in ties {
        let [(slot, _, low), (_, _, high)] = pair else { unreachable!("windows of 2") };
        let hash = slot << 63;
        let equal = [Member { id: *high, weight: 1 }, Member { id: *low, weight: 1 }];
        assert_eq!(build(RingSpec::Rendezvous { slots: 2 }, &equal).primary(hash), Some(*low));
        // A third member of another weight takes the other way through the code, where the pair must tie as well.
        let third = Member { id: if *low == 0 { 1 } else { 0 }, weight: 2 };
        let mixed = [equal[0], equal[1], third];
        let ring = build(RingSpec::Rendezvous { slots: 2 }, &mixed);
        assert_eq!(ring.candidates(hash).find(|id| *id != third.id), Some(*low));
    }
}

#[test]
fn shares_follow_weights() {
    let weights = BTreeMap::from_iter((0..40_u16).map(|id| (id, 1 + id % 4)));
    let ring = build(RingSpec::Rendezvous { slots: 65_536 }, &members(&weights));
    let total: f64 = weights.values().map(|weight| f64::from(*weight)).sum();
    let chi_square: f64 = ring
        .shares()
        .iter()
        .zip(weights.values())
        .map(|(share, weight)| (share * 65_536.0, f64::from(*weight) / total * 65_536.0))
        .map(|(slots, expected)| (slots - expected).powi(2) / expected)
        .sum();
    // 39 degrees of freedom: 72.1 is exceeded by one in a thousand honest throws. Exponential races spread less than
    // independent ones, so this is generous.
    assert!(chi_square < 72.1, "chi-square {chi_square}");
}

#[test]
fn a_hundred_equal_members_are_even() {
    let shares = build(RingSpec::default(), &equal(100)).shares();
    let peak = shares.iter().fold(0.0_f64, |peak, share| peak.max(*share));
    assert!(peak * 100.0 <= 1.08, "peak/mean {}", peak * 100.0);
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn one_heavy_member_does_not_keep_the_light_ones_from_being_seated() {
    let fleet = [(0, 65_535), (1, 65_535), (2, 256), (3, 1), (4, 1), (5, 1)];
    let fleet: Vec<Member> = fleet.into_iter().map(|(id, weight)| Member { id, weight }).collect();
    let ring = build(SMALL, &fleet);
    assert!(lists(&ring).iter().all(|list| list.iter().collect::<BTreeSet<_>>().len() == 6));
}

#[test]
fn fingerprints_are_golden() {
    let weighted = [Member { id: 9, weight: 3 }, Member { id: 4, weight: 1 }];
    let rings = [
        build(SMALL, &[]),
        build(SMALL, &equal(1)),
        build(SMALL, &equal(7)),
        build(SMALL, &weighted),
        build(RingSpec::default(), &equal(3)),
        build(RingSpec::Polynomial, &[]),
        build(RingSpec::Polynomial, &equal(3)),
    ];
    let expected = [
        "fe6c0b943859b248",
        "4aa71fe320a0344b",
        "c3e3cb710f0a62bc",
        "ee99b038e8868056",
        "a090f3a3c312c57f",
        "5bdaea7cb94bafd2",
        "35fe6f2aded50ba1",
    ];
    assert_eq!(rings.map(|ring| ring.fingerprint().to_string()), expected);
}

#[test]
fn candidates_are_golden() {
    let ring = build(RingSpec::default(), &equal(10));
    let lists = [0, 0x0123_4567_89ab_cdef, u64::MAX].map(|hash| ring.candidates(hash).collect::<Vec<u16>>());
    // The first four of each also by a second implementation of the definition, in another language.
    let expected = [[0, 6, 2, 7, 3, 8, 5, 9, 1, 4], [3, 6, 1, 0, 5, 7, 8, 4, 9, 2], [8, 2, 4, 5, 6, 0, 7, 9, 3, 1]];
    assert_eq!(lists, expected);
}

#[test]
fn a_ring_without_members_has_no_candidates() {
    for spec in [RingSpec::default(), RingSpec::Polynomial] {
        let ring = build(spec, &[]);
        assert_eq!((ring.primary(7), ring.candidates(7).count(), ring.shares()), (None, 0, vec![]));
        assert_eq!(ring.moved_share(&ring), 0.0);
        assert_eq!(ring.moved_share(&build(spec, &equal(1))), 1.0);
    }
}

#[test]
fn a_single_member_has_every_key() {
    for spec in [RingSpec::default(), RingSpec::Polynomial] {
        let ring = build(spec, &[Member { id: 65_535, weight: 2 }]);
        assert_eq!(
            (ring.primary(7), ring.candidates(7).collect(), ring.shares()),
            (Some(65_535), vec![65_535], vec![1.0])
        );
    }
}

#[test]
fn sixty_five_thousand_members_fit() {
    let ring = build(RingSpec::Rendezvous { slots: 2 }, &equal(65_535));
    let list: Vec<u16> = ring.candidates(u64::MAX).collect();
    assert_eq!((list.len(), list.iter().collect::<BTreeSet<_>>().len()), (65_535, 65_535));
    assert_eq!(build(RingSpec::default(), &equal(65_535)).members().len(), 65_535);
}

#[test]
fn impossible_rings_are_refused() {
    let refused = |spec, members: &[Member]| Ring::build(spec, members).expect_err("impossible");
    let (one, twice) = (Member { id: 1, weight: 1 }, Member { id: 1, weight: 2 });
    assert_eq!(refused(SMALL, &[one, twice]), BuildError::DuplicateMember(1));
    assert_eq!(refused(SMALL, &[Member { id: 3, weight: 0 }]), BuildError::ZeroWeight(3));
    for slots in [0, 1, 3, 65_535, 1 << 21] {
        assert_eq!(refused(RingSpec::Rendezvous { slots }, &[one]), BuildError::Slots(slots));
    }
}
