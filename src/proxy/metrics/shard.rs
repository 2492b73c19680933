//! One worker's counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::model::{FleetId, Ordinal};
use crate::proxy::errors::Reason;
use crate::routes::Verdict;

/// A counter with one writer, so that counting needs no locked instruction.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Counter(AtomicU64);

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum Source {
    Header,
    Cookie,
    /// A cookie that this request did not have yet.
    NewCookie,
    Query,
    Path,
    PeerIp,
    Random,
    /// No source yielded one.
    None,
}

/// Why a request was sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum Kind {
    /// Nothing had been sent.
    Unsent,
    /// The replica had it and broke off; it was safe to repeat.
    Repeated,
}

/// What became of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum Handshake {
    Full,
    /// By a ticket, without a certificate.
    Resumed,
    /// It was no handshake at all.
    PlainHttp,
    /// No LoadBalancer has the name that was asked for.
    UnknownName,
    /// The LoadBalancer has none that could be used.
    NoCertificate,
    /// No version, cipher or protocol in common.
    Incompatible,
    /// The client did not like the certificate, or something else.
    Refused,
    /// What came was no TLS.
    Malformed,
    /// The client left.
    Closed,
    Timeout,
}

/// Upper bounds of the duration buckets, in microseconds; one more bucket takes the rest.
pub(super) const BOUNDS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// One worker's counters of one LoadBalancer.
#[derive(Debug, Default)]
pub(in crate::proxy) struct RouteMetrics {
    /// By class of status, 1xx to 5xx.
    pub(super) responses: [Counter; 5],
    /// Requests whose client left before a response began.
    pub(super) cancelled: Counter,
    pub(super) errors: [Counter; Reason::ALL.len()],
    pub(super) durations: [Counter; BOUNDS.len() + 1],
    pub(super) duration_sum_micros: Counter,
    pub(super) retries: [Counter; Kind::ALL.len()],
    /// Requests that would have been safe to repeat, but for the budget.
    pub(in crate::proxy) retries_over_budget: Counter,
    pub(super) picks: Mutex<BTreeMap<Ordinal, Arc<Counter>>>,
    /// Picks by what became of the key's first candidate.
    pub(super) firsts: [Counter; Verdict::ALL.len()],
    /// Picks of a replica that is left out where there is a better one, by why.
    pub(super) despite: [Counter; Verdict::ALL.len()],
    /// Replicas that this worker ejected.
    pub(in crate::proxy) ejections: Counter,
    /// Replicas that broke off in the middle of a response.
    pub(in crate::proxy) broken_responses: Counter,
}

/// One worker's counters.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Shard {
    pub(in crate::proxy) accepted: Counter,
    pub(in crate::proxy) closed: Counter,
    pub(in crate::proxy) upstream_new: Counter,
    pub(in crate::proxy) upstream_reused: Counter,
    pub(super) sources: [Counter; Source::ALL.len()],
    pub(super) handshakes: [Counter; Handshake::ALL.len()],
    /// Answers to requests that no LoadBalancer had.
    pub(super) unrouted: [Counter; Reason::ALL.len()],
    pub(super) routes: Mutex<HashMap<FleetId, Arc<RouteMetrics>>>,
}

// === impl Counter ===

impl Counter {
    pub(in crate::proxy) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(in crate::proxy) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Source, Kind, Handshake ===

impl Source {
    pub(super) const ALL: [&str; 8] =
        ["header", "cookie", "new_cookie", "query", "path", "source_ip", "random", "none"];
}

impl Kind {
    pub(super) const ALL: [&str; 2] = ["unsent", "repeated"];
}

impl Handshake {
    pub(super) const ALL: [&str; 10] = [
        "full",
        "resumed",
        "plain_http",
        "unknown_name",
        "no_certificate",
        "incompatible",
        "refused",
        "malformed",
        "closed",
        "timeout",
    ];
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// A request is over: with this status, or because its client left.
    pub(in crate::proxy) fn on_end(&self, status: Option<StatusCode>, took: Duration) {
        let Some(status) = status else { return self.cancelled.add(1) };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.responses[class].add(1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.durations[bucket].add(1);
        self.duration_sum_micros.add(micros);
    }

    pub(in crate::proxy) fn on_error(&self, reason: Reason) {
        self.errors[reason as usize].add(1);
    }

    pub(in crate::proxy) fn on_retry(&self, kind: Kind) {
        self.retries[kind as usize].add(1);
    }

    pub(in crate::proxy) fn on_pick(&self, first: Verdict, despite: Option<Verdict>) {
        self.firsts[first as usize].add(1);
        if let Some(despite) = despite {
            self.despite[despite as usize].add(1);
        }
    }

    /// The counter of picks of an ordinal; looked up once for each replica.
    pub(in crate::proxy) fn picks(&self, ordinal: Ordinal) -> Arc<Counter> {
        let mut picks = self.picks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(picks.entry(ordinal).or_default())
    }
}

// === impl Shard ===

impl Shard {
    pub(in crate::proxy) fn on_source(&self, source: Source) {
        self.sources[source as usize].add(1);
    }

    pub(in crate::proxy) fn on_handshake(&self, outcome: Handshake) {
        self.handshakes[outcome as usize].add(1);
    }

    pub(in crate::proxy) fn on_unrouted(&self, reason: Reason) {
        self.unrouted[reason as usize].add(1);
    }

    /// The counters of a LoadBalancer; looked up once for each published route.
    pub(in crate::proxy) fn route(&self, id: &FleetId) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(id.clone()).or_default())
    }

    /// Forgets LoadBalancers that are gone, so that labels do not pile up.
    pub(in crate::proxy) fn retain(&self, keep: impl Fn(&FleetId) -> bool) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(id));
    }
}
