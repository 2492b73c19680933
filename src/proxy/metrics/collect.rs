//! Sums the shards at scrape and writes them with closed label sets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::model::{FleetId, Ordinal};
use crate::proxy::errors::Reason;
use crate::proxy::metrics::Counter;
use crate::proxy::metrics::shard::{BOUNDS, Handshake, Kind, RouteMetrics, Shard, Source};
use crate::routes::Verdict;

/// All workers' counters, for a registry.
#[derive(Debug, Clone)]
pub struct ProxyMetrics {
    shards: Arc<[Arc<Shard>]>,
}

/// One LoadBalancer's counters over all workers.
#[derive(Default)]
struct Sum {
    responses: [u64; 5],
    cancelled: u64,
    errors: [u64; Reason::ALL.len()],
    durations: [u64; BOUNDS.len() + 1],
    duration_sum_micros: u64,
    retries: [u64; Kind::ALL.len()],
    retries_over_budget: u64,
    picks: BTreeMap<Ordinal, u64>,
    firsts: [u64; Verdict::ALL.len()],
    despite: [u64; Verdict::ALL.len()],
    ejections: u64,
    broken_responses: u64,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

type Sums = BTreeMap<FleetId, Sum>;

// === impl ProxyMetrics ===

impl ProxyMetrics {
    pub(in crate::proxy) fn new(shards: Arc<[Arc<Shard>]>) -> Self {
        Self { shards }
    }

    /// Connections that clients have open now.
    #[must_use]
    pub fn client_connections(&self) -> u64 {
        self.total(|shard| &shard.accepted).saturating_sub(self.total(|shard| &shard.closed))
    }

    fn total(&self, counter: impl Fn(&Shard) -> &Counter) -> u64 {
        self.shards.iter().map(|shard| counter(shard).get()).sum()
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        for shard in self.shards.iter() {
            for (id, metrics) in &*shard.routes.lock().unwrap_or_else(PoisonError::into_inner) {
                sums.entry(id.clone()).or_default().add(metrics);
            }
        }
        sums
    }
}

impl Collector for ProxyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sums = self.sums();
        requests(&mut encoder, &sums)?;
        durations(&mut encoder, &sums)?;
        self.errors(&mut encoder, &sums)?;
        picks(&mut encoder, &sums)?;
        outcomes(&mut encoder, &sums)?;
        retries(&mut encoder, &sums)?;
        let help = "Requests that were not sent once more, because the budget was spent";
        let mut family = counters(&mut encoder, "ringhold_retries_over_budget", help)?;
        for (id, sum) in &sums {
            write(&mut family, &fleet(id), sum.retries_over_budget)?;
        }
        let mut family = counters(&mut encoder, "ringhold_ejections", "Replicas taken out for failing")?;
        for (id, sum) in &sums {
            write(&mut family, &fleet(id), sum.ejections)?;
        }
        let mut family =
            counters(&mut encoder, "ringhold_broken_responses", "Responses that a replica broke off in the middle")?;
        for (id, sum) in &sums {
            write(&mut family, &fleet(id), sum.broken_responses)?;
        }
        self.globals(&mut encoder)
    }
}

impl ProxyMetrics {
    fn errors(&self, encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
        let mut family = counters(encoder, "ringhold_errors", "Answers of the proxy's own, by reason")?;
        for reason in Reason::ALL {
            for (id, sum) in sums {
                let [namespace, name] = fleet(id);
                write_seen(&mut family, &[namespace, name, ("reason", reason.as_str())], sum.errors[reason as usize])?;
            }
            let unrouted: u64 = self.shards.iter().map(|shard| shard.unrouted[reason as usize].get()).sum();
            let labels = [("namespace", ""), ("loadbalancer", ""), ("reason", reason.as_str())];
            write_seen(&mut family, &labels, unrouted)?;
        }
        Ok(())
    }

