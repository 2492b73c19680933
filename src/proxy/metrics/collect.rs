//! Sums the shards at scrape and writes them with closed label sets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::model::{FleetId, Ordinal};
use crate::proxy::access_log::{Writer, WriterStats};
use crate::proxy::balance::Loads;
use crate::proxy::metrics::Counter;
use crate::proxy::metrics::ends::{DurationSums, EndSums};
use crate::proxy::metrics::shard::{Handshake, Kind, RouteMetrics, Shard, Source};
use crate::routes::Verdict;

/// All workers' counters, for a registry.
#[derive(Debug, Clone)]
pub struct ProxyMetrics {
    shards: Arc<[Arc<Shard>]>,
    loads: Loads,
    log: Option<Arc<WriterStats>>,
}

/// One LoadBalancer's counters over all workers.
#[derive(Default)]
struct Sum {
    ends: EndSums,
    bytes_in: u64,
    bytes_out: u64,
    upstream_latency: DurationSums,
    retries: [u64; Kind::ALL.len()],
    retries_over_budget: u64,
    picks: BTreeMap<Ordinal, u64>,
    firsts: [u64; Verdict::ALL.len()],
    despite: [u64; Verdict::ALL.len()],
    ejections: u64,
    broken_responses: u64,
}

/// The labels of what no LoadBalancer had.
const NOBODYS: [(&str, &str); 2] = [("namespace", ""), ("loadbalancer", "")];

type Sums = BTreeMap<FleetId, Sum>;

// === impl ProxyMetrics ===

impl ProxyMetrics {
    pub(in crate::proxy) fn new(shards: Arc<[Arc<Shard>]>, loads: Loads, log: Option<&Arc<Writer>>) -> Self {
        Self { shards, loads, log: log.map(|log| log.stats()) }
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
        let mut unrouted = EndSums::default();
        self.shards.iter().for_each(|shard| unrouted.add(&shard.unrouted));
        let of_fleets = sums.iter().map(|(id, sum)| (fleet(id), &sum.ends));
        EndSums::encode(&mut encoder, of_fleets.chain([(NOBODYS, &unrouted)]))?;
        bodies(&mut encoder, &sums)?;
        upstream_latency(&mut encoder, &sums)?;
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
    fn globals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = counters(encoder, "ringhold_key_source", "Requests by source of their key")?;
        for (index, source) in Source::ALL.into_iter().enumerate() {
            let count = self.shards.iter().map(|shard| shard.sources[index].get()).sum();
            write(&mut family, &[("source", source)], count)?;
        }
        let mut family = counters(
            encoder,
            "ringhold_upstream_connections",
            "Connections to replicas taken for a request, by kind: new, or reused from the pool",
        )?;
        write(&mut family, &[("kind", "new")], self.total(|shard| &shard.upstream_new))?;
        write(&mut family, &[("kind", "reused")], self.total(|shard| &shard.upstream_reused))?;
        let mut family =
            counters(encoder, "ringhold_refused_connections", "Connections beyond what one client may have")?;
        family.encode_counter::<NoLabelSet, u64, u64>(&self.total(|shard| &shard.refused), None)?;
        if let Some(log) = &self.log {
            let help = "Lines that are missing in the access log, by reason";
            let mut family = counters(encoder, "ringhold_access_log_dropped", help)?;
            write(&mut family, &[("reason", "QueueFull")], self.total(|shard| &shard.log_dropped))?;
            write(&mut family, &[("reason", "WriteFailed")], log.failed())?;
        }
        let mut family = counters(encoder, "ringhold_tls_handshakes", "TLS handshakes of clients, by result")?;
        for (index, result) in Handshake::ALL.into_iter().enumerate() {
            let count = self.shards.iter().map(|shard| shard.handshakes[index].get()).sum();
            write(&mut family, &[("result", result)], count)?;
        }
        let help = "Connections that clients have open";
        let mut gauge = encoder.encode_descriptor("ringhold_client_connections", help, None, MetricType::Gauge)?;
        gauge.encode_gauge(&i64::try_from(self.client_connections()).unwrap_or(i64::MAX))?;
        let help = "Connections that clients have open, by the worker that serves them";
        let mut gauge = encoder.encode_descriptor("ringhold_worker_connections", help, None, MetricType::Gauge)?;
        for worker in 0..self.shards.len() {
            let load = i64::try_from(self.loads.of(worker)).unwrap_or(i64::MAX);
            gauge.encode_family(&[("worker", worker.to_string())])?.encode_gauge(&load)?;
        }
        Ok(())
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, metrics: &RouteMetrics) {
        let RouteMetrics {
            ends,
            bytes_in,
            bytes_out,
            upstream_latency,
            retries,
            retries_over_budget,
            picks,
            firsts,
            despite,
            ejections,
            broken_responses,
        } = metrics;
        self.ends.add(ends);
        self.bytes_in += bytes_in.get();
        self.bytes_out += bytes_out.get();
        if let Some(latency) = upstream_latency.get() {
            self.upstream_latency.add(latency);
        }
        add_all(&mut self.retries, retries);
        add_all(&mut self.firsts, firsts);
        add_all(&mut self.despite, despite);
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

fn bodies(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let help = "Bytes that clients have sent in bodies and through tunnels";
    let mut family = counters(encoder, "ringhold_received_bytes", help)?;
    for (id, sum) in sums {
        write(&mut family, &fleet(id), sum.bytes_in)?;
    }
    let help = "Bytes that clients were sent in bodies and through tunnels";
    let mut family = counters(encoder, "ringhold_sent_bytes", help)?;
    for (id, sum) in sums {
        write(&mut family, &fleet(id), sum.bytes_out)?;
    }
    Ok(())
}

fn upstream_latency(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let help = "From the beginning of a request's last try to the head of its response; of requests that the access log \
                or a trace looks at";
    let name = "ringhold_upstream_latency_seconds";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (id, sum) in sums.iter().filter(|(_, sum)| sum.upstream_latency.count() > 0) {
        sum.upstream_latency.encode(family.encode_family(&fleet(id))?)?;
    }
    Ok(())
}

fn picks(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let mut family = counters(encoder, "ringhold_picks", "Tries by ordinal, the first and those after it")?;
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
            let labels = [namespace, name, ("first", first.as_str())];
            write(&mut family, &labels, sum.firsts[first as usize])?;
        }
    }
    let help = "Tries at a replica that is left out where another can serve, by why";
    let mut family = counters(encoder, "ringhold_ring_doubtful_picks", help)?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for despite in [Verdict::Ramping, Verdict::OverBound, Verdict::Ejected] {
            let labels = [namespace, name, ("despite", despite.as_str())];
            write(&mut family, &labels, sum.despite[despite as usize])?;
        }
    }
    Ok(())
}

fn retries(encoder: &mut DescriptorEncoder<'_>, sums: &Sums) -> fmt::Result {
    let mut family = counters(
        encoder,
        "ringhold_retries",
        "Requests sent once more, by kind: unsent, or repeated after a replica had it",
    )?;
    for (id, sum) in sums {
        let [namespace, name] = fleet(id);
        for (kind, count) in Kind::ALL.into_iter().zip(sum.retries) {
            write(&mut family, &[namespace, name, ("kind", kind)], count)?;
        }
    }
    Ok(())
}

pub(super) fn counters<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

fn fleet(id: &FleetId) -> [(&'static str, &str); 2] {
    [("namespace", &id.namespace), ("loadbalancer", &id.name)]
}

pub(super) fn write(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}
