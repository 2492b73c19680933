//! A storm of swaps against readers on other threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use ringhold::model::{Ordinal, Replica};
use ringhold::ring::RingSpec;
use ringhold::routes::{Reader, RouteTable};

use crate::build::mk_replica;
use crate::fleet::{Fleet, PORT, address, upstream};

const SWAPS: u16 = 2_000;

/// What number `number` of the storm publishes: another count of ordinals, all with replicas of its own.
fn replicas(number: u16) -> Vec<Replica> {
    (0..1 + number % 5).map(|ordinal| mk_replica(ordinal, u32::from(number), address(number))).collect()
}

/// The number of the publish that a table is made of; fails if it is of more than one.
fn number(table: &RouteTable) -> u16 {
    let route = table.route(PORT, "a.example").unwrap();
    let entry = table.fleets().next().unwrap();
    let number = u16::try_from(entry.status.observed_generation).unwrap();
    assert!(Arc::ptr_eq(route, entry.route.as_ref().unwrap()));
    assert_eq!(route.policy.limits.max_body_bytes, u64::from(number));
    let ordinals: Vec<Ordinal> = (0..1 + number % 5).map(Ordinal).collect();
    assert_eq!(route.ring.members().iter().map(|member| Ordinal(member.id)).collect::<Vec<_>>(), ordinals);
    assert_eq!(route.seats().iter().map(|seat| seat.ordinal).collect::<Vec<_>>(), ordinals);
    assert_eq!((route.shares.len(), entry.status.ring.as_ref().unwrap().members), (ordinals.len(), ordinals.len()));
    assert!((0..ordinals.len()).all(|seat| upstream(route, seat).address == address(number)));
    number
}

/// Requests, each by the newest table, until the last is published.
fn read(mut reader: Reader, stopped: &[AtomicBool]) {
    let (mut hash, mut last) = (0_u64, 0);
    loop {
        let table = Arc::clone(reader.table());
        let number = number(&table);
        assert!(number >= last, "the table of {number} after that of {last}");
        last = number;
        hash = hash.wrapping_add(0x9E37_79B9_7F4A_7C15);
        match table.route(PORT, "a.example").unwrap().pick(hash, &[]) {
            Ok(pick) => {
                let of = pick.lease.upstream().address.port();
                assert_eq!(of, number);
                assert!(!stopped[usize::from(of)].load(SeqCst), "{of} was stopped, and then got a request");
                drop(pick);
            }
            Err(error) => assert!(reader.table().version > table.version, "{error}, and no newer table is there"),
        }
        if number == SWAPS {
            return;
        }
    }
}

#[test]
fn readers_see_one_whole_table_after_the_other_and_nobody_who_was_stopped() {
    for factor in [None, Some(1.25)] {
        let mut fleet = Fleet::of(1, |policy| {
            policy.bounded_load = factor;
            policy.ring = RingSpec::Rendezvous { slots: 16 };
        });
        let stopped: Vec<AtomicBool> = (0..=SWAPS).map(|_| AtomicBool::new(false)).collect();
        fleet.desired.generation = 0;
        fleet.publish(&replicas(0));
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let (reader, stopped) = (fleet.reader.clone(), &stopped);
                    scope.spawn(move || read(reader, stopped))
                })
                .collect();
            for number in 1..=SWAPS {
                let leaving = replicas(number - 1);
                fleet.desired.generation += 1;
                Arc::make_mut(&mut fleet.desired.route).limits.max_body_bytes = u64::from(number);
                fleet.publish(&replicas(number));
                // As the controller does: who has left and has no request is stopped.
                let traffic = leaving.iter().map(|replica| fleet.publisher.traffic(&replica.uid));
                if traffic.fold(true, |idle, traffic| idle && !traffic.routed && traffic.in_flight == 0) {
                    stopped[usize::from(number - 1)].store(true, SeqCst);
                }
                if readers.iter().any(|reader| reader.is_finished()) {
                    break; // it failed, and says why
                }
            }
        });
        let idle = stopped.iter().filter(|stopped| stopped.load(SeqCst)).count();
        assert!(idle > 0, "nobody was ever idle");
        assert!((0..replicas(SWAPS).len()).all(|seat| upstream(&fleet.route(), seat).in_flight() == 0));
        assert_eq!(upstream(&fleet.route(), 0).fleet_bounded(), 0);
    }
}
