//! A client's connection and the body of its request, which comes in while the response goes out: both need the stream.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::http1::body::Decoder;
use crate::proxy::http1::chunks::Chunk;
use crate::proxy::http1::head::Invalid;
use crate::proxy::http1::{SMALL_READ, fill};

/// What tells the client to go on (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bytes of heads that are read at once.
const ROOM_BYTES: usize = 16 * 1024;

thread_local! {
    /// What heads are read into: one room for all connections of a worker stays in its core's cache, and a connection
    /// that waits for a request needs none.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM_BYTES]);
}

/// What a connection shares with the body of its request.
#[derive(Debug)]
pub(super) struct Wire<S> {
    /// `None` once the connection has ended, or has become something else.
    pub(super) stream: Option<S>,
    /// Read and not yet used.
    pub(super) inbox: BytesMut,
    room: usize,
    decoder: Decoder,
    /// The client sends its body once it is told to go on.
    expects_continue: bool,
    /// The response has begun.
    is_answered: bool,
    /// Interim responses (RFC 9110 §15.2) that are still to be written.
    pub(super) interim: Vec<u8>,
    /// Nobody wants the rest of the body.
    is_let_go: bool,
    /// Who waits for the body's end.
    over: Option<Waker>,
    /// Who reads the body.
    reader: Option<Waker>,
}

/// A request's body.
pub(in crate::proxy) struct ClientBody(Rc<RefCell<dyn Inbound>>);

/// A wire whose stream does not matter.
trait Inbound {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>>;
    fn is_end_stream(&self) -> bool;
    fn size_hint(&self) -> SizeHint;
    fn let_go(&mut self);
}

// === impl Wire ===

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream: Some(stream),
            inbox: BytesMut::new(),
            room: SMALL_READ,
            decoder: Decoder::Ended,
            expects_continue: false,
            is_answered: false,
            interim: Vec::new(),
            is_let_go: false,
            over: None,
            reader: None,
        }
    }

    /// A request begins.
    pub(super) fn begin(&mut self, decoder: Decoder, expects_continue: bool) {
        self.expects_continue = expects_continue && !decoder.is_ended();
        self.decoder = decoder;
        (self.is_answered, self.is_let_go) = (false, false);
    }

    /// Its response begins. Whether the connection can go on behind it: a client that still waits to be told to send its
    /// body may send it or not.
    pub(super) fn answer(&mut self) -> bool {
        self.is_answered = true;
        !self.expects_continue
    }

    /// Whether the whole request has been read.
    pub(super) fn is_over(&self) -> bool {
        self.decoder.is_ended()
    }

    /// Waits until the request's body has been read. `false`: nobody will read it.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.decoder.is_ended() {
            return Poll::Ready(true);
        }
        // Who was never told to send it may not do so.
        if self.is_let_go || self.expects_continue {
            return Poll::Ready(false);
        }
        self.over = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what may be a head. `false`: the client sends no more.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { stream: Some(stream), inbox, .. } = self else { return Poll::Ready(Ok(false)) };
        ROOM.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(stream).poll_read(cx, &mut read))?;
            inbox.extend_from_slice(read.filled());
            Poll::Ready(Ok(!read.filled().is_empty()))
        })
    }

    /// Between a request's end and its response's: ready when the client has left. Where it has sent the next request it
    /// wants an answer, even if it sends nothing more.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_over() || !self.inbox.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.poll_read(cx)) {
            Ok(true) => Poll::Pending,
            Ok(false) | Err(_) => Poll::Ready(()),
        }
    }

    /// Writes interim responses.
    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream: Some(stream), interim, .. } = self else { return Poll::Ready(Ok(())) };
        while !interim.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, interim))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(interim.drain(..count)),
            }
            if interim.is_empty() {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the stream. The body ends where it is.
    pub(super) fn close(&mut self) -> Option<S> {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.stream.take()
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match self.decoder.take(&mut self.inbox) {
                Ok(Chunk::Data(data)) => {
                    // It has not waited.
                    self.expects_continue = false;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Chunk::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Chunk::Ended) => return Poll::Ready(None),
                Ok(Chunk::Partial) => {}
                Err(Invalid) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
            }
            if self.expects_continue && !self.is_answered {
                self.expects_continue = false;
                self.interim.extend_from_slice(CONTINUE);
            }
            let Self { stream: Some(stream), inbox, room, decoder, .. } = self else {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            };
            decoder.expect(room);
            match ready!(fill(stream, inbox, room, cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inbound for Wire<S> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = self.poll_body(cx);
        match &polled {
            Poll::Pending if self.reader.as_ref().is_none_or(|reader| !reader.will_wake(cx.waker())) => {
                self.reader = Some(cx.waker().clone());
            }
            Poll::Ready(_) if self.decoder.is_ended() => self.over.take().into_iter().for_each(Waker::wake),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }

    fn let_go(&mut self) {
        self.is_let_go = true;
        self.reader = None;
        self.over.take().into_iter().for_each(Waker::wake);
    }
}

// === impl ClientBody ===

impl ClientBody {
    pub(super) fn new<S: AsyncRead + AsyncWrite + Unpin + 'static>(wire: &Rc<RefCell<Wire<S>>>) -> Self {
        let wire: Rc<RefCell<Wire<S>>> = Rc::clone(wire);
        Self(wire)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.0.borrow_mut().let_go();
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.borrow_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().size_hint()
    }
}
