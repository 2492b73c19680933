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

use crate::proxy::connection::Client;
use crate::proxy::metrics::Shard;
use crate::proxy::watch::{Phase, Watch};

/// What a client of HTTP/2 begins with (RFC 9113 §3.4). As HTTP/1 it would be a malformed request.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The first bytes tell.
    Unknown,
    #[expect(dead_code, reason = "for streams on which it was negotiated")]
    Http1,
    #[expect(dead_code, reason = "for streams on which it was negotiated")]
    Http2,
}

/// A byte stream on top of a TCP connection.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
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
    /// Counts the socket for as long as it lives, whether a connection or a tunnel has it.
    shard: Arc<Shard>,
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
    fn tcp(&self) -> &TcpStream {
        self
    }
}

// === impl ClientIo ===

impl<S: Socket> ClientIo<S> {
    pub(super) fn new(stream: S, protocol: Protocol, client: &Client) -> Self {
        let begin = match protocol {
            Protocol::Unknown | Protocol::Http2 => Begin::Preface(0),
            Protocol::Http1 => Begin::Past,
        };
        let (watch, shard) = (Arc::clone(&client.watch), Arc::clone(&client.worker.shard));
        Self { stream, begin, protocol, idle: client.idle.get(), watch, shard }
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
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.watch.on_move();
        Poll::Ready(written)
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
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        self.watch.on_move();
        Poll::Ready(written)
    }
}

impl<S: Socket> Drop for ClientIo<S> {
    fn drop(&mut self) {
        self.shard.closed.add(1);
        if self.watch.is_broken() {
            // Closing with a zero linger time resets, which no client takes for an end.
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}
