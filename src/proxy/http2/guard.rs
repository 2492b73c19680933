//! Tells a client that floods from one that works, and ends its connection.
//!
//! h2 bounds what frames may fill: heads, bodies, streams, resets that it meets before it has told us of the stream. What
//! it does not bound is how many frames may come that carry nothing: PING, SETTINGS, WINDOW_UPDATE … each costs time and an
//! answer, and a RST_STREAM takes a request along that a replica has already (CVE-2023-44487, paced). So frames are counted
//! here as they pass, by their heads alone, against a credit that time and answers earn ([`Streams`]).
//!
//! [`Streams`]: super::streams::Streams

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::connection::Client;
use crate::proxy::socket::{ClientIo, PREFACE, Socket};

/// What a frame that carries nothing costs.
const COST: u32 = 1;
/// What a RST_STREAM costs: a replica's connection goes with it.
pub(super) const RESET: u32 = 10;
/// ENHANCE_YOUR_CALM (RFC 9113 §7).
const CALM: u32 = 11;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// A client's stream, whose frames are counted.
pub(super) struct Guarded<S: Socket> {
    io: ClientIo<S>,
    client: Rc<Client>,
    frames: Frames,
    /// Nothing that was to be written is left, so no frame has been begun.
    is_between: bool,
}

/// Finds where frames begin, in pieces of any size.
struct Frames {
    /// Bytes that are no frame's head.
    skip: usize,
    head: [u8; 9],
    /// So many bytes of the head are there.
    known: usize,
    last_stream: u32,
}

// === impl Guarded ===

impl<S: Socket> Guarded<S> {
    pub(super) fn new(io: ClientIo<S>, client: &Rc<Client>) -> Self {
        Self { io, client: Rc::clone(client), frames: Frames::new(), is_between: true }
    }

    /// Says why, as far as the client takes it.
    fn say_calm(&mut self, cx: &mut Context<'_>) {
        let last = self.frames.last_stream.to_be_bytes();
        let frame = [&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0][..], &last, &CALM.to_be_bytes()].concat();
        if self.is_between && Pin::new(&mut self.io).poll_write(cx, &frame).is_ready() {
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
    }

    fn on_written(&mut self, written: &Poll<io::Result<usize>>, length: usize) {
        self.is_between = matches!(written, Poll::Ready(Ok(count)) if *count == length);
    }
}

impl<S: Socket> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let Self { frames, client, .. } = &mut *self;
        let mut is_flood = false;
        frames.read(&buf.filled()[before..], |kind, length| {
            let cost = match kind {
                DATA if length > 0 => 0,
                HEADERS => 0,
                RST_STREAM => RESET,
                _ => COST,
            };
            is_flood |= !client.streams.spend(cost);
        });
        if is_flood {
            tracing::debug!(peer = ?self.client.origin.peer(), "a client floods its connection");
            self.say_calm(cx);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.on_written(&written, bytes.len());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.on_written(&written, slices.iter().map(|slice| slice.len()).sum());
        written
    }
}

// === impl Frames ===

impl Frames {
    fn new() -> Self {
        Self { skip: PREFACE.len(), head: [0; 9], known: 0, last_stream: 0 }
    }

    /// Tells the kind and length of each frame whose head is complete.
    fn read(&mut self, mut bytes: &[u8], mut see: impl FnMut(u8, usize)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let count = (self.head.len() - self.known).min(bytes.len());
            if count == 0 {
                return;
            }
            self.head[self.known..self.known + count].copy_from_slice(&bytes[..count]);
            self.known += count;
            bytes = &bytes[count..];
            if self.known == self.head.len() {
                let [a, b, c, kind, _flags, stream @ ..] = self.head;
                self.known = 0;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                if kind == HEADERS {
                    self.last_stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
                }
                see(kind, self.skip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[9; 8]].concat();
        let settings = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        let headers = [&[0, 1, 2, HEADERS, 4, 0x80, 0, 1, 3][..], &[1; 258]].concat();
        let all = [&PREFACE[..], &settings, &headers, &ping, &ping].concat();
        for size in [1, 2, 7, 9, 24, 25, 100, all.len()] {
            let (mut frames, mut seen) = (Frames::new(), Vec::new());
            for piece in all.chunks(size) {
                frames.read(piece, |kind, length| seen.push((kind, length)));
            }
            assert_eq!(seen, [(4, 0), (HEADERS, 258), (6, 8), (6, 8)], "in pieces of {size}");
            assert_eq!(frames.last_stream, 0x103);
        }
    }
}
