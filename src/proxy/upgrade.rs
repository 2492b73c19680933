//! After a 101: a tunnel that copies bytes both ways until one side ends, nothing moves for too long, or we stop.
//!
//! On HTTP/2 a client asks for a WebSocket with an extended CONNECT (RFC 8441) and tunnels through its stream; to the
//! replica it looks as on HTTP/1.1.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::timeout;

use crate::proxy::connection::Lane;
use crate::proxy::http1::Upgraded;
use crate::proxy::message::Request;
use crate::proxy::metrics::RouteMetrics;
use crate::proxy::outcome::{Ended, Outcome};
use crate::proxy::replica_stream::ReplicaStream;
use crate::proxy::sight::Sight;
use crate::proxy::socket::LINGER;
use crate::proxy::watch::Phase;
use crate::routes::Lease;

/// What passes through a tunnel: counted as it does, and told when the tunnel ends.
pub(super) struct Traffic {
    pub(super) lane: Rc<Lane>,
    pub(super) metrics: Arc<RouteMetrics>,
    pub(super) sight: Sight,
    /// That the client got: of HTTP/1, or of HTTP/2.
    pub(super) status: StatusCode,
    pub(super) started: Instant,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
}

/// What begins once the client has got its answer.
pub(super) struct Tunnel {
    to_replica: Upgraded<ReplicaStream>,
    lease: Lease,
    traffic: Traffic,
}

/// Where the client's side of a tunnel will be.
pub(super) enum Place {
    /// Where its connection has been.
    Connection,
    Stream(OnUpgrade),
}

/// The client's side of a tunnel. It tells the watch what moves, which on HTTP/1 its socket does already.
struct Counted<T> {
    io: T,
    traffic: Traffic,
}

/// Whether a request asks for a WebSocket on a stream of HTTP/2, as no other CONNECT may.
pub(super) fn is_websocket<B>(request: &Request<B>) -> bool {
    request.connect().is_some_and(|connect| connect.protocol.as_str() == "websocket")
}

/// Turns such a request into what asks for the same on HTTP/1.1 (RFC 8441 §5.1, RFC 6455 §4.1).
pub(super) fn ask_by_upgrade<B>(request: &mut Request<B>) -> HeaderValue {
    let websocket = HeaderValue::from_static("websocket");
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, websocket.clone());
    headers.insert(SEC_WEBSOCKET_KEY, nonce());
    websocket
}

/// Sixteen random bytes in base64: of the last digit before the padding only two bits count.
fn nonce() -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut nonce = [b'='; 24];
    nonce[..22].fill_with(|| DIGITS[fastrand::usize(..DIGITS.len())]);
    nonce[21] = DIGITS[16 * fastrand::usize(..4)];
    HeaderValue::from_bytes(&nonce).expect("digits are visible ASCII")
}

// === impl Place ===

impl Place {
    /// Where the client of this request will have it.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        request.take_connect().map_or(Self::Connection, |connect| Self::Stream(connect.tunnel))
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// A tunnel that is about to begin. The replica is leased until it ends.
    pub(super) fn new(to_replica: Upgraded<ReplicaStream>, lease: Lease, idle: Duration, traffic: Traffic) -> Self {
        traffic.lane.watch.enter(Phase::Tunnel, idle);
        Self { to_replica, lease, traffic }
    }

    /// Runs it in a task of its own, on a stream of HTTP/2. Its connection is on the worker's list for as long as it has
    /// streams.
    pub(super) fn run_on_stream(self, client: OnUpgrade) {
        tokio::task::spawn_local(async move {
            if let Ok(client) = client.await {
                self.traffic.lane.watch.adopt().await;
                self.run(TokioIo::new(client)).await;
            }
        });
    }

    /// Copies until it ends, woken by the task that the lane's watch knows.
    pub(super) async fn run<T: AsyncRead + AsyncWrite + Unpin>(self, client: T) {
        let Self { to_replica: mut replica, lease, traffic } = self;
        let lane = Rc::clone(&traffic.lane);
        let mut client = Counted { io: client, traffic };
        {
            let mut copying = pin!(copy_bidirectional(&mut client, &mut replica));
            let is_over = || lane.watch.is_expired();
            poll_fn(|cx| if is_over() { Poll::Ready(()) } else { copying.as_mut().poll(cx).map(drop) }).await;
        }
        drop(lease);
        // Both sides learn that it is over before the sockets go. They may be gone already, or take nothing, not even that.
        let _ = timeout(LINGER, async { tokio::join!(client.shutdown(), replica.shutdown()) }).await;
    }
}

// === impl Traffic ===

impl Drop for Traffic {
    fn drop(&mut self) {
        let (status, outcome) = (self.status.as_u16(), Outcome::Whole);
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        let ended = Ended { status, outcome, bytes_in, bytes_out, took: self.started.elapsed() };
        self.sight.end(&self.lane.client, &ended);
    }
}

// === impl Counted ===

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        self.traffic.lane.watch.on_move();
        self.traffic.bytes_in.set(self.traffic.bytes_in.get() + read);
        self.traffic.metrics.bytes_in.add(read);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.traffic.lane.watch.on_move();
        self.traffic.bytes_out.set(self.traffic.bytes_out.get() + written as u64);
        self.traffic.metrics.bytes_out.add(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_sixteen_bytes_in_base64() {
        for _ in 0..100 {
            let nonce = nonce();
            let (digits, padding) = nonce.as_bytes().split_at(22);
            assert_eq!(padding, b"==");
            assert!(digits.iter().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/')));
            assert!(matches!(digits[21], b'A' | b'Q' | b'g' | b'w'), "{nonce:?}");
        }
        assert_ne!(nonce(), nonce());
    }
}
