//! How long it takes from the news of a pod, on the way from the API server, to the route that has it.
//!
//! It is measured twice: as the operator itself counts it, and from outside, by a watch of the benchmark's own and the
//! operator's admin API.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use serde::Serialize;

use crate::admin::{Admin, Histogram, Seat};
use crate::args::Args;
use crate::followed::Objects;
use crate::operator::Operator;
use crate::series::{Series, Summary};
use crate::world::{PodState, World};

/// Between two questions. Without a pause the questions themselves would take what the operator works with.
const PAUSE: Duration = Duration::from_millis(1);
/// A route that has not changed by then never will.
const LIMIT: Duration = Duration::from_secs(60);
const HISTOGRAM: &str = "ringhold_controller_route_seconds";

/// All times are in seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct News {
    pub(crate) unready: Summary,
    pub(crate) ready_again: Summary,
    pub(crate) deleted: Summary,
    pub(crate) successor_ready: Summary,
    pub(crate) all: Summary,
    /// From one question to the next: what was measured from outside is not finer.
    pub(crate) between_questions: Summary,
    /// The same by the operator's own count.
    pub(crate) own: Own,
    /// And while all pods came to life in the last round.
    pub(crate) own_busy: Own,
}

/// What the operator's histogram says. A bucket is above its first bound, and up to its second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Own {
    pub(crate) count: u64,
    pub(crate) median: (f64, f64),
    pub(crate) p99: (f64, f64),
}

/// Who serves an ordinal, and since when.
struct Serving {
    name: String,
    address: Option<IpAddr>,
    since: Instant,
}

/// Asks who serves an ordinal, again and again.
struct Questions {
    admin: Admin,
    namespace: String,
    between: Series,
}

/// Changes pods one at a time, all over the fleets, and times each change.
pub(crate) async fn measure(world: &World, operator: &Operator, args: &Args, busy: &Histogram) -> anyhow::Result<News> {
    let mut questions =
        Questions { admin: operator.admin().await?, namespace: world.namespace.clone(), between: Series::default() };
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let before = own(operator).await?;
    let [mut unready, mut ready_again, mut deleted, mut successor_ready] = [const { Series(Vec::new()) }; 4];
    for step in 0..usize::from(args.news) {
        let fleet = world.loadbalancers.name(step);
        let ordinal = u16::try_from(step / world.loadbalancers.len() % usize::from(args.replicas))?;
        let victim = world.pods.now(|pods| serving(pods, &fleet, ordinal)).context("an ordinal that nobody serves")?;
        // A successor may bear the name of one that was gone before anybody looked; addresses are always fresh.
        let Serving { name: victim, address, .. } = victim;
        let is_victim = |seat: &Seat| seat.address.is_some_and(|there| Some(there.ip()) == address);
        let news = |is_so: fn(&PodState) -> bool| {
            world.pods.until("the pod is as it should be", {
                let victim = victim.clone();
                move |pods| pods.get(&victim).filter(|pod| is_so(&pod.what)).map(|pod| pod.since)
            })
        };

        anyhow::ensure!(world.agent.force_unready(&victim), "a pod that the node does not know: {victim}");
        let route = questions.until(&fleet, ordinal, |seat| !is_victim(seat));
        unready.0.push(delay(tokio::try_join!(news(|pod| !pod.is_ready), route)?));
        world.agent.unforce(&victim);
        let route = questions.until(&fleet, ordinal, is_victim);
        ready_again.0.push(delay(tokio::try_join!(news(|pod| pod.is_ready), route)?));

        // Deleted pods are gone soon, so the news has to be awaited while the deletion is asked for.
        let deletion = async { Ok(pods.delete(&victim, &DeleteParams::default()).await?) };
        let route = questions.until(&fleet, ordinal, |seat| !is_victim(seat));
        let (_, news, route) = tokio::try_join!(deletion, news(|pod| pod.is_leaving), route)?;
        deleted.0.push(delay((news, route)));
        let successor = world.pods.until("there is a successor", |pods| {
            serving(pods, &fleet, ordinal).filter(|pod| pod.address != address).map(|pod| pod.since)
        });
        let route = questions.until(&fleet, ordinal, |seat| seat.address.is_some() && !is_victim(seat));
        successor_ready.0.push(delay(tokio::try_join!(successor, route)?));
    }
    let own = own(operator).await?.since(&before);
    let all = [&unready, &ready_again, &deleted, &successor_ready].map(|series| series.0.clone()).concat();
    Ok(News {
        unready: unready.summary(),
        ready_again: ready_again.summary(),
        deleted: deleted.summary(),
        successor_ready: successor_ready.summary(),
        all: Series(all).summary(),
        between_questions: questions.between.summary(),
        own: Own::of(&own),
        own_busy: Own::of(busy),
    })
}

/// The operator's own histogram.
pub(crate) async fn own(operator: &Operator) -> anyhow::Result<Histogram> {
    Histogram::read(&operator.admin().await?.metrics().await?, HISTOGRAM)
}

/// The ready pod of an ordinal.
fn serving(pods: &Objects<PodState>, fleet: &str, ordinal: u16) -> Option<Serving> {
    let is_it =
        |pod: &PodState| pod.loadbalancer == fleet && pod.ordinal == Some(ordinal) && pod.is_ready && !pod.is_leaving;
    let (name, pod) = pods.iter().find(|(_, pod)| is_it(&pod.what))?;
    Some(Serving { name: name.clone(), address: pod.what.address, since: pod.since })
}

/// The operator may hear of it before we do; then it takes no time that anybody could see.
fn delay((news, route): (Instant, Instant)) -> Duration {
    route.saturating_duration_since(news)
}

// === impl Own ===

impl Own {
    fn of(histogram: &Histogram) -> Self {
        Self { count: histogram.count(), median: histogram.bucket(50), p99: histogram.bucket(99) }
    }
}

// === impl Questions ===

impl Questions {
    /// When it was first answered that the ordinal is served so.
    async fn until(&mut self, fleet: &str, ordinal: u16, is_so: impl Fn(&Seat) -> bool) -> anyhow::Result<Instant> {
        let began = Instant::now();
        let mut asked = began;
        loop {
            let answer = self.admin.fleet(&self.namespace, fleet).await?;
            let answered = Instant::now();
            if answer.ordinals.iter().find(|seat| seat.ordinal == ordinal).is_some_and(&is_so) {
                return Ok(answered);
            }
            anyhow::ensure!(began.elapsed() < LIMIT, "{fleet}: the route of ordinal {ordinal} does not change");
            tokio::time::sleep(PAUSE).await;
            self.between.0.push(asked.elapsed());
            asked = Instant::now();
        }
    }
}
