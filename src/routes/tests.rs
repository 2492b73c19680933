//! What a pick promises, held against a plain reading of the rules over arbitrary fleets and histories.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::bounded::{BoundedLoad, FleetLoad};
use super::*;
use crate::model::{FleetId, KeySource, Limits, Listener, Ordinal, Retries, RoutePolicy, TargetProtocol, Timeouts};
use crate::ring::{KeyHash, Member, Ring, RingSpec};

const SLOTS: u32 = 256;
const ALL_KEYS: u32 = 1 << 16;
const MILLION: u128 = 1_000_000;

/// What a fleet is made of: weight and admitted share of keys of each member, factor and limit.
#[derive(Debug, Clone)]
struct Make {
    seats: Vec<(u16, u32)>,
    factor: Option<f64>,
    limit: u32,
}

/// A route, and the same without bounded load as before its spec asked for that: they share replicas and counters.
struct Fleet {
    bounded: Route,
    unbounded: Route,
    seats: Vec<Known>,
    make: Make,
}

/// What a replica should have.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    requests: u64,
    bounded: u64,
    is_closed: bool,
    is_ejected: bool,
}

#[derive(Debug, Clone)]
enum Step {
    /// A request by this hash that failed at some already.
    Pick(u64, Vec<Index>),
    PickUnbounded(u64),
    /// A running one ends, or its client leaves.
    Finish(Index),
    Cancel(Index),
    Eject(Index),
    Restore(Index),
    Close(Index),
    Open(Index),
}

/// A request that runs as long as nobody lets it finish, and holds its lease meanwhile.
struct Running {
    exchange: Pin<Box<dyn Future<Output = ()>>>,
    may_finish: Rc<Cell<bool>>,
    seat: usize,
    is_bounded: bool,
}

// === impl Make, Fleet ===

impl Make {
    fn equal(count: usize, factor: f64) -> Self {
        Self { seats: vec![(1, ALL_KEYS); count], factor: Some(factor), limit: 0 }
    }

    fn policy(&self) -> RoutePolicy {
        RoutePolicy {
            listener: Listener { port: 1, hostnames: Vec::new(), tls: None },
            hash_key: vec![KeySource::SourceIp],
            key_hash: KeyHash::SipHash,
            ring: RingSpec::Rendezvous { slots: SLOTS },
            weights: BTreeMap::new(), // the seats have them
            bounded_load: self.factor,
            timeouts: Timeouts { connect: Duration::ZERO, response_header: Duration::ZERO, idle: Duration::ZERO },
            retries: Retries { attempts: 0, budget_percent: 0 },
            limits: Limits { max_concurrent_per_replica: self.limit, max_body_bytes: 0 },
            replica_tls: None,
            target_protocol: TargetProtocol::Http1,
        }
    }

    /// A member's weight while it may have only so much of its keys, in 256ths.
    fn weight(&self, seat: usize) -> u128 {
        let (weight, admitted) = self.seats[seat];
        u128::from(weight) * u128::from(admitted / 256)
    }
}

impl Fleet {
    fn new(make: Make) -> Self {
        let load = Arc::new(FleetLoad::default());
        let upstreams: Vec<Arc<Upstream>> =
            (0..).zip(&make.seats).map(|(ordinal, _)| Arc::new(Upstream::mk(ordinal, &load))).collect();
        let route = |make: &Make| {
            let seats: Vec<Seat> = (0..)
                .zip(&make.seats)
                .zip(&upstreams)
                .map(|((ordinal, (weight, admitted)), upstream)| Seat {
                    ordinal: Ordinal(ordinal),
                    weight: *weight,
                    upstream: Some(Arc::clone(upstream)),
                    admitted: *admitted,
                })
                .collect();
            let members: Vec<Member> =
                seats.iter().map(|seat| Member { id: seat.ordinal.0, weight: seat.weight }).collect();
            let policy = make.policy();
            let ring = Ring::build(policy.ring.clone(), &members).expect("these members fit");
            Route {
                id: FleetId::local("web"),
                bounded: policy.bounded_load.map(|factor| BoundedLoad::new(factor, Arc::clone(&load))),
                policy: Arc::new(policy),
                shares: ring.shares().into(),
                ring: Arc::new(ring),
                tls: None,
                wire: Wire::Plain,
                seat_of: (0..).take(seats.len()).collect(),
                seats,
            }
        };
        let (bounded, unbounded) = (route(&make), route(&Make { factor: None, ..make.clone() }));
        Self { bounded, unbounded, seats: vec![Known::default(); make.seats.len()], make }
    }

