//! What replicas have counted, asked of them directly: it shows that answers came from them, over connections that are kept.

use anyhow::{Context, ensure};

use crate::ask::Client;
use crate::replica::COUNTS;
use crate::running::REPLICAS;

/// The sums of some replicas: questions of the load, and the connections on which there was one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    connections: u64,
    requests: u64,
}

/// This part of all requests may open a connection to a replica, beside those that are kept open; more would mean that
/// none are.
const MOST_OPENED: f64 = 0.005;

// === impl Counts ===

impl Counts {
    pub(crate) fn of(replicas: &[u16]) -> anyhow::Result<Self> {
        replicas.iter().try_fold(Self::default(), |sum, port| {
            let said = Client::connect(*port)?.ask(COUNTS, "counts")?.body;
            let (connections, requests) = said.split_once(' ').context("no counts")?;
            Ok(Self {
                connections: sum.connections + connections.parse::<u64>()?,
                requests: sum.requests + requests.parse::<u64>()?,
            })
        })
    }

    /// An error unless replicas have seen each request that was answered since then, once, on connections that are kept. The
    /// load may have left one request on each of its connections, and each may have made the proxy open one to each replica.
    pub(crate) fn prove(self, before: Self, answered: f64, connections: u16) -> anyhow::Result<()> {
        let beyond = (self.requests - before.requests) as f64 - answered;
        ensure!(beyond >= 0.0, "{} answers of {answered} came from no replica", -beyond);
        ensure!(
            beyond <= connections.into(),
            "replicas saw {beyond} requests beside the {answered} that were answered"
        );
        let opened = (self.connections - before.connections) as f64;
        let kept = f64::from(connections) * REPLICAS as f64;
        ensure!(
            opened <= kept + answered * MOST_OPENED,
            "{opened} connections to replicas were opened for {answered} requests"
        );
        Ok(())
    }
}
