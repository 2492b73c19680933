//! What happens meanwhile: to replicas, to what is declared, and to LoadBalancers that come and go. One thing after the
//! other for each of the three; each is waited for, so that the fleet which must not fail always has somebody who serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use tokio::time::sleep;

use crate::clients::Shared;
use crate::ringhold::{Metrics, Ringhold, ask, is_settled};
use crate::world::{Declared, World};

/// Everybody's.
pub(crate) struct Stage {
    pub(crate) ringhold: Ringhold,
    pub(crate) world: World,
    pub(crate) shared: Arc<Shared>,
}

/// How often what has happened.
pub(crate) type Happened = BTreeMap<&'static str, u32>;

/// A thing that happens to the fleet of `web`.
#[derive(Debug, Clone, Copy)]
enum Event {
    Kill,
    Exit,
    Freeze,
    Unready,
    Scale,
    Rollout,
    BadRollout,
    Ring,
    Settings,
}

const EVENTS: [(Event, &str); 9] = [
    (Event::Kill, "replicas killed"),
    (Event::Exit, "replicas that crashed"),
    (Event::Freeze, "replicas that stood still for a while"),
    (Event::Unready, "replicas unready for a while"),
    (Event::Scale, "fleets scaled"),
    (Event::Rollout, "rollouts"),
    (Event::BadRollout, "rollouts that failed and were taken back"),
    (Event::Ring, "rings changed"),
    (Event::Settings, "limits, times and hosts changed"),
];

/// What each may be. A spec that is said in other words is no change, so the lines stand in one order.
const RINGS: [Option<&str>; 5] = [
    None,
    Some("ring: {slots: 4096}"),
    Some("ring: {algorithm: Ketama}"),
    Some("ring: {algorithm: Maglev, slots: 5003}"),
    Some("ring: {algorithm: Polynomial}"),
];
const SETTINGS: [&str; 6] = [
    "boundedLoad: {factor: 1.25}",
    "boundedLoad: {factor: 3}",
    "limits: {maxConcurrentPerReplica: 300, maxBodyBytes: 1000000}",
    "timeouts: {connectMilliseconds: 1000, responseHeaderSeconds: 30, idleSeconds: 2}",
    "retries: {attempts: 3, budgetPercent: 50}",
    "timeouts: {connectMilliseconds: 2000, responseHeaderSeconds: 60, idleSeconds: 60}",
];

/// Replicas, one misfortune after the other, and then all as it was.
pub(crate) async fn fleet(stage: &Stage) -> anyhow::Result<Happened> {
    let initial = Declared::web(stage.shared.ports);
    let (mut web, mut happened) = (initial.clone(), Happened::new());
    let mut order: Vec<(Event, &str)> = Vec::new();
    while stage.goes_on() {
        if order.is_empty() {
            order = EVENTS.to_vec();
            fastrand::shuffle(&mut order);
        }
        let Some((event, name)) = order.pop() else { continue };
        stage.settled("web").await?;
        event.happen(stage, &mut web).await?;
        *happened.entry(name).or_default() += 1;
        sleep(Duration::from_millis(fastrand::u64(100..800))).await;
    }
    stage.settled("web").await?;
    stage.declare(&initial).await?;
    Ok(happened)
}

/// Certificates, and the size of the fleet that has them.
pub(crate) async fn secure(stage: &Stage) -> anyhow::Result<Happened> {
    let initial = Declared::secure(stage.shared.ports);
    let mut happened = Happened::new();
    while stage.goes_on() {
        stage.world.renew()?;
        *happened.entry("certificates renewed").or_default() += 1;
        sleep(Duration::from_millis(fastrand::u64(2_000..4_000))).await;
        stage.declare(&Declared { replicas: fastrand::u32(1..4), ..initial.clone() }).await?;
        sleep(Duration::from_millis(fastrand::u64(1_000..2_000))).await;
        stage.settled("secure").await?;
    }
    stage.declare(&initial).await?;
    Ok(happened)
}

/// LoadBalancers that come and go: the guest when nobody asks for it, the stray at any time. Returns what was last said of
/// the guest in each of its lives: a LoadBalancer's counters go with it.
pub(crate) async fn visitors(stage: &Stage) -> anyhow::Result<(Happened, Metrics)> {
    let (guest, stray) = (Declared::guest(stage.shared.ports), Declared::stray(stage.shared.ports));
    let (mut happened, mut told) = (Happened::new(), Metrics::default());
    while stage.goes_on() {
        for visitor in [&stray, &guest] {
            stage.declare(visitor).await?;
            stage.settled(visitor.name).await?;
        }
        sleep(Duration::from_millis(fastrand::u64(1_000..4_000))).await;
        stage.world.remove(&stray)?;
        {
            let _peace = stage.shared.peace.write().await;
            told.add(&stage.at_rest(guest.name).await?);
            stage.world.remove(&guest)?;
            stage.gone(guest.name).await?;
        }
        stage.gone(stray.name).await?;
        *happened.entry("LoadBalancers added and removed").or_default() += 2;
        sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
    }
    Ok((happened, told))
}