    fn upstream(&self, seat: usize) -> &Upstream {
        self.bounded.seats[seat].upstream.as_ref().expect("every seat has a replica here")
    }

    fn is_eligible(&self, seat: usize) -> bool {
        !self.seats[seat].is_closed && !self.seats[seat].is_ejected
    }

    fn is_full(&self, seat: usize) -> bool {
        self.make.limit != 0 && self.seats[seat].requests >= u64::from(self.make.limit)
    }

    /// ⌈factor · requests · weight / eligible weight⌉.
    fn bound(&self, seat: usize, requests: u128) -> u128 {
        let eligible: u128 =
            (0..self.seats.len()).filter(|seat| self.is_eligible(*seat)).map(|seat| self.make.weight(seat)).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small decimal")]
        let factor = (self.make.factor.expect("asked only with bounded load") * 1e6).round() as u128;
        (factor * requests * self.make.weight(seat)).div_ceil(MILLION * eligible.max(1))
    }

    /// What the rules say of a request: who takes it, what became of its first candidate, and despite what.
    fn expected(
        &self,
        hash: u64,
        tried: &[Ordinal],
        is_bounded: bool,
    ) -> Result<(usize, Verdict, Option<Verdict>), PickError> {
        let requests = 1 + self.seats.iter().map(|seat| u128::from(seat.bounded)).sum::<u128>();
        let verdict = |seat: usize| {
            let Known { bounded, is_closed, is_ejected, .. } = self.seats[seat];
            if tried.contains(&self.bounded.seats[seat].ordinal) {
                Verdict::Failed
            } else if is_closed {
                Verdict::NotReady
            } else if self.is_full(seat) {
                Verdict::Full
            } else if is_ejected {
                Verdict::Ejected
            } else if is_bounded && u128::from(bounded) + 1 > self.bound(seat, requests) {
                Verdict::OverBound
            } else if !self.bounded.seats[seat].admits(hash) {
                Verdict::Ramping
            } else {
                Verdict::Spare
            }
        };
        let order: Vec<(usize, Verdict)> = self
            .bounded
            .ring
            .candidates(hash)
            .map(|member| (usize::from(member), verdict(usize::from(member))))
            .collect();
        // Here every member has a replica: who isn't ready has left since.
        let decides = |verdict: &Verdict| matches!(verdict, Verdict::Spare | Verdict::NotReady);
        if order.iter().map(|(_, verdict)| *verdict).find(decides) == Some(Verdict::NotReady) {
            return Err(PickError::Outdated);
        }
        let first_of = |kind| order.iter().find(|(_, verdict)| *verdict == kind).map(|(seat, _)| *seat);
        let load = |seat: &usize| (u128::from(self.seats[*seat].bounded) << 64) / self.make.weight(*seat);
        let over = order.iter().filter(|(_, verdict)| *verdict == Verdict::OverBound).map(|(seat, _)| *seat);
        let taken = first_of(Verdict::Spare)
            .map(|seat| (seat, None))
            .or_else(|| first_of(Verdict::Ramping).map(|seat| (seat, Some(Verdict::Ramping))))
            .or_else(|| {
                let taken = over.min_by_key(load)?;
                let due = (0..self.seats.len()).filter(|seat| self.is_eligible(*seat)).min_by_key(load);
                let due = due.expect("who is over the bound is eligible");
                assert!(
                    self.is_full(due) || tried.contains(&self.bounded.seats[due].ordinal),
                    "the bound gave way to load"
                );
                Some((taken, Some(Verdict::OverBound)))
            })
            .or_else(|| first_of(Verdict::Ejected).map(|seat| (seat, Some(Verdict::Ejected))));
        let Some((taken, despite)) = taken else {
            return Err(if first_of(Verdict::Full).is_some() { PickError::Full } else { PickError::NoReplica });
        };
        let (owner, verdict) = order[0];
        Ok((taken, if owner == taken { Verdict::Taken } else { verdict }, despite))
    }

