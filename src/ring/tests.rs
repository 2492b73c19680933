//! The ring's promises, as properties over arbitrary fleets and as golden values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::Index;

use super::hash::{GOLDEN, mix64, top_bits};
use super::*;

const SLOTS: u32 = 256;
const SMALL: RingSpec = RingSpec::Rendezvous { slots: SLOTS };
const CLASSIC: RingSpec = RingSpec::Polynomial(Polynomials::CLASSIC);

fn ketama(points: u32) -> RingSpec {
    RingSpec::Ketama(KetamaSpec { points, ..KetamaSpec::default() })
}

/// A circle of members with these names and weights.
fn named(placement: Placement, members: &[(&str, u16)]) -> Ring {
    let ids = || (0..).zip(members);
    let names = ids().map(|(id, (name, _))| (id, (*name).into())).collect();
    let spec = KetamaSpec { names: Arc::new(names), placement, ..KetamaSpec::default() };
    let members: Vec<Member> = ids().map(|(id, (_, weight))| Member { id, weight: *weight }).collect();
    build(RingSpec::Ketama(spec), &members)
}

/// Where keys are that are hashed as nginx does.
fn owners(ring: &Ring, keys: impl Iterator<Item = String>) -> Vec<u16> {
    let hasher = KeyHasher::new(&[0; 16]);
    keys.map(|key| ring.primary(hasher.hash(KeyHash::Crc32, key.as_bytes())).expect("a member")).collect()
}

fn all_algorithms() -> [RingSpec; 4] {
    [RingSpec::default(), ketama(160), RingSpec::Maglev { slots: 65_536 }, CLASSIC]
}

fn equal(count: u16) -> Vec<Member> {
    (0..count).map(|id| Member { id, weight: 1 }).collect()
}

/// With weights 1, 2 … `heaviest` and again.
fn cycled(count: u16, heaviest: u16) -> Vec<Member> {
    (0..count).map(|id| Member { id, weight: 1 + id % heaviest }).collect()
}

fn members(weights: &BTreeMap<u16, u16>) -> Vec<Member> {
    weights.iter().map(|(id, weight)| Member { id: *id, weight: *weight }).collect()
}

fn build(spec: RingSpec, members: &[Member]) -> Ring {
    Ring::build(spec, members).expect("these members fit")
}

