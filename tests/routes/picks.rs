//! Who gets a request, case by case. The rules as a whole are held against arbitrary fleets in the module's own tests.

use ringhold::model::Ordinal;
use ringhold::routes::{Lease, PickError, Route, Verdict};

use crate::build::mk_replica;
use crate::fleet::{Fleet, address, upstream};

/// Hashes all over the ring.
fn hashes() -> impl Iterator<Item = u64> {
    (0..256).map(|number| number << 56)
}

/// Takes so many leases of each ordinal: requests that failed at all others.
fn load(route: &Route, counts: &[usize]) -> Vec<Lease> {
    let all: Vec<Ordinal> = route.seats().iter().map(|seat| seat.ordinal).collect();
    let others = |ordinal| all.iter().copied().filter(|other| *other != ordinal).collect::<Vec<_>>();
    let each = all.iter().zip(counts).flat_map(|(ordinal, count)| std::iter::repeat_n(*ordinal, *count));
    each.map(|ordinal| route.pick(0, &others(ordinal)).unwrap().lease).collect()
}

fn bounded(count: u16, factor: f64) -> Fleet {
    Fleet::of(count, |policy| policy.bounded_load = Some(factor))
}

#[test]
fn an_ejected_replicas_share_of_a_bounded_load_falls_to_the_others() {
    let fleet = bounded(3, 1.25);
    let route = fleet.route();
    upstream(&route, 0).eject();
    // Of nine requests and one more, 1.25 · 10 / 2 is more than five, 1.25 · 10 / 3 is not.
    let _leases = load(&route, &[0, 5, 4]);
    for hash in hashes() {
        let pick = route.pick(hash, &[]).unwrap();
        let owner = route.ring.primary(hash).unwrap();
        let first = if owner == 0 { Verdict::Ejected } else { Verdict::Taken };
        assert_eq!((pick.first, pick.despite), (first, None));
        assert!(pick.lease.upstream().ordinal != Ordinal(0));
    }
    upstream(&route, 0).restore();
    for hash in hashes() {
        let pick = route.pick(hash, &[]).unwrap();
        let owner = route.ring.primary(hash).unwrap();
        assert_eq!(pick.first, if owner == 1 { Verdict::OverBound } else { Verdict::Taken });
    }
}

#[test]
fn a_hot_key_overflows_in_the_order_of_its_candidates() {
    let fleet = bounded(4, 1.0);
    let (route, hash) = (fleet.route(), 7 << 60);
    let order: Vec<u16> = route.ring.candidates(hash).collect();
    let mut leases = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..8 {
        let pick = route.pick(hash, &[]).unwrap();
        taken.push(pick.lease.upstream().ordinal.0);
        leases.push(pick.lease);
    }
    // With factor 1 every four fill all four.
    assert_eq!(taken, [order.clone(), order].concat());
    assert_eq!(upstream(&route, 0).fleet_bounded(), 8);
    drop(leases);
    assert_eq!(upstream(&route, 0).fleet_bounded(), 0);
}

#[test]
fn the_bound_gives_way_to_a_request_that_failed_where_it_is_due() {
    let fleet = bounded(4, 1.0);
    let route = fleet.route();
    upstream(&route, 0).eject();
    // The bound of one more is seven thirds. Ordinal 3 is due, but failed; 2 has less than 1; 0 was ejected.
    let _leases = load(&route, &[0, 4, 3, 0]);
    for hash in hashes() {
        let pick = route.pick(hash, &[Ordinal(3)]).unwrap();
        assert_eq!((pick.lease.upstream().ordinal, pick.despite), (Ordinal(2), Some(Verdict::OverBound)));
    }
}

#[test]
fn without_a_bound_a_fleet_counts_no_total() {
    let fleet = Fleet::of(2, |_| {});
    let route = fleet.route();
    let leases: Vec<_> = hashes().map(|hash| route.pick(hash, &[]).unwrap()).collect();
    assert_eq!((upstream(&route, 0).fleet_bounded(), leases.len()), (0, 256));
}

#[test]
fn what_began_before_the_bound_does_not_count_towards_it() {
    let mut fleet = Fleet::of(2, |_| {});
    let before: Vec<_> = hashes().map(|hash| fleet.route().pick(hash, &[]).unwrap().lease).collect();
    std::sync::Arc::make_mut(&mut fleet.desired.route).bounded_load = Some(1.0);
    fleet.publish(&[mk_replica(0, 0, address(0)), mk_replica(1, 0, address(0))]);
    let route = fleet.route();
    let pick = |hash| route.pick(hash, &[]).unwrap();
    let (first, second) = (pick(0), pick(0));
    assert_eq!((first.first, first.despite), (Verdict::Taken, None));
    assert_eq!((second.first, second.despite), (Verdict::OverBound, None));
    drop((before, first, second));
    let counts = [0, 1].map(|seat| upstream(&route, seat).in_flight());
    assert_eq!((counts, upstream(&route, 0).fleet_bounded()), ([0, 0], 0));
}

#[test]
fn a_fleet_that_is_withdrawn_and_comes_back_counts_on() {
    let fleet = bounded(2, 1.0);
    let lease = fleet.route().pick(0, &[]).unwrap().lease;
    fleet.publisher.withdraw(&fleet.desired.id);
    fleet.publish(&[mk_replica(0, 0, address(0)), mk_replica(1, 0, address(0))]);
    // Another change of the table, after which what nobody needs is forgotten.
    fleet.publish(&[mk_replica(0, 0, address(0)), mk_replica(1, 1, address(1))]);
    let route = fleet.route();
    assert_eq!([0, 1].map(|seat| upstream(&route, seat).fleet_bounded()), [1, 1], "one total for both");
    drop(lease);
    assert_eq!(upstream(&route, 1).fleet_bounded(), 0);
}

#[test]
fn a_full_fleet_is_told_from_one_that_is_not_there() {
    let fleet = Fleet::of(2, |policy| policy.limits.max_concurrent_per_replica = 1);
    let route = fleet.route();
    let _leases = [route.pick(0, &[]).unwrap(), route.pick(0, &[]).unwrap()];
    assert_eq!(route.pick(0, &[]).unwrap_err(), PickError::Full);
    assert_eq!(route.pick(0, &[Ordinal(0), Ordinal(1)]).unwrap_err(), PickError::NoReplica);
    fleet.publish(&[]);
    assert_eq!(route.pick(0, &[]).unwrap_err(), PickError::Outdated, "an old table gives nobody away");
}

#[test]
fn every_change_of_the_ring_is_counted_as_moved() {
    let fleet = Fleet::of(1, |_| {});
    let moved = || fleet.publisher.table().fleet(&fleet.desired.id).unwrap().moved;
    assert_eq!((moved().last, moved().total), (0.0, 0.0));
    let replicas: Vec<_> = (0..4).map(|ordinal| mk_replica(ordinal, 0, address(0))).collect();
    let (first, second) = (fleet.publish(&replicas[..2]), fleet.publish(&replicas));
    assert!(first > 0.4 && second > 0.4, "a half, and a half again: {first}, {second}");
    assert_eq!((moved().last, moved().total), (second, first + second));
    let swapped = [mk_replica(0, 1, address(1))].into_iter().chain(replicas.into_iter().skip(1)).collect::<Vec<_>>();
    assert_eq!((fleet.publish(&swapped), moved().last), (0.0, second), "a new replica moves no key");
}
