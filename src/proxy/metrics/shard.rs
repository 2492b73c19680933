//! One worker's counters.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::model::{FleetId, Ordinal};
use crate::proxy::metrics::ends::{Durations, Ends};
use crate::proxy::outcome::Ended;
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

/// One worker's counters of one LoadBalancer.
#[derive(Debug, Default)]
pub(in crate::proxy) struct RouteMetrics {
    pub(super) ends: Ends,
    /// Of bodies, as clients sent and got them.
    pub(in crate::proxy) bytes_in: Counter,
    pub(in crate::proxy) bytes_out: Counter,
    /// From the beginning of a request's last try to the head of its response, where somebody looks.
    pub(in crate::proxy) upstream_latency: OnceLock<Box<Durations>>,
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
    /// Connections beyond what one client may have.
    pub(in crate::proxy) refused: Counter,
    /// Connections by client, where those have a limit.
    clients: Mutex<HashMap<IpAddr, usize>>,
    pub(in crate::proxy) upstream_new: Counter,
    pub(in crate::proxy) upstream_reused: Counter,
    /// Lines of the access log that found no room.
    pub(in crate::proxy) log_dropped: Counter,
    pub(super) sources: [Counter; Source::ALL.len()],
    /// Requests that no LoadBalancer had.
    pub(in crate::proxy) unrouted: Ends,
    pub(super) handshakes: [Counter; Handshake::ALL.len()],
    pub(super) routes: Mutex<HashMap<FleetId, Arc<RouteMetrics>>>,
}

/// A connection among those of its client.
#[derive(Debug)]
pub(in crate::proxy) struct Place {
    shard: Arc<Shard>,
    client: IpAddr,
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

    /// As a label.
    pub(in crate::proxy) const fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }
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
    /// A request is over.
    pub(in crate::proxy) fn on_end(&self, ended: &Ended) {
        self.ends.add(ended);
        self.bytes_in.add(ended.bytes_in);
        self.bytes_out.add(ended.bytes_out);
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

// === impl Place ===

impl Place {
    /// One more connection of this client, unless it has as many as it may have.
    pub(in crate::proxy) fn take(shard: &Arc<Shard>, peer: IpAddr, limit: usize) -> Option<Self> {
        let client = client(peer);
        let mut clients = shard.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Self { shard: Arc::clone(shard), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.shard.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Whose address it is: of an IPv6 network of 64 bits one client has them all.
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places_and_gives_them_back() {
        let shard = Arc::default();
        let take = |peer: &str| Place::take(&shard, peer.parse().unwrap(), 2);
        let places = [take("10.0.0.1"), take("::ffff:10.0.0.1"), take("2001:db8::1"), take("2001:db8::f:0:0:1")];
        assert!(places.iter().all(Option::is_some));
        assert!(take("10.0.0.1").is_none() && take("2001:db8:0:0:7::").is_none());
        assert!(take("10.0.0.2").is_some() && take("2001:db8:0:1::1").is_some());
        drop(places);
        assert!(take("10.0.0.1").is_some());
        assert!(shard.clients.lock().unwrap().is_empty(), "nobody is remembered");
    }
}