    fn globals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = counters(encoder, "ringhold_key_source", "Requests by where their key came from")?;
        for (index, source) in Source::ALL.into_iter().enumerate() {
            let count = self.shards.iter().map(|shard| shard.sources[index].get()).sum();
            write(&mut family, &[("source", source)], count)?;
        }
        let mut family =
            counters(encoder, "ringhold_upstream_connections", "Connections to replicas taken for a request")?;
        write(&mut family, &[("kind", "new")], self.total(|shard| &shard.upstream_new))?;
        write(&mut family, &[("kind", "reused")], self.total(|shard| &shard.upstream_reused))?;
        let mut family =
            counters(encoder, "ringhold_tls_handshakes", "TLS handshakes of clients by what became of them")?;
        for (index, result) in Handshake::ALL.into_iter().enumerate() {
            let count = self.shards.iter().map(|shard| shard.handshakes[index].get()).sum();
            write_seen(&mut family, &[("result", result)], count)?;
        }
        let help = "Connections that clients have open";
        let mut gauge = encoder.encode_descriptor("ringhold_client_connections", help, None, MetricType::Gauge)?;
        gauge.encode_gauge(&i64::try_from(self.client_connections()).unwrap_or(i64::MAX))
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, metrics: &RouteMetrics) {
        let RouteMetrics {
            responses,
            cancelled,
            errors,
            durations,
            duration_sum_micros,
            retries,
            retries_over_budget,
            picks,
            firsts,
            despite,
            ejections,
            broken_responses,
        } = metrics;
        add_all(&mut self.responses, responses);
        add_all(&mut self.errors, errors);
        add_all(&mut self.durations, durations);
        add_all(&mut self.retries, retries);
        add_all(&mut self.firsts, firsts);
        add_all(&mut self.despite, despite);
        self.duration_sum_micros += duration_sum_micros.get();
        self.cancelled += cancelled.get();
        self.retries_over_budget += retries_over_budget.get();
        self.ejections += ejections.get();
        self.broken_responses += broken_responses.get();
        for (ordinal, count) in &*picks.lock().unwrap_or_else(PoisonError::into_inner) {
            *self.picks.entry(*ordinal).or_default() += count.get();
        }
    }
}

fn add_all(sums: &mut [u64], counters: &[Counter]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.get();
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let mut family = counters(
        encoder,
        "ringhold_requests",
        "Requests by class of the status that the client got, or cancelled by it before",
    )?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for (class, count) in CLASSES.into_iter().zip(sum.responses) {
            write_seen(&mut family, &[namespace, name, ("class", class)], count)?;
        }
        write_seen(&mut family, &[namespace, name, ("class", "cancelled")], sum.cancelled)?;
    }
    Ok(())
}

fn durations(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let (name, help) = ("ringhold_request_duration_seconds", "From a request's head to its response's end");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (id, sum) in sums {
        let bounds = BOUNDS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(sum.durations).collect();
        let (total, count) = (sum.duration_sum_micros as f64 / 1e6, sum.durations.iter().sum());
        family.encode_family(&fleet(id))?.encode_histogram::<NoLabelSet>(total, count, &buckets, None)?;
    }
    Ok(())
}

fn picks(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let mut family = counters(encoder, "ringhold_picks", "Tries by the ordinal that was chosen")?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for (ordinal, count) in &sum.picks {
            write(&mut family, &[namespace, name, ("ordinal", &ordinal.to_string())], *count)?;
        }
    }
    Ok(())
}

/// Of the verdicts only those that a pick can have.
fn outcomes(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let help = "Tries by what became of the key's first candidate: Taken, or why it was passed over";
    let mut family = counters(encoder, "ringhold_ring_picks", help)?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for first in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Spare) {
            let labels = [namespace, name, ("first", &format!("{first:?}"))];
            write(&mut family, &labels, sum.firsts[first as usize])?;
        }
    }
    let help = "Tries at a replica that is left out where another can serve, by why";
    let mut family = counters(encoder, "ringhold_ring_doubtful_picks", help)?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for despite in [Verdict::Ramping, Verdict::OverBound, Verdict::Ejected] {
            let labels = [namespace, name, ("despite", &format!("{despite:?}"))];
            write(&mut family, &labels, sum.despite[despite as usize])?;
        }
    }
    Ok(())
}

fn retries(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let mut family = counters(encoder, "ringhold_retries", "Requests sent once more, by why that was safe")?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for (kind, count) in Kind::ALL.into_iter().zip(sum.retries) {
            write(&mut family, &[namespace, name, ("kind", kind)], count)?;
        }
    }
    Ok(())
}

fn counters<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

fn fleet(id: &FleetId) -> [(&'static str, &str); 2] {
    [("namespace", &id.namespace), ("loadbalancer", &id.name)]
}

fn write(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

/// Leaves out what never happened, where most of a set never does.
fn write_seen(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> fmt::Result {
    if count == 0 { Ok(()) } else { write(family, labels, count) }
}
