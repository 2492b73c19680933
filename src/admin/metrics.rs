//! `/metrics`, and the numbers that are read from the route table at each scrape instead of being kept.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;

use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::routes::{FleetEntry, Reader, Route};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All states that a replica can be in: a closed set, so that a series that falls to 0 says so.
const STATES: [&str; 6] = ["Starting", "Ready", "Unready", "Draining", "Terminating", "Dead"];

pub(super) async fn metrics(State(state): State<AdminState>) -> Result<impl IntoResponse, ApiError> {
    let mut page = String::new();
    text::encode(&mut page, &state.registry).map_err(ApiError::Metrics)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], page))
}

/// The rings, seats and replicas of every LoadBalancer. Register it in a registry without a prefix.
///
/// Labels are namespace, loadbalancer, ordinal, state, algorithm and fingerprint: never a replica's name or UID, which
/// would leave a dead series behind with every replacement.
#[derive(Debug)]
pub struct RouteMetrics {
    reader: Reader,
}

/// Writes one metric after the other over the same fleets.
struct Scrape<'scrape> {
    encoder: DescriptorEncoder<'scrape>,
    fleets: Vec<Arc<FleetEntry>>,
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Reads from this table.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }
}

impl Collector for RouteMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let fleets = self.reader.clone().table().fleets().cloned().collect();
        let mut scrape = Scrape { encoder, fleets };
        scrape.rings()?;
        scrape.by_route("ringhold_ring_members", "Members of the published ring", |route| {
            vec![([], route.ring.members().len() as u64)]
        })?;
        scrape.by_route(
            "ringhold_ring_share",
            "Share of the key space, 0 to 1, that each member owns, by ordinal",
            |route| {
                let shares = route.seats().iter().zip(&*route.shares);
                shares.map(|(seat, share)| ([("ordinal", seat.ordinal.to_string())], *share)).collect()
            },
        )?;
        scrape.by_fleet(
            "ringhold_ring_moved_share",
            "Share of the key space, 0 to 1, that the ring's last change moved to another ordinal; keyHash is not of the ring",
            |fleet| fleet.route.iter().map(|_| ([], fleet.moved.last)).collect(),
        )?;
        scrape.moves()?;
        scrape.by_route("ringhold_requests_in_flight", "Requests that replicas have now, by ordinal", |route| {
            let in_flight = |seat: &crate::routes::Seat| seat.upstream.as_ref().map_or(0, |up| up.in_flight() as u64);
            route.seats().iter().map(|seat| ([("ordinal", seat.ordinal.to_string())], in_flight(seat))).collect()
        })?;
        scrape.by_route(
            "ringhold_replicas_ejected",
            "Replicas that the proxy skips now because they failed",
            |route| {
                let ejected = |seat: &&crate::routes::Seat| seat.upstream.as_ref().is_some_and(|up| up.is_ejected());
                vec![([], route.seats().iter().filter(ejected).count() as u64)]
            },
        )?;
        scrape.by_route(
            "ringhold_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that serves ends, in seconds since 1970",
            |route| {
                let end = route.tls.iter().map(|tls| tls.certificate().not_after().as_second());
                end.map(|end| ([], end)).collect()
            },
        )?;
        scrape.by_fleet("ringhold_replicas", "Replicas by state", |fleet| {
            let count = |state| fleet.status.members.iter().filter(|replica| replica.state == state).count() as u64;
            STATES.map(|state| ([("state", state.to_owned())], count(state))).into()
        })
    }
}

// === impl Scrape ===

impl Scrape<'_> {
    /// The text format appends `_info` to the name.
    fn rings(&mut self) -> fmt::Result {
        let help = "Algorithm and fingerprint of the published ring; equal on all processes that agree";
        let mut metric = self.encoder.encode_descriptor("ringhold_ring", help, None, MetricType::Info)?;
        for fleet in &self.fleets {
            if let Some(route) = &fleet.route {
                let ring = [
                    ("algorithm", route.ring.spec().algorithm().to_owned()),
                    ("fingerprint", route.ring.fingerprint().to_string()),
                ];
                metric.encode_family(&labels(fleet))?.encode_info(&ring)?;
            }
        }
        Ok(())
    }

    fn moves(&mut self) -> fmt::Result {
        let help = "Shares of the key space that all changes of the ring have moved, summed up; 1 is all keys once";
        let mut metric =
            self.encoder.encode_descriptor("ringhold_ring_moved_shares", help, None, MetricType::Counter)?;
        for fleet in self.fleets.iter().filter(|fleet| fleet.route.is_some()) {
            let total = fleet.moved.total;
            metric.encode_family(&labels(fleet))?.encode_counter::<NoLabelSet, f64, f64>(&total, None)?;
        }
        Ok(())
    }

    fn by_route<V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Fn(&Route) -> Vec<([(&'static str, String); N], V)>,
    ) -> fmt::Result {
        self.by_fleet(name, help, |fleet| fleet.route.as_deref().map(&values).unwrap_or_default())
    }

    fn by_fleet<V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Fn(&FleetEntry) -> Vec<([(&'static str, String); N], V)>,
    ) -> fmt::Result {
        let samples = self.fleets.iter().map(|fleet| (labels(fleet), values(fleet)));
        let samples: Vec<_> = samples.filter(|(_, values)| !values.is_empty()).collect();
        if samples.is_empty() {
            return Ok(()); // strict readers want no family without a sample
        }
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, values) in samples {
            for (more, value) in values {
                metric.encode_family(&[&labels[..], &more[..]].concat())?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

fn labels(fleet: &FleetEntry) -> [(&'static str, String); 2] {
    [("namespace", fleet.id.namespace.to_string()), ("loadbalancer", fleet.id.name.to_string())]
}
