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
use crate::proxy::http1::{CallError, Connection, LARGE_READ, SMALL_READ, Upgraded, Upload, UploadState};

/// A replica's body, with the connection that it comes from.
#[derive(Debug)]
pub(in crate::proxy) struct ReplicaBody<S> {
    /// `None` once it was taken back.
    connection: Option<Box<Connection<S>>>,
    upload: Upload,
    decoder: Decoder,
    keeps_alive: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Decoder {
    Length(u64),
    Chunked(Chunks),
    /// The connection's end is the body's.
    Close,
    Ended,
}

// === impl ReplicaBody ===

impl<S: AsyncRead + AsyncWrite + Unpin> ReplicaBody<S> {
    pub(super) fn new(connection: Box<Connection<S>>, upload: Upload, framing: Framing, keeps_alive: bool) -> Self {
        let decoder = match framing {
            Framing::None | Framing::Length(0) => Decoder::Ended,
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunks::new()),
            Framing::Close => Decoder::Close,
        };
        Self { connection: Some(connection), upload, decoder, keeps_alive }
    }

    /// The connection, if the exchange is over on both sides and another may follow.
    pub(in crate::proxy) fn take_connection(&mut self) -> Option<Box<Connection<S>>> {
        let is_over = self.decoder.is_ended() && self.keeps_alive && self.upload.state == UploadState::Ended;
        self.connection.take().filter(|connection| {
            // What came behind the response was not asked for.
            is_over && connection.outbox.is_empty() && connection.inbox.is_empty()
        })
    }

    /// What is left to do when the response is complete and the request is not: to hand on the rest of its body, which
    /// the client is sending still.
    pub(in crate::proxy) fn take_rest(&mut self) -> Option<impl Future<Output = ()> + use<S>> {
        let is_left = |connection: &mut Box<Connection<S>>| !connection.outbox.is_empty();
        let is_left = match self.upload.state {
            UploadState::Open => true,
            UploadState::Ended => self.connection.as_mut().is_some_and(is_left),
            UploadState::Refused => false,
        };
        let mut connection = self.connection.take_if(|_| is_left)?;
        let mut upload = std::mem::replace(&mut self.upload, Upload::ENDED);
        Some(async move {
            // Whoever breaks off ends it.
            let _ = poll_fn(|cx| connection.poll_send(cx, &mut upload)).await;
        })
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
        let Self { connection: Some(connection), upload, decoder, .. } = self.get_mut() else {
            return Poll::Ready(None);
        };
        if upload.state == UploadState::Open || !connection.outbox.is_empty() {
            match connection.poll_send(cx, upload) {
                Poll::Pending | Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(CallError::Body(error))) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                Poll::Ready(Err(_)) => upload.state = UploadState::Refused,
            }
        }
        loop {
            match decoder.take(&mut connection.inbox) {
                Ok(Chunk::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Chunk::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Chunk::Ended) => return Poll::Ready(None),
                Ok(Chunk::Partial) => {}
                Err(Invalid) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
            }
            if let Decoder::Length(left) = decoder {
                connection.room = usize::try_from(*left).unwrap_or(LARGE_READ).clamp(SMALL_READ, LARGE_READ);
            }
            match ready!(connection.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) if *decoder == Decoder::Close => {
                    *decoder = Decoder::Ended;
                    return Poll::Ready(None);
                }
                Ok(false) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match self.decoder {
            Decoder::Length(left) => SizeHint::with_exact(left),
            Decoder::Ended => SizeHint::with_exact(0),
            Decoder::Chunked(_) | Decoder::Close => SizeHint::default(),
        }
    }
}

// === impl Decoder ===

impl Decoder {
    fn is_ended(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Chunked(chunks) => chunks.is_ended(),
            Self::Length(_) | Self::Close => false,
        }
    }

    fn take(&mut self, inbox: &mut BytesMut) -> Result<Chunk, Invalid> {
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
