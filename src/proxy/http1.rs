//! HTTP/1.1 towards replicas (RFC 9112): one connection, one exchange at a time, driven by whoever has the exchange.
//!
//! hyper's client runs each connection in a task of its own and talks to it over channels. Here the request's own
//! future writes and reads, so that an answer wakes one task and not two, and nothing is handed over. That is also why
//! a request's head is only borrowed: nothing of it has to be copied in case it must be sent again.
//!
//! What is stricter than it could be: a replica whose framing has two readings gets no second chance. Lengths that
//! differ, codings but `chunked`, lines of a body that end without CR, a body where there can be none, bytes beyond the
//! end of a response, a response that nobody asked for: each ends the connection, so that nothing of it can be taken for
//! another request's answer. In heads a line feed alone ends a line, as RFC 9112 §2.2 allows.

mod body;
mod chunks;
mod head;
mod names;
mod outbox;
mod places;
mod server;

pub(super) use self::body::ReplicaBody;
pub(super) use self::server::{ClientBody, Server, Written};

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderName, Method, StatusCode};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::unconstrained;
use tokio_util::io::poll_read_buf;

use crate::proxy::body::{BodyError, RequestBody};
use crate::proxy::http1::body::Decoder;
use crate::proxy::http1::head::Head;
use crate::proxy::http1::outbox::Outbox;
use crate::proxy::message::{Fields, Request, Response};

/// Bytes of interim responses (RFC 9110 §15.2) to one request.
const MAX_INTERIM: usize = 1024 * 1024;
/// Room for a read, where little is expected and where much is.
const SMALL_READ: usize = 8 * 1024;
const LARGE_READ: usize = 64 * 1024;

/// What a head may be; past it there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// At most [`places::MAX_BYTES`] count.
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

/// A connection to a replica, with all of the exchange that it has now. It is moved in its box alone.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    limits: HeadLimits,
    /// Read and not yet used.
    inbox: BytesMut,
    outbox: Outbox,
    /// Room for the next read; grows while reads fill it.
    room: usize,
    /// An empty list with memory, for the next response's fields.
    spare: Fields,
    method: Method,
    upload: Upload,
    /// Bytes of interim responses so far.
    interim: usize,
    /// Of the response's body.
    decoder: Decoder,
    keeps_alive: bool,
}

/// An exchange whose response has not begun.
#[derive(Debug)]
pub(super) struct Call<S>(Box<Connection<S>>);