    /// Picks, and holds what comes of it against the rules.
    fn pick(&mut self, hash: u64, tried: &[Ordinal], is_bounded: bool) -> Option<Running> {
        let expected = self.expected(hash, tried, is_bounded);
        let route = if is_bounded { &self.bounded } else { &self.unbounded };
        if tried.is_empty() && expected != Err(PickError::Outdated) {
            let explained = route.explain(hash);
            let taken = explained.iter().position(|candidate| candidate.verdict == Verdict::Taken);
            assert_eq!(
                taken.map(|taken| usize::from(explained[taken].ordinal.0)),
                expected.ok().map(|(seat, ..)| seat)
            );
        }
        let pick = match (route.pick(hash, tried), expected) {
            (Ok(pick), Ok(expected)) => {
                assert_eq!((usize::from(pick.lease.upstream().ordinal.0), pick.first, pick.despite), expected);
                pick
            }
            (picked, expected) => {
                assert_eq!(picked.map(|pick| pick.lease.upstream().ordinal).err(), expected.err());
                return None;
            }
        };
        let seat = usize::from(pick.lease.upstream().ordinal.0);
        self.seats[seat].requests += 1;
        self.seats[seat].bounded += u64::from(is_bounded);
        Some(Running::new(pick.lease, seat, is_bounded))
    }

    fn end(&mut self, mut running: Running, is_cancelled: bool) {
        if !is_cancelled {
            running.may_finish.set(true);
            assert!(running.poll().is_ready());
        }
        self.seats[running.seat].requests -= 1;
        self.seats[running.seat].bounded -= u64::from(running.is_bounded);
    }

    /// Every counter is what it should be.
    fn check(&self) {
        for (seat, known) in self.seats.iter().enumerate() {
            let (upstream, load) = (self.upstream(seat), self.upstream(seat).load());
            assert_eq!((u64::from(load.requests()), load.bounded()), (known.requests, known.bounded));
            assert_eq!((upstream.is_open(), upstream.is_ejected()), (!known.is_closed, known.is_ejected));
        }
        let bounded: u64 = self.seats.iter().map(|seat| seat.bounded).sum();
        assert_eq!(self.upstream(0).fleet_bounded() as u64, bounded);
    }

    fn step(&mut self, step: Step, running: &mut Vec<Running>) {
        let count = self.seats.len();
        match step {
            Step::Pick(hash, tried) => {
                let tried: Vec<Ordinal> =
                    tried.iter().map(|index| self.bounded.seats[index.index(count)].ordinal).collect();
                running.extend(self.pick(hash, &tried, self.make.factor.is_some()));
            }
            Step::PickUnbounded(hash) => running.extend(self.pick(hash, &[], false)),
            Step::Finish(index) | Step::Cancel(index) if !running.is_empty() => {
                let ended = running.swap_remove(index.index(running.len()));
                self.end(ended, matches!(step, Step::Cancel(_)));
            }
            Step::Finish(_) | Step::Cancel(_) => {}
            Step::Eject(index) => {
                let seat = index.index(count);
                assert_eq!(self.upstream(seat).eject(), !self.seats[seat].is_ejected);
                self.seats[seat].is_ejected = true;
            }
            Step::Restore(index) => {
                self.upstream(index.index(count)).restore();
                self.seats[index.index(count)].is_ejected = false;
            }
            Step::Close(index) => {
                self.upstream(index.index(count)).close();
                self.seats[index.index(count)].is_closed = true;
            }
            Step::Open(index) => {
                let known = &mut self.seats[index.index(count)];
                // Back in the table, it begins anew.
                known.is_ejected &= !known.is_closed;
                known.is_closed = false;
                self.upstream(index.index(count)).open();
            }
        }
    }
}

