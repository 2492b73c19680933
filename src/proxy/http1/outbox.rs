//! What is still to be written of a request: one write takes the head and the first of the body together.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderName;
use http_body::Frame;
use tokio::io::AsyncWrite;

const CRLF: &[u8] = b"\r\n";
/// Data up to this length is copied beside its frame, which is cheaper than a write of several parts.
const COPIED: usize = 4 * 1024;
/// Copied bytes that may wait.
const ROOM: usize = 16 * 1024;

/// Bytes on their way out: `plain` from `at` on, then `data`, then `tail`.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    plain: Vec<u8>,
    at: usize,
    data: Bytes,
    tail: &'static [u8],
    /// The body's first frame, until a byte has been written: on another connection it is needed again.
    taken: Option<Frame<Bytes>>,
    is_untouched: bool,
    /// The last chunk has been pushed.
    is_ended: bool,
}

// === impl Outbox ===

impl Outbox {
    /// For another request.
    pub(super) fn begin(&mut self) {
        (self.is_untouched, self.is_ended) = (true, false);
    }

    /// Where a head is written.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// No byte of this request has been taken.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.plain.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether a frame can be pushed.
    pub(super) fn has_room(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.plain.len() < ROOM && self.taken.is_none()
    }

    pub(super) fn push(&mut self, frame: Frame<Bytes>, is_chunked: bool, announced: &[HeaderName]) {
        match frame.into_data() {
            Ok(data) => {
                if self.is_untouched {
                    self.taken = Some(Frame::data(data.clone()));
                }
                self.push_data(data, is_chunked);
            }
            Err(frame) => {
                let Ok(trailers) = frame.into_trailers() else { return };
                if is_chunked {
                    self.plain.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().filter(|(name, _)| announced.contains(name)) {
                        super::head::encode_field(name, value, &mut self.plain);
                    }
                    self.plain.extend_from_slice(CRLF);
                    self.is_ended = true;
                }
                if self.is_untouched {
                    self.taken = Some(Frame::trailers(trailers));
                }
            }
        }
    }

    fn push_data(&mut self, data: Bytes, is_chunked: bool) {
        if data.is_empty() {
            return; // as a chunk it would be the last
        }
        if is_chunked {
            // Writing to memory does not fail.
            let _ = write!(self.plain, "{:X}\r\n", data.len());
        }
        let tail = if is_chunked { CRLF } else { &[] };
        if data.len() <= COPIED {
            self.plain.extend_from_slice(&data);
            self.plain.extend_from_slice(tail);
        } else {
            (self.data, self.tail) = (data, tail);
        }
    }

    /// The body has ended.
    pub(super) fn end(&mut self, is_chunked: bool) {
        if is_chunked && !self.is_ended {
            // Behind the data that may still wait.
            if self.tail.is_empty() {
                self.plain.extend_from_slice(b"0\r\n\r\n");
            } else {
                self.tail = b"\r\n0\r\n\r\n";
            }
        }
        self.is_ended = true;
    }

    /// Writes once.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let plain = &self.plain[self.at..];
        let stream = Pin::new(stream);
        let count = if self.data.is_empty() && self.tail.is_empty() {
            ready!(stream.poll_write(cx, plain))?
        } else {
            let parts = [IoSlice::new(plain), IoSlice::new(&self.data), IoSlice::new(self.tail)];
            ready!(stream.poll_write_vectored(cx, &parts))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.is_untouched = false;
        self.taken = None;
        self.advance(count);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let of_plain = count.min(self.plain.len() - self.at);
        self.at += of_plain;
        if self.at == self.plain.len() {
            self.plain.clear();
            self.at = 0;
        }
        let of_data = (count - of_plain).min(self.data.len());
        self.data.advance(of_data);
        self.tail = &self.tail[count - of_plain - of_data..];
        if self.data.is_empty() {
            self.data = Bytes::new(); // lets go of the client's buffer
        }
    }

    /// The body's frame that would have been written first.
    pub(super) fn into_taken(self) -> Option<Frame<Bytes>> {
        self.taken
    }
}
