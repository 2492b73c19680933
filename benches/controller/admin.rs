//! What the operator says of itself: its routes and its metrics.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection, which is kept: a question costs one exchange on it.
pub(crate) struct Admin {
    sender: SendRequest<Empty<Bytes>>,
    _connection: JoinSet<()>,
}

/// Who serves each ordinal.
#[derive(Deserialize)]
pub(crate) struct Fleet {
    pub(crate) ordinals: Vec<Seat>,
}

#[derive(Deserialize)]
pub(crate) struct Seat {
    pub(crate) ordinal: u16,
    pub(crate) address: Option<SocketAddr>,
}

/// A histogram of seconds: how many were at most so long, by bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram(Vec<(f64, u64)>);

// === impl Admin ===

impl Admin {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // How it ends is seen by whoever asks next.
            drop(connection.await);
        });
        Ok(Self { sender, _connection: task })
    }

    /// The body of a 200.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        let request = http::Request::get(path).header(http::header::HOST, "operator").body(Empty::new())?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    pub(crate) async fn fleet(&mut self, namespace: &str, name: &str) -> anyhow::Result<Fleet> {
        let body = self.get(&format!("/api/v1/loadbalancers/{namespace}/{name}")).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    pub(crate) async fn metrics(&mut self) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.get("/metrics").await?.to_vec())?)
    }
}

/// The value of a metric without labels.
pub(crate) fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

// === impl Histogram ===

impl Histogram {
    pub(crate) fn read(metrics: &str, name: &str) -> anyhow::Result<Self> {
        let mut buckets = Vec::new();
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{le=\"")) else {
                continue;
            };
            let (bound, count) = rest.split_once("\"} ").context("a bucket that is none")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
            buckets.push((bound, count.parse()?));
        }
        anyhow::ensure!(!buckets.is_empty(), "there is no histogram {name}");
        Ok(Self(buckets))
    }

    /// What came since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.0.iter().zip(&earlier.0);
        Self(pairs.map(|((bound, count), (_, before))| (*bound, count - before)).collect())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// The bucket that a share of all, in percent, does not exceed, in seconds: above the first bound, up to the second.
    pub(crate) fn bucket(&self, percent: u64) -> (f64, f64) {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut below = 0.0;
        for (bound, count) in &self.0 {
            if *count >= rank {
                return (below, *bound);
            }
            below = *bound;
        }
        (below, f64::INFINITY)
    }
}