// === impl Running ===

impl Running {
    fn new(lease: Lease, seat: usize, is_bounded: bool) -> Self {
        let may_finish = Rc::new(Cell::new(false));
        let gate = Rc::clone(&may_finish);
        let exchange = Box::pin(async move {
            poll_fn(|_| if gate.get() { Poll::Ready(()) } else { Poll::Pending }).await;
            drop(lease);
        });
        let mut running = Self { exchange, may_finish, seat, is_bounded };
        assert!(running.poll().is_pending());
        running
    }

    fn poll(&mut self) -> Poll<()> {
        self.exchange.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}

// === arbitrary fleets and histories ===

fn any_make() -> impl Strategy<Value = Make> {
    let seat = (prop_oneof![Just(1_u16), 1..6_u16], prop_oneof![3 => Just(ALL_KEYS), 1 => 6_553..ALL_KEYS]);
    let factor = prop_oneof![Just(1.0), Just(1.25), 1.0..3.0_f64];
    (vec(seat, 1..9), proptest::option::weighted(0.8, factor), prop_oneof![Just(0_u32), 1..12_u32])
        .prop_map(|(seats, factor, limit)| Make { seats, factor, limit })
}

fn any_step() -> impl Strategy<Value = Step> {
    // A few hashes come again and again, as hot keys do.
    let hash = || prop_oneof![any::<u64>(), (0..3_u64).prop_map(|hot| (hot << 62) | (hot << 16))];
    let tried = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<Index>(), 1..4)];
    prop_oneof![
        20 => (hash(), tried).prop_map(|(hash, tried)| Step::Pick(hash, tried)),
        1 => hash().prop_map(Step::PickUnbounded),
        7 => any::<Index>().prop_map(Step::Finish),
        4 => any::<Index>().prop_map(Step::Cancel),
        1 => any::<Index>().prop_map(Step::Eject),
        1 => any::<Index>().prop_map(Step::Restore),
        1 => any::<Index>().prop_map(Step::Close),
        1 => any::<Index>().prop_map(Step::Open),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn picks_follow_the_rules_and_every_lease_comes_back(make in any_make(), steps in vec(any_step(), 1..120)) {
        let (mut fleet, mut running) = (Fleet::new(make), Vec::new());
        for step in steps {
            fleet.step(step, &mut running);
            fleet.check();
        }
        while let Some(last) = running.pop() {
            fleet.end(last, running.len() % 2 == 0);
        }
        fleet.check();
        prop_assert!(fleet.seats.iter().all(|seat| (seat.requests, seat.bounded) == (0, 0)));
    }

    #[test]
    fn of_so_many_clients_no_replica_ever_has_more_than_its_share(
        make in any_make().prop_map(|make| Make { factor: make.factor.or(Some(1.0)), limit: 0, ..make }),
        clients in 1..40_usize,
        steps in vec((any::<u64>(), any::<Index>()), 1..200),
    ) {
        let (mut fleet, mut running) = (Fleet::new(make), Vec::new());
        for (hash, index) in steps {
            if running.len() == clients {
                let answered = running.swap_remove(index.index(clients));
                fleet.end(answered, false);
            }
            running.extend(fleet.pick((hash % 4) << 62, &[], true));
            for (seat, known) in fleet.seats.iter().enumerate() {
                prop_assert!(u128::from(known.bounded) <= fleet.bound(seat, clients as u128));
            }
        }
    }
}

// === real threads ===

