//! One simulated fleet: backend, table, requests in flight, and what must hold after every step.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ringhold::backend::Backend;
use ringhold::backend::fake::{FakeBackend, SplitMix64};
use ringhold::controller::{Elsewhere, Exposure, Memory, Outcome, Part, Standing, manifest, tick, validate};
use ringhold::model::{
    Condition, ConditionStatus, ConditionType, Desired, Ordinal, Replica, ReplicaState, ReplicaUid, TemplateHash,
};
use ringhold::routes::{Pick, Publisher, bridge};

const MANIFEST: &str = "
apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {name: web}
spec:
  replicas: 3
  ring: {slots: 256}
  template: {spec: {containers: [{name: server, command: [server]}]}}
";

/// Who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planners {
    One,
    /// Both see the same state and act on it, step by step in turns.
    TwoAtOnce,
}

pub(crate) struct World {
    pub(crate) backend: Arc<FakeBackend>,
    seed: u64,
    publisher: Publisher,
    desired: Desired,
    standing: Standing,
    memories: [Memory; 2],
    requests: Vec<Pick>,
    last: Option<Outcome>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let resource = manifest::parse(Path::new("web.yaml"), MANIFEST).unwrap().remove(0);
        let accepted = Condition {
            kind: ConditionType::Accepted,
            status: ConditionStatus::True,
            observed_generation: 1,
            last_transition_time: Timestamp::UNIX_EPOCH,
            reason: "Accepted",
            message: String::new(),
        };
        Self {
            backend: Arc::new(FakeBackend::new(seed, Timestamp::UNIX_EPOCH)),
            seed,
            publisher: bridge().publisher,
            desired: validate(&resource).unwrap(),
            standing: Standing {
                accepted,
                exposure: Exposure::Routed,
                part: Part::Acts,
                elsewhere: Elsewhere::Nobody,
                security: None,
                trust: None,
            },
            memories: [Memory::default(), Memory::default()],
            requests: Vec::new(),
            last: None,
        }
    }

    // === what happens ===

    pub(crate) fn scale(&mut self, replicas: u64) {
        self.desired.replicas = u16::try_from(replicas).unwrap();
    }

    pub(crate) fn change_template(&mut self, version: u64) {
        let mut template = (*self.desired.template).clone();
        template.hash = TemplateHash(format!("v{version}").into());
        self.desired.template = Arc::new(template);
    }

    pub(crate) fn change_rollout(&mut self, surge: u64, unavailable: u64) {
        self.desired.rollout.max_surge = u16::try_from(surge).unwrap();
        self.desired.rollout.max_unavailable =
            u16::try_from(if surge == 0 { unavailable.max(1) } else { unavailable }).unwrap();
    }

    pub(crate) fn change_pace(&mut self, min_ready_seconds: u64, slow_start_seconds: u64) {
        self.desired.rollout.min_ready = Duration::from_secs(min_ready_seconds);
        self.desired.rollout.slow_start = Duration::from_secs(slow_start_seconds);
    }

    pub(crate) async fn pick_replica(&self, random: &mut SplitMix64, act: impl FnOnce(&FakeBackend, &ReplicaUid)) {
        let replicas = self.replicas().await;
        let ready: Vec<_> = replicas.iter().filter(|replica| replica.is_live()).collect();
        if !ready.is_empty() {
            let index = usize::try_from(random.below(ready.len() as u64)).unwrap();
            act(&self.backend, &ready[index].uid);
        }
    }

    /// A few requests begin and a few end.
    pub(crate) fn send_requests(&mut self, random: &mut SplitMix64) {
        let table = self.publisher.table();
        let route = table.fleet(&self.desired.id).and_then(|entry| entry.route.clone());
        for _ in 0..random.below(4) {
            self.requests.extend(route.as_ref().and_then(|route| route.pick(random.next_bits(), &[]).ok()));
        }
        self.requests.retain(|_| random.chance(600));
    }

    pub(crate) fn finish_requests(&mut self) {
        self.requests.clear();
    }

    /// Whoever was made unready answers again.
    pub(crate) async fn heal(&self) {
        for replica in self.replicas().await {
            if matches!(replica.state, ReplicaState::Unready { .. }) {
                self.backend.set_ready(&replica.uid, true);
            }
        }
    }

    // === what is done about it ===

    /// Time passes, then everybody ticks; what must always hold is checked.
    pub(crate) async fn step(&mut self, passes: Duration, planners: Planners) {
        self.backend.advance(passes);
        let before = self.replicas().await;
        let now = self.backend.now();
        let [first, second] = &mut self.memories;
        let (backend, publisher, desired, standing) = (&*self.backend, &self.publisher, &self.desired, &self.standing);
        let outcome = match planners {
            Planners::One => tick(backend, publisher, desired, standing, first, now).await,
            Planners::TwoAtOnce => {
                let one = tick(backend, publisher, desired, standing, first, now);
                let other = tick(backend, publisher, desired, standing, second, now);
                tokio::join!(one, other).0
            }
        };
        self.last = outcome.ok();
        let after = self.replicas().await;
        if planners == Planners::One {
            // Two that see each other's half-done steps may each take one ordinal down; the lease makes that rare.
            self.check_availability(&before, &after);
        }
        self.check_deletions(&before, &after);
        self.check_duplicates(&after);
        self.check_routes(&after);
    }

    pub(crate) async fn settle(&mut self, planners: Planners) {
        for _ in 0..3_000 {
            self.step(Duration::from_millis(500), planners).await;
            if self.is_settled().await {
                return;
            }
        }
        panic!("seed {} does not settle: {:#?}\n{}", self.seed, self.replicas().await, self.story());
    }

    pub(crate) async fn stays_settled(&mut self, planners: Planners) {
        let log = self.backend.log();
        for _ in 0..20 {
            self.step(Duration::from_secs(30), planners).await;
        }
        let touched = self.backend.log().split_off(log.len());
        assert_eq!(touched, [""; 0], "seed {}: a settled fleet was touched\n{}", self.seed, log.join("\n"));
    }

    pub(crate) fn members(&self) -> BTreeSet<Ordinal> {
        let table = self.publisher.table();
        let route = table.fleet(&self.desired.id).and_then(|entry| entry.route.clone()).unwrap();
        route.seats().iter().map(|seat| seat.ordinal).collect()
    }

    pub(crate) fn story(&self) -> String {
        self.backend.log().join("\n")
    }

    async fn replicas(&self) -> Vec<Replica> {
        self.backend.observe(&self.desired.id).await.unwrap()
    }

    async fn is_settled(&self) -> bool {
        let replicas = self.replicas().await;
        let wanted = usize::from(self.desired.replicas);
        let is_wanted = |replica: &Replica| replica.serves() && replica.template == self.desired.template.hash;
        let is_quiet = self.last.as_ref().is_some_and(|last| last.actions.is_empty() && last.next_check.is_none());
        is_quiet && replicas.len() == wanted && replicas.iter().all(is_wanted) && self.members().len() == wanted
    }

    // === what must hold ===

    /// The planners' own steps never take the fleet below what the rollout promises.
    fn check_availability(&self, before: &[Replica], after: &[Replica]) {
        let promised = usize::from(self.desired.replicas.saturating_sub(self.desired.rollout.max_unavailable));
        let (had, mut has) = (serving(before), serving(after));
        // One marked remove-first goes whatever the others do: that is somebody's wish.
        has.extend(after.iter().filter(|replica| replica.remove_first).map(|replica| replica.ordinal));
        assert!(
            has.len() >= had.len().min(promised),
            "seed {}: {had:?} served, now {has:?}, promised {promised}: {after:#?}\n{}",
            self.seed,
            self.story()
        );
    }

    /// Nothing alive is stopped unless it was marked, left the table and had its time.
    fn check_deletions(&self, before: &[Replica], after: &[Replica]) {
        for replica in before
            .iter()
            .filter(|replica| !matches!(replica.state, ReplicaState::Dead { .. } | ReplicaState::Terminating))
        {
            let now = after.iter().find(|now| now.uid == replica.uid);
            let was_stopped = now.is_none_or(|now| now.state == ReplicaState::Terminating);
            if !was_stopped {
                continue;
            }
            // Of two planners one may mark and the other stop within one step, and a stop may take no time at all.
            let Some(last) = now else { continue };
            let Some(since) = last.draining_since else {
                panic!("seed {}: {} was stopped without a mark\n{}", self.seed, replica.name, self.story())
            };
            let is_busy = self.requests.iter().any(|pick| pick.lease.upstream().uid == replica.uid);
            let is_overdue = self.backend.now() >= since + self.desired.rollout.drain_timeout;
            assert!(
                !is_busy || is_overdue,
                "seed {}: {} was stopped with requests\n{}",
                self.seed,
                replica.name,
                self.story()
            );
        }
    }

    /// No ordinal has two live replicas of one template.
    fn check_duplicates(&self, after: &[Replica]) {
        let mut places = BTreeSet::new();
        for replica in after.iter().filter(|replica| replica.is_live()) {
            assert!(
                places.insert((replica.ordinal, replica.template.clone())),
                "seed {}: two live replicas like {}\n{}",
                self.seed,
                replica.name,
                self.story()
            );
        }
    }

    /// While anybody serves, every key finds somebody, and never one that is on its way out.
    fn check_routes(&self, after: &[Replica]) {
        let table = self.publisher.table();
        let Some(route) = table.fleet(&self.desired.id).and_then(|entry| entry.route.clone()) else { return };
        let anybody = route.seats().iter().any(|seat| seat.upstream.is_some());
        for hash in [0, u64::MAX / 3, u64::MAX] {
            match route.pick(hash, &[]) {
                Ok(pick) => {
                    let replica = after.iter().find(|replica| replica.uid == pick.lease.upstream().uid).unwrap();
                    assert!(
                        replica.state != ReplicaState::Terminating,
                        "seed {}: {} is routed",
                        self.seed,
                        replica.name
                    );
                }
                Err(error) => assert!(!anybody, "seed {}: {error}", self.seed),
            }
        }
    }
}

/// Ordinals that somebody serves.
fn serving(replicas: &[Replica]) -> BTreeSet<Ordinal> {
    replicas.iter().filter(|replica| replica.serves()).map(|replica| replica.ordinal).collect()
}
