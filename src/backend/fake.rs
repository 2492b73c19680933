//! Replicas in memory, with a clock of their own and seeded faults: where the planner is tried out by the thousand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::backend::{Backend, BackendError, Unsupported};
use crate::model::{Desired, FleetId, NewReplica, Replica, ReplicaName, ReplicaState, ReplicaUid, elapsed};

/// What goes wrong, and how often: each chance is out of 1,000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A create is refused.
    pub create_refused: u32,
    /// A step is taken and its answer lost.
    pub reply_lost: u32,
    /// A replica dies within a second, at any age.
    pub sudden_death: u32,
    /// A replica dies before it turns ready.
    pub death_at_start: u32,
}

/// The backend.
#[derive(Debug)]
pub struct FakeBackend {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    random: SplitMix64,
    faults: Faults,
    starts_within: Duration,
    stops_within: Duration,
    next_uid: u16,
    replicas: Vec<FakeReplica>,
    log: Vec<String>,
}

#[derive(Debug)]
struct FakeReplica {
    fleet: FleetId,
    replica: Replica,
    /// When its state changes by itself next.
    due: Option<(Timestamp, Change)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Ready,
    Die,
    Vanish,
}

/// A small generator (Steele, Lea, Flood 2014): the same seed gives the same story on every machine.
#[derive(Debug, Clone)]
pub struct SplitMix64(pub u64);

// === impl SplitMix64 ===

impl SplitMix64 {
    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_bits() % bound
    }

    /// True in so many of 1,000 cases.
    pub fn chance(&mut self, of_thousand: u32) -> bool {
        self.below(1_000) < u64::from(of_thousand)
    }
}

// === impl FakeBackend ===

impl FakeBackend {
    /// An empty backend whose clock stands at `now`; replicas start within a second and stop within one.
    #[must_use]
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let second = Duration::from_secs(1);
        let state = State {
            now,
            random: SplitMix64(seed),
            faults: Faults::default(),
            starts_within: second,
            stops_within: second,
            next_uid: 0,
            replicas: Vec::new(),
            log: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// From now on these faults happen.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// From now on replicas take up to so long to turn ready.
    pub fn set_slow_start(&self, starts_within: Duration) {
        self.state().starts_within = starts_within;
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state().now
    }

    /// Lets time pass: replicas turn ready, die and vanish as is due.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.now += by;
        state.settle();
        let deaths: Vec<ReplicaUid> = {
            let State { replicas, random, faults, .. } = &mut *state;
            let alive = replicas.iter().filter(|fake| fake.replica.is_live());
            alive.filter(|_| random.chance(faults.sudden_death)).map(|fake| fake.replica.uid.clone()).collect()
        };
        deaths.iter().for_each(|uid| state.kill(uid, "sudden death"));
        drop(state);
        self.changed.notify_one();
    }

    /// Ends a replica from outside, as `kill -9` would.
    pub fn kill(&self, uid: &ReplicaUid) {
        self.state().kill(uid, "killed by signal 9");
        self.changed.notify_one();
    }