/// Threads that each stand for some clients: every client has a request, and the next as soon as that has ended. One
/// more thread does something else to the fleet meanwhile. Returns the most that each replica had at one time.
fn race(make: Make, threads: usize, clients: usize, picks: usize, beside: impl FnOnce(&Fleet) + Send) -> Vec<u64> {
    let fleet = Fleet::new(make);
    let route = &fleet.bounded;
    let (now, peaks): (Vec<AtomicU64>, Vec<AtomicU64>) =
        route.seats.iter().map(|_| (AtomicU64::default(), AtomicU64::default())).unzip();
    let start = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        scope.spawn(|| beside(&fleet));
        for thread in 0..threads {
            let (now, peaks, start) = (&now, &peaks, &start);
            scope.spawn(move || {
                let mut running: VecDeque<Lease> = VecDeque::new();
                let end =
                    |lease: Lease| drop((now[usize::from(lease.upstream().ordinal.0)].fetch_sub(1, SeqCst), lease));
                start.wait();
                for number in 0..picks {
                    if running.len() == clients {
                        running.pop_front().into_iter().for_each(end);
                    }
                    // Two hot keys and many others.
                    let hash = if number % 3 == 0 {
                        (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    } else {
                        (thread as u64 % 2) << 63
                    };
                    let pick = route.pick(hash, &[]).expect("somebody can serve");
                    assert_ne!(pick.despite, Some(Verdict::OverBound), "the bound gave way to a race");
                    let seat = usize::from(pick.lease.upstream().ordinal.0);
                    peaks[seat].fetch_max(now[seat].fetch_add(1, SeqCst) + 1, SeqCst);
                    running.push_back(pick.lease);
                }
                running.into_iter().for_each(end);
            });
        }
    });
    fleet.check();
    peaks.into_iter().map(AtomicU64::into_inner).collect()
}

#[test]
fn racing_threads_never_exceed_the_bound_nor_find_nobody() {
    let weighted =
        Make { seats: vec![(1, ALL_KEYS), (2, ALL_KEYS), (4, ALL_KEYS), (1, ALL_KEYS / 2)], ..Make::equal(0, 1.0) };
    for (make, threads, clients) in
        [(Make::equal(5, 1.25), 4, 16), (Make::equal(2, 1.0), 8, 1), (Make::equal(1, 1.0), 4, 3), (weighted, 4, 10)]
    {
        let fleet = Fleet::new(make.clone());
        let bounds: Vec<u128> =
            (0..make.seats.len()).map(|seat| fleet.bound(seat, (threads * clients) as u128)).collect();
        let peaks = race(make, threads, clients, 20_000, |_| ());
        assert!(peaks.iter().zip(&bounds).all(|(peak, bound)| u128::from(*peak) <= *bound), "{peaks:?} of {bounds:?}");
    }
}

#[test]
fn an_ejection_that_nobody_has_told_yet_leaves_nobody_without_a_place() {
    let fleet = Fleet::new(Make::equal(2, 1.0));
    let mut leases = vec![fleet.bounded.pick(0, &[]).expect("both can serve").lease];
    fleet.upstream(0).eject_untold();
    for _ in 0..4 {
        let pick = fleet.bounded.pick(0, &[]).expect("one can serve");
        assert_eq!((pick.lease.upstream().ordinal, pick.despite), (Ordinal(1), None));
        leases.push(pick.lease);
    }
}

#[test]
fn ejections_amid_a_race_leave_no_request_without_a_replica_and_no_count_wrong() {
    race(Make::equal(3, 1.25), 4, 4, 20_000, |fleet| {
        for number in 0..20_000 {
            let upstream = fleet.upstream(number % 2);
            assert!(upstream.eject(), "nobody else ejects");
            std::thread::yield_now();
            upstream.restore();
        }
    });
}

#[test]
fn every_verdict_stands_at_its_number() {
    assert_eq!(Verdict::ALL.map(|verdict| verdict as usize), [0, 1, 2, 3, 4, 5, 6, 7]);
}