// === impl Event ===

impl Event {
    async fn happen(self, stage: &Stage, web: &mut Declared) -> anyhow::Result<()> {
        let victim = fastrand::choice(stage.ringhold.replicas("web").await?);
        match (self, victim) {
            (Self::Kill, Some(victim)) => {
                kill_process(victim.pid, Signal::KILL)?;
                stage.replaced(&victim.name).await?;
            }
            (Self::Exit, Some(victim)) => {
                // It goes without an answer.
                let _ = ask(victim.port, "POST", "/exit?code=3").await;
                stage.replaced(&victim.name).await?;
            }
            (Self::Freeze, Some(victim)) => {
                kill_process(victim.pid, Signal::STOP)?;
                sleep(Duration::from_millis(fastrand::u64(200..1_500))).await;
                // It may have been given up meanwhile.
                let _ = kill_process(victim.pid, Signal::CONT);
            }
            (Self::Unready, Some(victim)) => {
                ask(victim.port, "POST", "/unready").await?;
                sleep(Duration::from_millis(fastrand::u64(200..5_000))).await;
                ask(victim.port, "POST", "/ready").await?;
            }
            (Self::Kill | Self::Exit | Self::Freeze | Self::Unready, None) => {}
            (Self::Scale, _) => {
                web.replicas = fastrand::u32(3..7);
                stage.declare(web).await?;
            }
            (Self::Rollout, _) => {
                web.version += 1;
                stage.declare(web).await?;
            }
            (Self::BadRollout, _) => {
                stage.declare(&Declared { fails: true, ..web.clone() }).await?;
                sleep(Duration::from_millis(fastrand::u64(500..3_000))).await;
                stage.declare(web).await?;
            }
            (Self::Ring, _) => {
                web.more.retain(|line| !line.starts_with("ring:"));
                web.more.splice(0..0, fastrand::choice(RINGS).flatten().map(str::to_owned));
                stage.declare(web).await?;
            }
            (Self::Settings, _) => {
                web.more.retain(|line| line.starts_with("ring:"));
                web.more.extend(fastrand::choice(SETTINGS).map(str::to_owned));
                web.hostnames.truncate(1);
                web.hostnames.extend(fastrand::choice([None, Some("other.example"), Some("*.web.example")]).flatten());
                stage.declare(web).await?;
            }
        }
        Ok(())
    }
}

// === impl Stage ===

impl Stage {
    fn goes_on(&self) -> bool {
        !self.shared.stop.load(Relaxed)
    }

    /// Declares, and waits until it has been read.
    async fn declare(&self, declared: &Declared) -> anyhow::Result<()> {
        let generation = |shown: Option<&Value>| shown.and_then(|shown| shown["observedGeneration"].as_i64());
        let before = generation(self.ringhold.show(declared.name).await?.as_ref());
        if !self.world.declare(declared)? {
            return Ok(());
        }
        self.ringhold.until(declared.name, "as declared", |shown| generation(shown) > before).await
    }

    pub(crate) async fn settled(&self, name: &str) -> anyhow::Result<()> {
        self.ringhold.until(name, "settled", is_settled).await
    }

    /// Waits until a dead replica is forgotten.
    async fn replaced(&self, name: &str) -> anyhow::Result<()> {
        let is_named = |shown: &Value| shown.to_string().contains(&format!("\"{name}\""));
        self.ringhold
            .until("web", "without its dead replica", |shown| shown.is_some_and(|shown| !is_named(shown)))
            .await
    }

    /// Waits until a LoadBalancer is gone and its counters with it.
    async fn gone(&self, name: &str) -> anyhow::Result<()> {
        self.ringhold.until(name, "gone", |shown| shown.is_none()).await?;
        while !self.ringhold.metrics().await?.only(name).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What is said of a LoadBalancer that has no requests, once the last has been counted.
    async fn at_rest(&self, name: &str) -> anyhow::Result<Metrics> {
        let total = |metrics: &Metrics| metrics.sum("ringhold_requests_total", |_| true);
        let mut last = self.ringhold.metrics().await?.only(name);
        loop {
            sleep(Duration::from_millis(200)).await;
            let now = self.ringhold.metrics().await?.only(name);
            if total(&now) == total(&last) {
                return Ok(now);
            }
            last = now;
        }
    }
}
