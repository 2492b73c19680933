//! What a settled hour asks of the API server: measured for a minute, and for one loss of all connections; the rest is
//! multiplied.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use ringhold_test_cluster::{AuditEvent, Gate};
use serde::Serialize;

use crate::admin::value;
use crate::args::Args;
use crate::operator::Operator;
use crate::requests::{Audit, Counts, Window, counts};
use crate::world::World;

const HOUR: f64 = 3600.0;
/// How long the connections stay cut: long enough that none is overlooked.
const CUT: Duration = Duration::from_millis(200);
/// How long after a cut everything has come back for certain: the operator tries again after half a second, then after
/// up to four.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long a watch of the operator's lives, where it does not say.
const WATCH_SECONDS: f64 = 60.0;

/// The hour, with its parts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hour {
    /// Measured: everything that was asked while nothing changed.
    pub(crate) settled: Counts,
    pub(crate) settled_seconds: f64,
    /// What the operator computed meanwhile.
    pub(crate) settled_cpu_seconds: f64,
    /// Measured: everything that was asked after all connections were cut.
    pub(crate) cut: Counts,
    /// Of what is settled and no watch, times what the hour is longer: the Lease, writes, and everything else.
    pub(crate) lease: f64,
    pub(crate) writes: f64,
    pub(crate) reads: f64,
    /// Of what each watch says how long it lives: how often all of them are begun anew.
    pub(crate) watches: f64,
    /// Of what was asked after the cut besides watches and the Lease, as often as the longest watch is begun anew.
    pub(crate) relists: f64,
    pub(crate) sum: f64,
}

/// Nothing changes for a while. Returns when that was, and what the operator computed meanwhile.
pub(crate) async fn settled(world: &World, operator: &Operator, args: &Args) -> anyhow::Result<(Window, Duration)> {
    world.until_ready(args.pods()).await?;
    world.loadbalancers.until_all_told().await?;
    world.breathe().await;
    let (from, before) = (Timestamp::now(), operator.process().usage()?.cpu);
    tokio::time::sleep(Duration::from_secs(args.settled_seconds.into())).await;
    let cpu = operator.process().usage()?.cpu.saturating_sub(before);
    Ok((Window { from, until: Timestamp::now() }, cpu))
}

/// Cuts the operator's connections, all at once, and gives it time to come back.
pub(crate) async fn cut(world: &World, gate: &Gate, operator: &Operator) -> anyhow::Result<Window> {
    world.breathe().await;
    let from = Timestamp::now();
    gate.close();
    tokio::time::sleep(CUT).await;
    gate.open();
    tokio::time::sleep(RECOVERY).await;
    let metrics = operator.admin().await?.metrics().await?;
    anyhow::ensure!(value(&metrics, "ringhold_controller_leader") == Some(1.0), "the operator does not lead any more");
    Ok(Window { from, until: Timestamp::now() })
}

/// Puts the hour together.
pub(crate) fn sum(audit: &Audit, user: &str, (settled, cpu): (Window, Duration), cut: Window) -> Hour {
    let is_lease = |event: &&AuditEvent| event.resource == "leases";
    let is_watch = |event: &&AuditEvent| event.verb == "watch";
    let quiet = audit.of(user, settled);
    let after_cut = audit.of(user, cut);
    let a_hour = |count: usize| HOUR / settled.seconds() * approximate(count);
    let settled_but_watches = || quiet.clone().filter(|event| !is_watch(event));
    let lease = a_hour(settled_but_watches().filter(is_lease).count());
    let writes = a_hour(settled_but_watches().filter(|event| !is_lease(event) && event.is_write()).count());
    let reads = a_hour(settled_but_watches().filter(|event| !is_lease(event) && !event.is_write()).count());
    let mut known = BTreeSet::new();
    let watches = after_cut.clone().filter(is_watch).filter(|event| known.insert(identity(event)));
    let watches: f64 = watches.map(|event| HOUR / lives(event)).sum();
    let relists = after_cut.clone().filter(|event| !is_watch(event) && !is_lease(event)).count();
    let relists = HOUR / WATCH_SECONDS * approximate(relists);
    Hour {
        settled: counts(quiet),
        settled_seconds: settled.seconds(),
        settled_cpu_seconds: cpu.as_secs_f64(),
        cut: counts(after_cut),
        lease,
        writes,
        reads,
        watches,
        relists,
        sum: lease + writes + reads + watches + relists,
    }
}

/// Equal for the same watch begun anew, from wherever it goes on.
fn identity(watch: &AuditEvent) -> Vec<&str> {
    watch.uri.split(['?', '&']).filter(|part| !part.starts_with("resourceVersion")).collect()
}

/// How many seconds a watch lives, as it says itself.
fn lives(watch: &AuditEvent) -> f64 {
    let said = watch.uri.split(['?', '&']).find_map(|pair| pair.strip_prefix("timeoutSeconds=")?.parse().ok());
    said.unwrap_or(WATCH_SECONDS)
}

/// Exact for all counts that a benchmark can reach.
fn approximate(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