/// The last hash of each arc of a ring; of all hashes if it has no members.
fn hashes(ring: &Ring) -> impl Iterator<Item = u64> + '_ {
    let space = ring.space();
    (0..space.count().max(1)).map(move |arc| u64::try_from(space.end(arc) - 1).expect("a hash"))
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
    let any_weights =
        |spec: RingSpec| btree_map(any::<u16>(), 1..3_u16, 0..24).prop_map(move |fleet| (spec.clone(), fleet));
    prop_oneof![
        rendezvous,
        any_weights(CLASSIC),
        any_weights(ketama(16)),
        any_weights(ketama(1)),
        any_weights(RingSpec::Maglev { slots: 200 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn input_order_does_not_matter((spec, fleet) in any_ring_fleet(), seed in any::<u64>()) {
        let sorted = members(&fleet);
        let mut shuffled = sorted.clone();
        shuffled.sort_by_key(|member| mix64(seed ^ u64::from(member.id)));
        let (one, other) = (build(spec.clone(), &sorted), build(spec, &shuffled));
        prop_assert_eq!(one.members(), other.members());
        prop_assert_eq!(lists(&one), lists(&other));
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(one.moves(&other).moved, 0.0);
    }

    #[test]
    fn arcs_cover_all_hashes_and_have_their_owner_to_the_last_hash((spec, fleet) in any_ring_fleet()) {
        let ring = build(spec, &members(&fleet));
        let mut first = 0;
        for (last, owner) in ring.arcs() {
            prop_assert_eq!((ring.primary(first), ring.primary(last)), (Some(owner), Some(owner)));
            first = last.wrapping_add(1);
        }
        prop_assert_eq!(first, 0, "the last arc ends with the last hash");
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
    fn shares_count_the_arcs_of_each_primary((spec, fleet) in any_ring_fleet()) {
        let ring = build(spec, &members(&fleet));
        let mut sizes: BTreeMap<u16, u128> = fleet.keys().map(|id| (*id, 0)).collect();
        let mut begin = 0;
        for last in hashes(&ring) {
            let end = u128::from(last) + 1;
            if let Some(id) = ring.primary(last) {
                prop_assert_eq!(ring.primary(u64::try_from(begin).expect("a hash")), Some(id));
                *sizes.entry(id).or_default() += end - begin;
            }
            begin = end;
        }
        for (share, size) in ring.shares().into_iter().zip(sizes.into_values()) {
            prop_assert!((share - size as f64 / 2_f64.powi(64)).abs() < 1e-12, "{share} {size}");
        }
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
        for moves in [before.moves(&after), after.moves(&before)] {
            prop_assert_eq!(moves.moved, f64::from(moved) / f64::from(SLOTS));
            prop_assert_eq!(moves.needed, moves.moved);
        }
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
    fn a_circle_s_next_candidate_takes_over_when_a_member_goes(
        fleet in btree_map(0..2000_u16, 1..3_u16, 2..24), pick in any::<Index>(),
    ) {
        let gone = *pick.get(&fleet.keys().copied().collect::<Vec<u16>>());
        let alone = |(id, weight): (&u16, &u16)| build(ketama(16), &members(&BTreeMap::from([(*id, *weight)])));
        let points: Vec<Vec<u64>> = fleet.iter().map(alone).map(|ring| hashes(&ring).collect()).collect();
        // Where two stand at one point, one of them is no candidate there until the other has gone.
        let mut places: Vec<u64> = points.concat().into_iter().filter(|end| *end != u64::MAX).collect();
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        prop_assume!(places.len() == count);
        let mut fewer = fleet.clone();
        fewer.remove(&gone);
        let (before, after) = (build(ketama(16), &members(&fleet)), build(ketama(16), &members(&fewer)));
        for hash in hashes(&before) {
            prop_assert_eq!(before.candidates(hash).find(|id| *id != gone), after.primary(hash));
        }
        let moves = before.moves(&after);
        prop_assert_eq!(moves.moved, moves.needed);
    }

    #[test]
    fn moves_are_counted_over_the_arcs_of_both(
        (one, fleet) in any_ring_fleet(), (other, others) in any_ring_fleet(),
    ) {
        let (before, after) = (build(one, &members(&fleet)), build(other, &members(&others)));
        let mut ends: Vec<u64> = hashes(&before).chain(hashes(&after)).collect();
        ends.sort_unstable();
        ends.dedup();
        let (mut begin, mut moved, mut lost) = (0_u128, 0_u128, BTreeMap::<u16, u128>::new());
        for last in ends {
            let (owner, next) = (before.primary(last), after.primary(last));
            let size = u128::from(last) + 1 - begin;
            begin = u128::from(last) + 1;
            if owner != next {
                moved += size;
                *lost.entry(owner.unwrap_or_default()).or_default() += size;
            }
        }
        let counted = before.moves(&after);
        let near = |share: f64, size: u128| (share - size as f64 / 2_f64.powi(64)).abs() < 1e-12;
        prop_assert!(near(counted.moved, moved));
        prop_assert!(counted.needed <= counted.moved);
        for member in &counted.members {
            prop_assert!(fleet.is_empty() || near(member.lost, lost.get(&member.id).copied().unwrap_or(0)));
            let (before, after) = (member.before - member.lost, member.after - member.gained);
            prop_assert!((before - after).abs() < 1e-12);
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
        build(RingSpec::default(), &equal(1000)),
        build(RingSpec::default(), &cycled(1000, 4)),
        build(RingSpec::default(), &cycled(1000, 100)),
        build(CLASSIC, &[]),
        build(CLASSIC, &equal(3)),
        build(ketama(160), &equal(3)),
        build(ketama(160), &weighted),
        build(RingSpec::Maglev { slots: 65_536 }, &equal(3)),
        build(RingSpec::Maglev { slots: 100 }, &weighted),
    ];
    let expected = [
        "fe6c0b943859b248",
        "4aa71fe320a0344b",
        "c3e3cb710f0a62bc",
        "ee99b038e8868056",
        "a090f3a3c312c57f",
        "b0287654e54ea94a",
        "a2acc974c7cc71e4",
        "878b9b049767ad56",
        "0fd8aa3fad62bfa4",
        "31d2ccda45793c58",
        "1a98540b725a3b89",
        "588f53d47474b527",
        "de3613f1230b539f",
        "3f2e2f723ae7da02",
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
fn a_circle_s_candidates_are_golden() {
    let ring = build(ketama(160), &equal(10));
    let lists = [0, 0x0123_4567_89ab_cdef, u64::MAX].map(|hash| ring.candidates(hash).collect::<Vec<u16>>());
    // Also by a second implementation, in another language.
    let expected = [[3, 5, 8, 2, 0, 6, 1, 9, 4, 7], [6, 2, 0, 1, 9, 4, 7, 8, 5, 3], [3, 5, 8, 2, 0, 6, 1, 9, 4, 7]];
    assert_eq!(lists, expected);
}

#[test]
fn keys_of_named_members_are_golden() {
    let members = [("10.0.0.1:8080", 2), ("10.0.0.2:8080", 1), ("10.0.0.3:8080", 1)];
    let owners = [Placement::Nginx, Placement::IngressNginx]
        .map(|placement| owners(&named(placement, &members), (0..16).map(|number| format!("user-{number}"))));
    // Also by a second implementation, in another language.
    let expected = [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 1, 1], [0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 2, 2]];
    assert_eq!(owners, expected);
}

#[test]
fn where_points_of_a_circle_fall_together_the_lowest_id_has_them() {
    let (one, other, shared) = ("10.0.0.1:8040", "10.0.0.1:8603", (0x283a_1e3f_u64 << 32) | u64::from(u32::MAX));
    for name in [one, other] {
        assert!(hashes(&named(Placement::Nginx, &[(name, 1)])).any(|last| last == shared), "{name} has a point there");
    }
    for members in [[(one, 1), (other, 1)], [(other, 1), (one, 1)]] {
        let ring = named(Placement::Nginx, &members);
        assert_eq!(ring.candidates(shared).collect::<Vec<u16>>(), [0, 1]);
    }
}

#[test]
fn keys_are_where_the_library_of_ingress_nginx_has_them() {
    let owners = |weights: &[(&str, u16)]| {
        owners(&named(Placement::IngressNginx, weights), (1..=100_000).map(|number: u32| number.to_string()))
    };
    // The figures of lua-resty-balancer's own tests (t/chash.t, 1 and 4).
    let owned = owners(&[("server1", 10), ("server2", 2), ("server3", 1)]);
    let counts = [0, 1, 2].map(|id| owned.iter().filter(|owner| **owner == id).count());
    assert_eq!(counts, [77_075, 14_743, 8_182]);
    let changes = [
        owners(&[("server1", 7), ("server2", 2), ("server3", 1)]),
        owners(&[("server1", 8), ("server2", 2), ("server3", 1)]),
        owners(&[("server1", 8), ("server2", 2)]),
    ];
    let stayed = |pair: &[Vec<u16>]| pair[0].iter().zip(&pair[1]).filter(|(before, after)| before == after).count();
    assert_eq!(changes.windows(2).map(stayed).collect::<Vec<_>>(), [97_606, 90_255]);
}

#[test]
fn a_ring_without_members_has_no_candidates() {
    for spec in all_algorithms() {
        let ring = build(spec.clone(), &[]);
        assert_eq!((ring.primary(7), ring.candidates(7).count(), ring.shares()), (None, 0, vec![]));
        assert_eq!(ring.moves(&ring).moved, 0.0);
        let moves = ring.moves(&build(spec, &equal(1)));
        assert_eq!((moves.moved, moves.needed), (1.0, 1.0));
    }
}

#[test]
fn a_single_member_has_every_key() {
    for spec in all_algorithms() {
        let ring = build(spec, &[Member { id: 65_535, weight: 2 }]);
        assert_eq!(
            (ring.primary(7), ring.candidates(7).collect(), ring.shares()),
            (Some(65_535), vec![65_535], vec![1.0])
        );
    }
}

#[test]
fn maglev_is_nearly_perfectly_even() {
    let shares = build(RingSpec::Maglev { slots: 65_536 }, &equal(100)).shares();
    // 65,537 slots for 100 members are 655 or 656 for each.
    assert!(shares.iter().map(|share| share * 65_537.0).all(|slots| (654.9..656.1).contains(&slots)), "{shares:?}");
}

#[test]
fn maglev_s_shares_follow_weights() {
    let weighted = [(0, 4), (1, 2), (2, 1), (3, 1)].map(|(id, weight)| Member { id, weight });
    let shares = build(RingSpec::Maglev { slots: 65_536 }, &weighted).shares();
    for (share, expected) in shares.iter().zip([0.5, 0.25, 0.125, 0.125]) {
        assert!((share - expected).abs() < 0.001, "{shares:?}");
    }
}

#[test]
fn maglev_moves_more_than_need_be_and_little_more() {
    let ring = |count| build(RingSpec::Maglev { slots: 65_536 }, &equal(count));
    let moves = ring(10).moves(&ring(11));
    assert!(moves.moved > moves.needed, "{moves:?}");
    assert!(moves.moved < 1.5 * moves.needed, "{moves:?}");
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
    for slots in [0, 1, (1 << 20) + 1] {
        assert_eq!(refused(RingSpec::Maglev { slots }, &[one]), BuildError::SlotsRange(slots));
    }
    for points in [0, 1001] {
        assert_eq!(refused(ketama(points), &[one]), BuildError::Points(points));
    }
    assert_eq!(
        refused(RingSpec::Maglev { slots: 2 }, &equal(3)).to_string(),
        "a Maglev ring of this size seats at most 2 members, not 3; use Rendezvous or another size"
    );
    assert_eq!(
        refused(ketama(1000), &[Member { id: 0, weight: 1049 }]).to_string(),
        "a Ketama ring of this size seats at most 1048 members, counted by weight, not 1049; use Rendezvous or another size"
    );
}
