//! Everything from the first `create` to the last replica that is ready, and everything away again: LoadBalancers and
//! Deployments in turns.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::admin::Histogram;
use crate::args::Args;
use crate::fleets::{Fleets, Kind};
use crate::news;
use crate::operator::Operator;
use crate::process::{Process, Usage};
use crate::requests::Window;
use crate::series::{Series, Summary};
use crate::world::World;

/// How much Kubernetes' own controllers may do at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    /// As kube-controller-manager has them where nobody says anything.
    Default,
    /// So high that only the machine limits them, as it does the operator.
    Lifted,
}

/// Everything that was measured, round by round.
pub(crate) struct Rounds {
    pods: usize,
    pub(crate) loadbalancers: Vec<Round>,
    pub(crate) deployments: Vec<Round>,
    pub(crate) deployments_at_default_limits: Vec<Round>,
    /// How long the news of a pod took to the routes in the last round with LoadBalancers.
    pub(crate) news: Histogram,
}

/// One round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// From the first create until all is ready and said to be so.
    pub(crate) window: Window,
    pub(crate) ready: Duration,
    pub(crate) told: Duration,
    /// From the first delete to the last pod that is gone.
    pub(crate) gone: Option<Duration>,
    pub(crate) controllers_cpu: Duration,
    /// The operator's, where one ran.
    pub(crate) operator_cpu: Duration,
    pub(crate) operator: Usage,
}

/// What is told of the rounds of one kind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Times {
    pub(crate) pods_ready_seconds: Summary,
    pub(crate) status_ready_seconds: Summary,
    pub(crate) pods_gone_seconds: Option<Summary>,
    pub(crate) operator_cpu_seconds: Summary,
    pub(crate) controllers_cpu_seconds: Summary,
}

// === impl Limits ===

impl Limits {
    /// The last of several flags of one name holds.
    pub(crate) fn arguments(self) -> Vec<String> {
        let (qps, burst, syncs) = match self {
            Self::Default => (20, 30, 5),
            Self::Lifted => (100_000, 100_000, 50),
        };
        vec![
            format!("--kube-api-qps={qps}"),
            format!("--kube-api-burst={burst}"),
            format!("--concurrent-deployment-syncs={syncs}"),
            format!("--concurrent-replicaset-syncs={syncs}"),
        ]
    }
}

// === impl Rounds ===

impl Rounds {
    pub(crate) fn new(args: &Args) -> Self {
        Self {
            pods: args.pods(),
            loadbalancers: Vec::new(),
            deployments: Vec::new(),
            deployments_at_default_limits: Vec::new(),
            news: Histogram::default(),
        }
    }

    pub(crate) async fn deployments(&mut self, world: &World, operator: &Operator) -> anyhow::Result<()> {
        let mut round = Round::measure(world, &world.deployments, self.pods, Some(operator.process())).await?;
        round.gone = Some(remove(world, &world.deployments).await?);
        self.deployments.push(round);
        Ok(())
    }

    /// The last ones stay for what else is measured on them; [`Rounds::remove_loadbalancers`] takes them away.
    pub(crate) async fn loadbalancers(&mut self, world: &World, operator: &Operator) -> anyhow::Result<()> {
        let before = news::own(operator).await?;
        let round = Round::measure(world, &world.loadbalancers, self.pods, Some(operator.process())).await?;
        self.loadbalancers.push(round);
        self.news = news::own(operator).await?.since(&before);
        Ok(())
    }

    pub(crate) async fn remove_loadbalancers(&mut self, world: &World) -> anyhow::Result<()> {
        let gone = remove(world, &world.loadbalancers).await?;
        if let Some(round) = self.loadbalancers.last_mut() {
            round.gone = Some(gone);
        }
        Ok(())
    }

    /// They are taken away with the limits lifted, which is not measured: it would take minutes to say the same again.
    pub(crate) async fn deployments_at_default_limits(&mut self, world: &mut World) -> anyhow::Result<()> {
        world.restart_controllers(Limits::Default).await?;
        let round = Round::measure(world, &world.deployments, self.pods, None).await?;
        self.deployments_at_default_limits.push(round);
        world.start_controllers(Limits::Lifted)?;
        remove(world, &world.deployments).await?;
        Ok(())
    }
}

/// Nothing of them is left when this returns; what it returns is when the last pod was gone.
async fn remove<K: Kind>(world: &World, fleets: &Fleets<K>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    fleets.delete().await?;
    world.until_no_pods().await?;
    let gone = began.elapsed();
    world.until_empty().await?;
    Ok(gone)
}

// === impl Round ===

impl Round {
    async fn measure<K: Kind>(
        world: &World,
        fleets: &Fleets<K>,
        pods: usize,
        operator: Option<Process>,
    ) -> anyhow::Result<Self> {
        let operator = || operator.map_or_else(|| Ok(Usage::default()), Process::usage);
        let before = (operator()?, world.controllers()?);
        let (from, began) = (Timestamp::now(), Instant::now());
        let ready = async {
            world.until_ready(pods).await?;
            Ok(began.elapsed())
        };
        let told = async {
            fleets.until_all_told().await?;
            Ok(began.elapsed())
        };
        let ((), ready, told) = tokio::try_join!(fleets.create_all(), ready, told)?;
        // What is left to do belongs to it, as work, if not as time.
        world.breathe().await;
        let after = (operator()?, world.controllers()?);
        Ok(Self {
            window: Window { from, until: Timestamp::now() },
            ready,
            told,
            gone: None,
            operator_cpu: after.0.cpu.saturating_sub(before.0.cpu),
            controllers_cpu: after.1.cpu.saturating_sub(before.1.cpu),
            operator: after.0,
        })
    }
}

// === impl Times ===

impl Times {
    /// `None`: there was no such round.
    pub(crate) fn of(rounds: &[Round]) -> Option<Self> {
        let series = |read: fn(&Round) -> Option<Duration>| Series(rounds.iter().filter_map(read).collect());
        let gone = series(|round| round.gone);
        (!rounds.is_empty()).then(|| Self {
            pods_ready_seconds: series(|round| Some(round.ready)).summary(),
            status_ready_seconds: series(|round| Some(round.told)).summary(),
            pods_gone_seconds: (!gone.0.is_empty()).then(|| gone.summary()),
            operator_cpu_seconds: series(|round| Some(round.operator_cpu)).summary(),
            controllers_cpu_seconds: series(|round| Some(round.controllers_cpu)).summary(),
        })
    }
}
