//! The client's end of the wire: tells the watch what moves, and which protocol the first bytes belong to.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::balance::Load;
use crate::proxy::connection::Client;
use crate::proxy::metrics::{Place, Shard};
use crate::proxy::watch::{Phase, Watch};

/// How long an end may take, and for how many bytes: a client that gets our last answer while it sends may go on until
/// it has seen it, and the sides of a tunnel may take what is left.
pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 1024 * 1024;
/// Pieces up to this length together are written as one.
const SMALL_WRITE: usize = 1024;
/// What a client of HTTP/2 begins with (RFC 9113 §3.4). As HTTP/1 it would be a malformed request.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The first bytes tell.
    Unknown,
    Http1,
    Http2,
}

/// A byte stream on top of a TCP connection.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether it takes more than it passes on before it is flushed.
    const IS_BUFFERED: bool;

    /// The TCP connection below.
    fn tcp(&self) -> &TcpStream;
}

/// A client's stream.
pub(super) struct ClientIo<S: Socket> {
    stream: S,
    begin: Begin,
    protocol: Protocol,
    /// How long an HTTP/2 connection may be without a stream.
    idle: Duration,
    watch: Arc<Watch>,
    _open: Open,
    /// What may still come of a client that has its last answer.
    linger: Option<usize>,
}

/// Counts a socket for as long as it lives, whether a handshake, a connection or a tunnel has it.
pub(super) struct Open {
    shard: Arc<Shard>,
    /// Counts it for its client.
    _place: Option<Place>,
    _load: Load,
}

/// How far the beginning of the stream has been understood.
enum Begin {
    /// So many bytes were those of HTTP/2's preface, and nobody has got them yet.
    Preface(usize),
    /// To be read before the stream's.
    Held(Bytes),
    Past,
}

// === impl Socket ===

impl Socket for TcpStream {
    const IS_BUFFERED: bool = false;

    fn tcp(&self) -> &TcpStream {
        self
    }
}

// === impl Open ===

impl Open {
    pub(super) fn new(shard: &Arc<Shard>, place: Option<Place>, load: Load) -> Self {
        shard.accepted.add(1);
        Self { shard: Arc::clone(shard), _place: place, _load: load }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shard.closed.add(1);
    }
}

// === impl ClientIo ===

impl<S: Socket> ClientIo<S> {
    pub(super) fn new(stream: S, protocol: Protocol, client: &Client, open: Open) -> Self {
        let begin = match protocol {
            Protocol::Unknown | Protocol::Http2 => Begin::Preface(0),
            Protocol::Http1 => Begin::Past,
        };
        let (watch, idle) = (Arc::clone(&client.watch), client.idle.get());
        Self { stream, begin, protocol, idle, watch, _open: open, linger: None }
    }

    /// Reads the stream's beginning, in place: what is not HTTP/2's preface is handed on as it came. Once the preface is
    /// complete the watch is told; if it came unexpected, whoever reads on then gets it, and not who reads now.
    fn poll_begin(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.begin {
                Begin::Past => return Pin::new(&mut self.stream).poll_read(cx, buf),
                Begin::Held(bytes) => {
                    let count = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes[..count]);
                    bytes.advance(count);
                    if bytes.is_empty() {
                        self.begin = Begin::Past;
                    }
                    return Poll::Ready(Ok(()));
                }
                Begin::Preface(known) => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
                    let came = &buf.filled()[before..];
                    let expected = &PREFACE[*known..];
                    let is_preface =
                        !came.is_empty() && came.iter().zip(expected).all(|(came, expected)| came == expected);
                    if !is_preface && *known == 0 {
                        self.begin = Begin::Past;
                        return Poll::Ready(Ok(()));
                    }
                    let is_complete = is_preface && came.len() >= expected.len();
                    if is_preface && !is_complete {
                        *known += came.len();
                    } else {
                        self.begin = Begin::Held([&PREFACE[..*known], came].concat().into());
                    }
                    buf.set_filled(before);
                    if is_preface {
                        self.watch.on_read();
                    }
                    if is_complete {
                        self.watch.enter(Phase::Vacant, self.idle);
                        if self.protocol == Protocol::Unknown {
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }
    fn on_write(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.watch.on_wait(),
            Poll::Ready(written) => {
                self.watch.on_move();
                self.watch.on_bytes(*written.as_ref().unwrap_or(&0));
            }
        }
        polled
    }

    /// Waits for the end of a client that may still be sending. Closing with something unread would reset, and the reset
    /// overtake our last answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut left = match self.linger {
            Some(left) => left,
            // In a head is also who sent one that is none.
            None if self.watch.is_unread() || self.watch.phase() == Phase::Head => {
                self.watch.enter(Phase::Head, LINGER);
                LINGER_BYTES
            }
            None => 0,
        };
        let mut bytes = [0; 4096];
        while left > 0 {
            self.linger = Some(left);
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncRead for ClientIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if matches!(self.begin, Begin::Past) {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        } else {
            ready!(self.poll_begin(cx, buf))?;
        }
        if buf.filled().len() > before {
            self.watch.on_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.on_write(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        let polled = if length <= SMALL_WRITE {
            // One piece is cheaper for the kernel than two, by more than the copy.
            let mut piece = [0; SMALL_WRITE];
            let mut at = 0;
            for slice in slices {
                piece[at..at + slice.len()].copy_from_slice(slice);
                at += slice.len();
            }
            Pin::new(&mut self.stream).poll_write(cx, &piece[..length])
        } else {
            Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
        };
        self.on_write(polled)
    }
}

impl<S: Socket> Drop for ClientIo<S> {
    fn drop(&mut self) {
        if self.watch.is_broken() {
            // Closing with a zero linger time resets, which no client takes for an end.
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}
