//! A replica's socket that gives out a bounded number of bytes until an answer's head is complete. hyper bounds a head,
//! but takes any number of interim ones (1xx) before it, in one go for as long as they come.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// All heads of one answer together, and what has come of its body in one read with the last.
const HEADS: u64 = 1024 * 1024;

/// How many bytes may still come. Shared by the socket and whoever sends requests on it; atomic only because hyper wants
/// sockets that could be sent to another thread.
#[derive(Debug)]
pub(super) struct Allowance(AtomicU64);

/// The socket.
pub(super) struct ReplicaIo {
    stream: TcpStream,
    allowance: Arc<Allowance>,
}

// === impl Allowance ===

impl Allowance {
    const UNLIMITED: u64 = u64::MAX;

    /// An answer's heads are awaited.
    pub(super) fn limit(&self) {
        self.0.store(HEADS, Relaxed);
    }

    /// The head is there; its body is bounded by what its client takes.
    pub(super) fn lift(&self) {
        self.0.store(Self::UNLIMITED, Relaxed);
    }

    /// Whether too much came.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Relaxed);
        if left != Self::UNLIMITED {
            self.0.store(left.saturating_sub(bytes as u64), Relaxed);
            if self.is_spent() {
                return Err(io::Error::other("too much before an answer"));
            }
        }
        Ok(())
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self(AtomicU64::new(Self::UNLIMITED))
    }
}

// === impl ReplicaIo ===

impl ReplicaIo {
    pub(super) fn new(stream: TcpStream, allowance: &Arc<Allowance>) -> Self {
        Self { stream, allowance: Arc::clone(allowance) }
    }
}

impl AsyncRead for ReplicaIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.allowance.spend(buf.filled().len() - before))
    }
}

impl AsyncWrite for ReplicaIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}
