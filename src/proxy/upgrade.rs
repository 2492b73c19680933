//! After a 101: a tunnel that copies bytes both ways until one side ends, nothing moves for too long, or we stop.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};

use crate::proxy::connection::Client;
use crate::proxy::http1::Upgraded;
use crate::proxy::metrics::RouteMetrics;
use crate::proxy::outcome::{Ended, Outcome};
use crate::proxy::replica_stream::ReplicaStream;
use crate::proxy::sight::Sight;
use crate::proxy::watch::Phase;
use crate::routes::Lease;

/// What passes through a tunnel: counted as it does, and told when the tunnel ends.
pub(super) struct Traffic {
    pub(super) client: Rc<Client>,
    pub(super) metrics: Arc<RouteMetrics>,
    pub(super) sight: Sight,
    pub(super) started: Instant,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
}

/// The client's side of a tunnel.
struct Counted<T> {
    io: T,
    traffic: Rc<Traffic>,
}

/// Starts a tunnel. The replica is leased until it ends.
pub(super) fn start(
    to_client: OnUpgrade,
    mut replica: Upgraded<ReplicaStream>,
    lease: Lease,
    idle: Duration,
    traffic: Traffic,
) {
    let client = Rc::clone(&traffic.client);
    let watch = Arc::clone(&client.watch);
    watch.enter(Phase::Tunnel, idle);
    let tunnel = async move {
        let _lease = lease;
        // Bytes are seen where they pass the client's socket, which the upgraded connection still goes through.
        let Ok(client) = to_client.await else { return };
        let mut client = Counted { io: TokioIo::new(client), traffic: Rc::new(traffic) };
        watch.adopt().await;
        {
            let mut copying = pin!(copy_bidirectional(&mut client, &mut replica));
            poll_fn(|cx| if watch.is_expired() { Poll::Ready(()) } else { copying.as_mut().poll(cx).map(drop) }).await;
        }
        // Both sides learn that it is over before the sockets go. They may be gone already.
        let _ = client.shutdown().await;
        let _ = replica.shutdown().await;
    };
    client.worker.spawn(&client.watch, tunnel);
}

// === impl Traffic ===

impl Drop for Traffic {
    fn drop(&mut self) {
        let (status, outcome) = (StatusCode::SWITCHING_PROTOCOLS.as_u16(), Outcome::Whole);
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        let ended = Ended { status, outcome, bytes_in, bytes_out, took: self.started.elapsed() };
        self.sight.end(&self.client, &ended);
    }
}

// === impl Counted ===

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        self.traffic.bytes_in.set(self.traffic.bytes_in.get() + read);
        self.traffic.metrics.bytes_in.add(read);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
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