/// A request's body on its way.
#[derive(Debug)]
struct Upload {
    body: RequestBody,
    is_chunked: bool,
    /// Trailers that the head announces; others don't pass.
    trailers: Vec<HeaderName>,
    state: UploadState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadState {
    /// More may come.
    Open,
    /// All has been handed to the outbox.
    Ended,
    /// The replica takes no more; its response may still come.
    Refused,
    /// The client has broken off, and so has the exchange to.
    Broken,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum CallError {
    /// Not a byte was taken: the request can go on another connection.
    Unsent(io::Error),
    /// The connection ended, and the replica may have had the request.
    Broken(io::Error),
    /// What came is not an answer in HTTP/1.
    BadResponse,
    /// The client's body ended early.
    Body(BodyError),
}

/// A connection that has become something else, with what had been read of that already.
#[derive(Debug)]
pub(super) struct Upgraded<S> {
    stream: S,
    read: Bytes,
}

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Boxed, for it moves with every exchange from the pool to the call, to the response's body and back.
    /// `is_buffered`: the stream has to be flushed.
    pub(super) fn new(stream: S, is_buffered: bool, limits: HeadLimits) -> Box<Self> {
        Box::new(Self {
            stream,
            limits,
            inbox: BytesMut::new(),
            outbox: Outbox::new(is_buffered),
            room: SMALL_READ,
            spare: Fields::default(),
            method: Method::GET,
            upload: Upload::ENDED,
            interim: 0,
            decoder: Decoder::Ended,
            keeps_alive: true,
        })
    }

    /// Whether it can still be used: neither ended by the replica nor with a response to nothing. To be asked between
    /// exchanges only.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut room = [0_u8; 1];
        let look = poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut room)));
        // A task that has had its share of reads would be told to wait, whatever the connection does.
        pin!(unconstrained(look)).poll(&mut nobody).is_pending()
    }

    /// Begins an exchange. The head is written when the call is polled first.
    pub(super) fn call<B>(mut self: Box<Self>, head: &Request<B>, body: RequestBody) -> Call<S> {
        self.outbox.begin_request();
        head::encode(head, self.outbox.head());
        self.upload = match body {
            RequestBody::Empty => Upload::ENDED,
            body => Upload {
                body,
                is_chunked: head::is_chunked(head.headers()),
                trailers: head::trailers(head.headers()),
                state: UploadState::Open,
            },
        };
        (self.method, self.interim) = (head.method().clone(), 0);
        Call(self)
    }

    /// Reads once. `false`: the replica sends no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        fill(&mut self.stream, &mut self.inbox, &mut self.room, cx)
    }

    /// Sends what there is to send. Ready when all of it has gone, or when no more will be taken.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Self { stream, outbox, upload, .. } = self;
        if matches!(upload.state, UploadState::Refused | UploadState::Broken) {
            return Poll::Ready(Ok(()));
        }
        loop {
            while upload.state == UploadState::Open && outbox.has_room() {
                let is_end = match Pin::new(&mut upload.body).poll_frame(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(CallError::Body(error))),
                    Poll::Ready(Some(Ok(frame))) => {
                        outbox.push(frame, upload.is_chunked, &upload.trailers);
                        upload.body.is_end_stream()
                    }
                    Poll::Ready(None) => true,
                };
                if is_end {
                    outbox.end(upload.is_chunked);
                    upload.state = UploadState::Ended;
                }
            }
            let is_empty = outbox.is_empty();
            let sent = if is_empty { outbox.poll_flush(cx, stream) } else { outbox.poll_write(cx, stream) };
            match ready!(sent) {
                Ok(()) if !is_empty => {}
                Ok(()) if upload.state == UploadState::Open => return Poll::Pending,
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if outbox.is_untouched() => return Poll::Ready(Err(CallError::Unsent(error))),
                Err(_) => {
                    // It may have answered before it had read everything.
                    upload.state = UploadState::Refused;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// Reads once, with this much room. `false`: the other side sends no more.
fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut BytesMut,
    room: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    if inbox.capacity() - inbox.len() < *room / 2 {
        inbox.reserve(*room);
    }
    let space = inbox.capacity() - inbox.len();
    let count = ready!(poll_read_buf(Pin::new(stream), cx, inbox))?;
    *room = if count == space { LARGE_READ } else { SMALL_READ };
    Poll::Ready(Ok(count > 0))
}

// === impl Upload ===

impl Upload {
    const ENDED: Self =
        Self { body: RequestBody::Empty, is_chunked: false, trailers: Vec::new(), state: UploadState::Ended };
}

// === impl Call ===

impl<S: AsyncRead + AsyncWrite + Unpin> Call<S> {
    /// Sends the request and waits for the head of its response, which may come before all has been sent. Whoever waits
    /// gets what comes before it, too, but for a `100`: that was asked of us alone.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        mut on_interim: impl FnMut(Response<()>),
    ) -> Poll<Result<Head, CallError>> {
        let connection = &mut *self.0;
        if let Poll::Ready(sent) = connection.poll_send(cx) {
            sent?;
        }
        loop {
            let Connection { inbox, method, limits, spare, interim, .. } = connection;
            let before = inbox.len();
            let head = head::take(inbox, method, *limits, spare).map_err(|_| CallError::BadResponse)?;
            match head {
                None => {}
                Some(head) if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS => {
                    *interim += before - inbox.len();
                    if *interim > MAX_INTERIM {
                        return Poll::Ready(Err(CallError::BadResponse));
                    }
                    if head.status != StatusCode::CONTINUE {
                        on_interim(head.into_response(()));
                    }
                    continue;
                }
                Some(head) => return Poll::Ready(Ok(head)),
            }
            let ended = match ready!(connection.poll_fill(cx)) {
                // What comes before anything was asked is no answer.
                Ok(true) if !connection.outbox.is_untouched() => continue,
                Ok(_) => io::ErrorKind::UnexpectedEof.into(),
                Err(error) => error,
            };
            let is_unsent = connection.outbox.is_untouched();
            return Poll::Ready(Err(if is_unsent { CallError::Unsent(ended) } else { CallError::Broken(ended) }));
        }
    }

    /// The response that begins with this head. An empty list that nobody needs serves the next one.
    pub(super) fn into_response(self, head: Head, spare: Fields) -> Response<ReplicaBody<S>> {
        let mut connection = self.0;
        connection.decoder = Decoder::new(head.framing);
        (connection.spare, connection.keeps_alive) = (spare, head.keeps_alive);
        head.into_response(ReplicaBody::new(connection))
    }

    /// The body of a request that was not sent, whole again.
    pub(super) fn into_unsent(self) -> RequestBody {
        let connection = *self.0;
        let mut body = connection.upload.body;
        body.put_back(connection.outbox.into_taken());
        body
    }
}

// === impl Upgraded ===

impl<S: AsyncRead + Unpin> AsyncRead for Upgraded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..count]);
        self.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Upgraded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_has_ended_is_never_usable_however_many_a_task_looks_at() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        let mut connection = Connection::new(stream, false, HeadLimits { bytes: 1024, fields: 10 });
        assert!(connection.is_usable());
        drop(peer);
        connection.stream.readable().await.unwrap();
        assert_eq!((0..1000).position(|_| connection.is_usable()), None);
    }
}
