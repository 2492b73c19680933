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
    /// The stream takes more than it passes on: TLS has records of its own that wait for the socket.
    is_buffered: bool,
    /// It may hold some of that.
    needs_flush: bool,
}

// === impl Outbox ===

impl Outbox {
    /// Towards a stream that passes on what it takes, or one that is buffered.
    pub(super) fn new(is_buffered: bool) -> Self {
        Self { is_buffered, ..Self::default() }
    }

    /// For another request, whose body is kept for as long as nothing was sent.
    pub(super) fn begin_request(&mut self) {
        (self.is_untouched, self.is_ended) = (true, false);
    }

    /// For another response.
    pub(super) fn begin_response(&mut self) {
        self.is_ended = false;
    }

    /// Where a head is written.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// No byte of this request has been taken.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    /// Whether the stream has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.plain.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether everything is on its way to the replica.
    pub(super) fn is_gone(&self) -> bool {
        self.is_empty() && !self.needs_flush
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
        let written = if self.data.is_empty() && self.tail.is_empty() {
            ready!(stream.poll_write(cx, plain))
        } else {
            let parts = [IoSlice::new(plain), IoSlice::new(&self.data), IoSlice::new(self.tail)];
            ready!(stream.poll_write_vectored(cx, &parts))
        };
        let count = match written {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => count,
            Err(error) => {
                // It may have passed some on before it failed.
                self.is_untouched &= !self.is_buffered;
                return Poll::Ready(Err(error));
            }
        };
        self.is_untouched = false;
        self.needs_flush = self.is_buffered;
        self.taken = None;
        self.advance(count);
        Poll::Ready(Ok(()))
    }

    /// Has the stream pass on what it holds.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        if self.needs_flush {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    /// Answers writes and flushes as it is told to.
    struct Scripted(VecDeque<Poll<io::Result<usize>>>);

    impl AsyncWrite for Scripted {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.0.pop_front().expect("nothing more is written")
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.pop_front().expect("nothing more is flushed").map_ok(drop)
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn mk_outbox(is_buffered: bool) -> Outbox {
        let mut outbox = Outbox::new(is_buffered);
        outbox.begin_request();
        outbox.head().extend_from_slice(b"head");
        outbox
    }

    #[test]
    fn what_a_buffered_stream_has_taken_is_gone_once_it_is_flushed() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut stream = Scripted([Poll::Ready(Ok(4)), Poll::Pending, Poll::Ready(Ok(0))].into());
        let mut outbox = mk_outbox(true);
        assert!(outbox.poll_write(&mut cx, &mut stream).is_ready() && outbox.is_empty() && !outbox.is_gone());
        assert!(outbox.poll_flush(&mut cx, &mut stream).is_pending() && !outbox.is_gone());
        assert!(outbox.poll_flush(&mut cx, &mut stream).is_ready() && outbox.is_gone());
        assert!(outbox.poll_flush(&mut cx, &mut stream).is_ready(), "and not once more");
        let (mut stream, mut outbox) = (Scripted([Poll::Ready(Ok(4))].into()), mk_outbox(false));
        assert!(outbox.poll_write(&mut cx, &mut stream).is_ready() && outbox.is_gone());
        assert!(outbox.poll_flush(&mut cx, &mut stream).is_ready(), "others are never flushed");
    }

    #[test]
    fn a_write_that_fails_has_sent_nothing_unless_the_stream_is_buffered() {
        for is_buffered in [false, true] {
            let mut outbox = mk_outbox(is_buffered);
            let mut stream = Scripted([Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))].into());
            let written = outbox.poll_write(&mut Context::from_waker(Waker::noop()), &mut stream);
            assert!(matches!(written, Poll::Ready(Err(_))));
            assert_eq!(outbox.is_untouched(), !is_buffered);
        }
    }
}