    /// Turns a ready replica unready, or an unready one ready.
    pub fn set_ready(&self, uid: &ReplicaUid, ready: bool) {
        let mut state = self.state();
        let since = state.now;
        if let Some(fake) = state.replicas.iter_mut().find(|fake| fake.replica.uid == *uid && fake.replica.is_live()) {
            fake.replica.state = if ready { ReplicaState::Ready { since } } else { ReplicaState::Unready { since } };
            fake.due = None;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Marks a replica `ringhold.dev/remove-first`.
    pub fn mark_remove_first(&self, uid: &ReplicaUid) {
        let mut state = self.state();
        state
            .replicas
            .iter_mut()
            .filter(|fake| fake.replica.uid == *uid)
            .for_each(|fake| fake.replica.remove_first = true);
    }

    /// All steps taken so far, oldest first, for a failing test to print.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for FakeBackend {
    fn accept(&self, _: &Desired) -> Result<(), Vec<Unsupported>> {
        Ok(())
    }

    async fn observe(&self, fleet: &FleetId) -> Result<Vec<Replica>, BackendError> {
        tokio::task::yield_now().await; // so that two planners at once see the same and act on it in turns
        let state = self.state();
        Ok(state.replicas.iter().filter(|fake| fake.fleet == *fleet).map(|fake| fake.replica.clone()).collect())
    }

    async fn create(&self, desired: &Desired, new: &NewReplica) -> Result<(), BackendError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.note(&format!("create {}", new.name));
        let refused = state.faults.create_refused;
        if state.random.chance(refused) {
            return Err(BackendError::Rejected { reason: "ReplicaRejected", message: "refused by chance".to_owned() });
        }
        state.create(desired, new);
        drop(state);
        self.changed.notify_one();
        self.state().reply()
    }

    async fn drain(
        &self,
        fleet: &FleetId,
        name: &ReplicaName,
        uid: &ReplicaUid,
        since: Timestamp,
    ) -> Result<(), BackendError> {
        let mut state = self.state();
        state.note(&format!("drain {name}"));
        if let Some(fake) = state.find(fleet, name, uid) {
            fake.replica.draining_since.get_or_insert(since);
        }
        drop(state);
        self.changed.notify_one();
        self.state().reply()
    }

    async fn delete(&self, fleet: &FleetId, name: &ReplicaName, uid: &ReplicaUid) -> Result<(), BackendError> {
        let mut state = self.state();
        state.note(&format!("delete {name}"));
        let delay = state.up_to(|state| state.stops_within);
        let gone_at = state.now + delay;
        if let Some(fake) = state.find(fleet, name, uid) {
            match fake.replica.state {
                ReplicaState::Dead { .. } => fake.due = Some((Timestamp::MIN, Change::Vanish)),
                ReplicaState::Terminating => {}
                _ => {
                    fake.replica.state = ReplicaState::Terminating;
                    fake.due = Some((gone_at, Change::Vanish));
                }
            }
        }
        state.settle();
        drop(state);
        self.changed.notify_one();
        self.state().reply()
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

// === impl State ===

impl State {
    fn create(&mut self, desired: &Desired, new: &NewReplica) {
        if self.replicas.iter().any(|fake| fake.fleet == desired.id && fake.replica.name == new.name) {
            return;
        }
        self.next_uid += 1;
        let delay = self.up_to(|state| state.starts_within);
        let dies = self.random.chance(self.faults.death_at_start);
        let uid = ReplicaUid(format!("fake-{}", self.next_uid).into());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next_uid));
        let replica = Replica::starting(new.clone(), uid, address, self.now);
        let due = Some((self.now + delay, if dies { Change::Die } else { Change::Ready }));
        self.replicas.push(FakeReplica { fleet: desired.id.clone(), replica, due });
        self.settle();
    }

    fn settle(&mut self) {
        let now = self.now;
        for fake in &mut self.replicas {
            let Some((at, change)) = fake.due.filter(|(at, _)| *at <= now) else { continue };
            match change {
                Change::Ready => fake.replica.state = ReplicaState::Ready { since: at },
                Change::Die => fake.replica.state = dead(&fake.replica, at, "exit status 1"),
                Change::Vanish => continue,
            }
            fake.due = None;
        }
        self.replicas.retain(|fake| !matches!(fake.due, Some((at, Change::Vanish)) if at <= now));
    }

    fn kill(&mut self, uid: &ReplicaUid, reason: &str) {
        let now = self.now;
        self.note(&format!("kill {uid}"));
        for fake in self.replicas.iter_mut().filter(|fake| fake.replica.uid == *uid) {
            if !matches!(fake.replica.state, ReplicaState::Dead { .. } | ReplicaState::Terminating) {
                fake.replica.state = dead(&fake.replica, now, reason);
                fake.due = None;
            }
        }
    }

    fn find(&mut self, fleet: &FleetId, name: &ReplicaName, uid: &ReplicaUid) -> Option<&mut FakeReplica> {
        self.replicas
            .iter_mut()
            .find(|fake| fake.fleet == *fleet && fake.replica.name == *name && fake.replica.uid == *uid)
    }

    fn up_to(&mut self, longest: fn(&Self) -> Duration) -> Duration {
        let milliseconds = u64::try_from(longest(self).as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.random.below(milliseconds + 1))
    }

    fn reply(&mut self) -> Result<(), BackendError> {
        let lost = self.faults.reply_lost;
        if self.random.chance(lost) {
            return Err(BackendError::Unavailable { message: "the reply was lost".to_owned() });
        }
        Ok(())
    }

    fn note(&mut self, step: &str) {
        let now = self.now;
        self.log.push(format!("{now} {step}"));
    }
}

fn dead(replica: &Replica, since: Timestamp, reason: &str) -> ReplicaState {
    let ready_for = match replica.state {
        ReplicaState::Ready { since: ready } => elapsed(ready, since),
        _ => Duration::ZERO,
    };
    ReplicaState::Dead { since, ready_for, reason: reason.to_owned() }
}
