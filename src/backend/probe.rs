//! Asks a replica whether it is ready, as a kubelet would: one GET on a new connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::model::Health;

/// Between two probes of a replica that has not been ready yet: a start should not wait for a whole period.
pub(super) const WHILE_STARTING: Duration = Duration::from_millis(100);

/// Turns single answers into a state: ready at the first success, unready after `failure_threshold` failures in a row.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    ready: bool,
    failures: u32,
}

/// True for an answer of 200 to 399 within the time given (the rule of Kubernetes' httpGet probes), or for a connection
/// where no path is asked for.
pub(super) async fn is_healthy(address: SocketAddr, health: &Health) -> bool {
    let asking = async {
        match &health.path {
            Some(path) => answers(address, path).await,
            None => TcpStream::connect(address).await.is_ok(),
        }
    };
    tokio::time::timeout(health.timeout, asking).await.unwrap_or(false)
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else { return false };
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return false;
    };
    let request = http::Request::get(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::USER_AGENT, concat!("ringhold-probe/", env!("CARGO_PKG_VERSION")))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return false };
    let exchange = async move {
        let response = sender.send_request(request).await;
        response.is_ok_and(|response| response.status().is_success() || response.status().is_redirection())
    };
    // The connection ends with the exchange: its only sender goes with it.
    let (healthy, _) = tokio::join!(exchange, connection);
    healthy
}

// === impl Verdict ===

impl Verdict {
    /// Counts one answer; returns the new state where it has changed.
    pub(super) fn count(&mut self, healthy: bool, failure_threshold: u32) -> Option<bool> {
        self.failures = if healthy { 0 } else { self.failures.saturating_add(1) };
        let ready = healthy || (self.ready && self.failures < failure_threshold);
        (std::mem::replace(&mut self.ready, ready) != ready).then_some(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_comes_with_one_success_and_goes_after_the_threshold() {
        let mut verdict = Verdict::default();
        let answers = [false, true, false, false, true, false, false, false, false, true];
        let changes: Vec<_> = answers.into_iter().map(|healthy| verdict.count(healthy, 3)).collect();
        assert_eq!(changes, [None, Some(true), None, None, None, None, None, Some(false), None, Some(true)]);
    }
}
