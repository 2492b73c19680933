//! What `/metrics` shows of the driver.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::Action;

/// From 0.1 ms to 16 s.
const BUCKETS: [f64; 14] = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 4.0, 16.0];

const RESULTS: [&str; 2] = ["ok", "failed"];
const ACTIONS: [&str; 3] = ["create", "drain", "delete"];

/// Counts what the driver does.
#[derive(Debug)]
pub struct Stats {
    looks: Family<LookLabels, Counter>,
    look_seconds: Histogram,
    route_seconds: Histogram,
    actions: Family<ActionLabels, Counter>,
    status_writes: Counter,
    leader: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

// === impl Stats ===

impl Stats {
    /// Counts into this registry.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let stats = Self {
            looks: Family::default(),
            look_seconds: Histogram::new(BUCKETS),
            route_seconds: Histogram::new(BUCKETS),
            actions: Family::default(),
            status_writes: Counter::default(),
            leader: Gauge::default(),
        };
        let Self { looks, look_seconds, route_seconds, actions, status_writes, leader } = &stats;
        // What has not happened yet is 0, not unknown.
        RESULTS.iter().for_each(|result| drop(looks.get_or_create(&LookLabels { result })));
        ACTIONS.iter().for_each(|action| drop(actions.get_or_create(&ActionLabels { action })));
        let registry = registry.sub_registry_with_prefix("ringhold_controller");
        registry.register("reconciles", "Looks taken at a LoadBalancer, by result", looks.clone());
        registry.register("reconcile_seconds", "How long a look took, in seconds", look_seconds.clone());
        registry.register(
            "route_seconds",
            "From the news of a replica to the route table that has it, in seconds",
            route_seconds.clone(),
        );
        registry.register("actions", "Steps taken on replicas, by action", actions.clone());
        registry.register(
            "status_writes",
            "Statuses of LoadBalancers written to the API server",
            status_writes.clone(),
        );
        registry.register("leader", "1 while this process acts", leader.clone());
        stats
    }

    pub(super) fn looked(&self, is_ok: bool, took: Duration) {
        self.looks.get_or_create(&LookLabels { result: RESULTS[usize::from(!is_ok)] }).inc();
        self.look_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn routed_after(&self, delay: Duration) {
        self.route_seconds.observe(delay.as_secs_f64());
    }

    pub(super) fn acted(&self, actions: &[Action]) {
        for action in actions {
            let action = match action {
                Action::Create(_) => ACTIONS[0],
                Action::Drain { .. } => ACTIONS[1],
                Action::Delete { .. } => ACTIONS[2],
            };
            self.actions.get_or_create(&ActionLabels { action }).inc();
        }
    }

    pub(super) fn wrote_status(&self) {
        self.status_writes.inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
