//! A response's body: read as the client takes it, with the rest of the request's still on its way where there is one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::proxy::http1::chunks::{Chunk, Chunks};
use crate::proxy::http1::head::{Framing, Invalid};
use crate::proxy::http1::{CallError, Connection, LARGE_READ, SMALL_READ, Upgraded, UploadState};

/// A replica's body, with the connection that it comes from.
#[derive(Debug)]
pub(in crate::proxy) struct ReplicaBody<S> {
    /// `None` once it was taken back.
    connection: Option<Box<Connection<S>>>,
    /// All of it has come.
    is_ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    Length(u64),
    Chunked(Chunks),
    /// The connection's end is the body's.
    Close,
    Ended,
}

// === impl ReplicaBody ===

impl<S: AsyncRead + AsyncWrite + Unpin> ReplicaBody<S> {
    pub(super) fn new(connection: Box<Connection<S>>) -> Self {
        Self { is_ended: connection.decoder.is_ended(), connection: Some(connection) }
    }

    /// The connection, if the exchange is over on both sides and another may follow.
    pub(in crate::proxy) fn take_connection(&mut self) -> Option<Box<Connection<S>>> {
        self.connection.take().filter(|connection| {
            let is_over = connection.decoder.is_ended()
                && connection.keeps_alive
                && connection.upload.state == UploadState::Ended;
            // What came behind the response was not asked for.
            is_over && connection.outbox.is_gone() && connection.inbox.is_empty()
        })
    }

    /// What is left to do when the response is complete and the request is not: to hand on the rest of its body, which
    /// the client is sending still.
    pub(in crate::proxy) fn take_rest(&mut self) -> Option<impl Future<Output = ()> + use<S>> {
        let mut connection = self.connection.take_if(|connection| match connection.upload.state {
            UploadState::Open => true,
            UploadState::Ended => !connection.outbox.is_gone(),
            UploadState::Refused | UploadState::Broken => false,
        })?;
        Some(async move {
            // Whoever breaks off ends it.
            let _ = poll_fn(|cx| connection.poll_send(cx)).await;
        })
    }

    /// Hands on the rest of the request. What is wrong with it is told with the response's next piece.
    pub(in crate::proxy) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            connection.poll_upload(cx);
        }
    }

    /// Ends the connection.
    pub(in crate::proxy) fn cut(&mut self) {
        self.connection = None;
    }

    /// What the connection has become, after a 101.
    pub(in crate::proxy) fn into_upgraded(self) -> Option<Upgraded<S>> {
        let connection = self.connection?;
        Some(Upgraded { stream: connection.stream, read: connection.inbox.freeze() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Body for ReplicaBody<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let Some(connection) = this.connection.as_deref_mut() else { return Poll::Ready(None) };
        let polled = connection.poll_body(cx);
        this.is_ended = connection.decoder.is_ended();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }

    fn size_hint(&self) -> SizeHint {
        match &self.connection {
            Some(connection) if !self.is_ended => connection.decoder.size_hint(),
            _ => SizeHint::with_exact(0),
        }
    }
}

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Hands on what there is of the rest of the request.
    fn poll_upload(&mut self, cx: &mut Context<'_>) {
        let goes_on = self.upload.state == UploadState::Open || !self.outbox.is_gone();
        if goes_on && let Poll::Ready(Err(error)) = self.poll_send(cx) {
            self.upload.state =
                if matches!(error, CallError::Body(_)) { UploadState::Broken } else { UploadState::Refused };
        }
    }

    /// The next piece of the response, with the request's body going on beside it.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.poll_upload(cx);
        if self.upload.state == UploadState::Broken {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        loop {
            match self.decoder.take(&mut self.inbox) {
                Ok(Chunk::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Chunk::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Chunk::Ended) => return Poll::Ready(None),
                Ok(Chunk::Partial) => {}
                Err(Invalid) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
            }
            self.decoder.expect(&mut self.room);
            match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) if self.decoder == Decoder::Close => {
                    self.decoder = Decoder::Ended;
                    return Poll::Ready(None);
                }
                Ok(false) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Ended,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::new()),
            Framing::Close => Self::Close,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Chunked(chunks) => chunks.is_ended(),
            Self::Length(_) | Self::Close => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::Close => SizeHint::default(),
        }
    }

    /// Makes room for what is known to come.
    pub(super) fn expect(&self, room: &mut usize) {
        if let Self::Length(left) = self {
            *room = usize::try_from(*left).unwrap_or(LARGE_READ).clamp(SMALL_READ, LARGE_READ);
        }
    }

    pub(super) fn take(&mut self, inbox: &mut BytesMut) -> Result<Chunk, Invalid> {
        match self {
            Self::Ended => Ok(Chunk::Ended),
            Self::Chunked(chunks) => chunks.take(inbox),
            Self::Length(_) | Self::Close if inbox.is_empty() => Ok(Chunk::Partial),
            Self::Close => Ok(Chunk::Data(inbox.split().freeze())),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(inbox.len());
                let data = inbox.split_to(count).freeze();
                match *left - count as u64 {
                    0 => *self = Self::Ended,
                    more => *left = more,
                }
                Ok(Chunk::Data(data))
            }
        }
    }
}
