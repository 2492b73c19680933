//! From a key to a leased replica and back nothing is allocated. The allocator itself counts, on this thread alone.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../proxy/support/build.rs"]
mod build;

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use jiff::Timestamp;
use ringhold::model::{Desired, FleetStatus, Observed, Ordinal};
use ringhold::ring::{KetamaSpec, KeyHash, KeyHasher, Polynomials, RingSpec, Seats};
use ringhold::routes::{Bridge, Pick, Placement, Reader, Route, Verdict, bridge};

use build::{mk_desired, mk_replica};

const SIZES: [u16; 2] = [3, 1000];
const FACTORS: [Option<f64>; 2] = [None, Some(1.25)];
const KEY_HASHES: [KeyHash; 3] = [KeyHash::SipHash, KeyHash::Xxh3, KeyHash::Crc32];
const PORT: u16 = 5000;
const KEY: &[u8] = b"user-42";

/// Candidates that a ring knows without computing.
const STORED: usize = 4;

/// What a worker has at hand.
struct Worker {
    bridge: Bridge,
    desired: Desired,
    reader: Reader,
    hasher: KeyHasher,
    count: u16,
}

fn algorithms() -> [RingSpec; 4] {
    [
        RingSpec::Rendezvous { slots: 65_536 },
        RingSpec::Ketama(KetamaSpec::default()),
        RingSpec::Maglev { slots: 65_536 },
        RingSpec::Polynomial(Polynomials::CLASSIC),
    ]
}

/// A worker for each algorithm, size and bound.
fn workers() -> impl Iterator<Item = Worker> {
    let all = algorithms().into_iter().flat_map(|ring| SIZES.map(|size| (ring.clone(), size)));
    let fitting = all.filter(|(ring, size)| {
        let (Seats::Members(limit) | Seats::Weight(limit)) = ring.seats();
        u32::from(*size) <= limit
    });
    fitting.flat_map(|(ring, size)| FACTORS.map(|factor| Worker::new(&ring, size, factor)))
}

// === impl Worker ===

impl Worker {
    fn new(ring: &RingSpec, count: u16, factor: Option<f64>) -> Self {
        let mut desired = mk_desired(PORT);
        let route = Arc::make_mut(&mut desired.route);
        (route.ring, route.bounded_load) = (ring.clone(), factor);
        route.listener.hostnames = ["a.example", "*.b.example"].map(str::to_owned).into();
        let bridge = bridge();
        let (reader, hasher) = (bridge.reader.clone(), KeyHasher::new(&[7; 16]));
        let worker = Self { bridge, desired, reader, hasher, count };
        worker.publish_without(&[]);
        worker
    }

    /// Publishes all members, these without a ready replica.
    fn publish_without(&self, unready: &[u16]) {
        let members: Vec<Ordinal> = (0..self.count).map(Ordinal).collect();
        let ready = (0..self.count).filter(|ordinal| !unready.contains(ordinal));
        let replicas = ready.map(|ordinal| mk_replica(ordinal, 0, ([127, 0, 0, 1], 80).into())).collect();
        let observed = Observed { replicas, ..Observed::default() };
        let placement = Placement::new(&self.desired, &observed, &members, Timestamp::now());
        self.bridge.publisher.publish(&self.desired.id, FleetStatus::default(), Some(&placement)).unwrap();
    }

    fn route(&mut self) -> Arc<Route> {
        Arc::clone(self.reader.table().route(PORT, "a.example").unwrap())
    }

    /// The way of a request, as the proxy goes it.
    fn pick(&mut self, host: &str, key: &[u8]) -> Pick {
        let hash = self.hash(key);
        let route = self.reader.table().route(PORT, host).unwrap();
        route.pick(hash, &[]).unwrap()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(self.desired.route.key_hash, key)
    }

    /// The first candidates for the key.
    fn first(&mut self, count: usize) -> Vec<u16> {
        let hash = self.hash(KEY);
        self.route().ring.candidates(hash).take(count).collect()
    }

    /// Takes this request's way once, so that what is kept is there, and then counts.
    #[track_caller]
    fn expect_nothing(&mut self, host: &str, key: &[u8], first: Verdict) {
        drop(self.pick(host, key));
        let mut seen = None;
        let counted = measure(|| seen = Some(black_box(self.pick(host, key)).first));
        let (ring, count) = (self.desired.route.ring.algorithm(), self.count);
        assert_eq!((counted.count_total, seen), (0, Some(first)), "{ring} with {count} members");
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Box::new(1)))).count_total, 1);
    assert_eq!(measure(|| drop(black_box(Vec::<u8>::with_capacity(9)))).count_total, 1);
    let elsewhere = || std::thread::scope(|scope| scope.spawn(|| drop(black_box(vec![1; 100]))).join().unwrap());
    let starting = measure(|| std::thread::scope(|scope| scope.spawn(|| ()).join().unwrap())).count_total;
    assert_eq!(measure(elsewhere).count_total, starting, "other threads don't count");
}

#[test]
fn a_pick_allocates_nothing() {
    for mut worker in workers() {
        for host in ["a.example", "any.b.example"] {
            for number in 0..200 {
                worker.expect_nothing(host, format!("user-{number}").as_bytes(), Verdict::Taken);
            }
        }
    }
}

#[test]
fn no_key_hash_allocates() {
    let hasher = KeyHasher::new(&[7; 16]);
    for function in KEY_HASHES {
        let counted = measure(|| assert_ne!(black_box(hasher.hash(function, KEY)), 0));
        assert_eq!(counted.count_total, 0, "{function:?}");
    }
}

#[test]
fn the_stored_candidates_allocate_nothing() {
    for mut worker in workers() {
        let (route, hash) = (worker.route(), worker.hash(KEY));
        let stored = STORED.min(route.seats().len());
        let mut found = 0;
        let counted = measure(|| found = black_box(route.ring.candidates(hash).take(stored).count()));
        assert_eq!((counted.count_total, found), (0, stored), "{}", worker.desired.route.ring.algorithm());
    }
}

#[test]
fn passing_over_who_is_not_ready_allocates_nothing() {
    for mut worker in workers() {
        for unready in 1..STORED.min(usize::from(worker.count)) {
            let first = worker.first(unready);
            worker.publish_without(&first);
            worker.expect_nothing("a.example", KEY, Verdict::NotReady);
        }
    }
}

#[test]
fn passing_over_who_was_ejected_allocates_nothing() {
    for mut worker in workers() {
        let first = worker.first(STORED.min(usize::from(worker.count)) - 1);
        for ordinal in first {
            worker.route().seats()[usize::from(ordinal)].upstream.as_ref().unwrap().eject();
            worker.expect_nothing("a.example", KEY, Verdict::Ejected);
        }
    }
}

#[test]
fn passing_over_who_has_its_share_allocates_nothing() {
    for mut worker in workers().filter(|worker| worker.desired.route.bounded_load.is_some()) {
        let mut leases = Vec::new();
        while leases.len() < STORED {
            let pick = worker.pick("a.example", KEY);
            if pick.first == Verdict::OverBound {
                drop(pick);
                worker.expect_nothing("a.example", KEY, Verdict::OverBound);
                break;
            }
            leases.push(pick);
        }
        assert!((1..STORED).contains(&leases.len()), "the hot key never overflowed");
    }
}
