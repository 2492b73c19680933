//! A replica's body, by whichever version of HTTP it comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::exchange::Exchange;
use crate::proxy::http1::{ReplicaBody, Upgraded};
use crate::proxy::pool::Stream;
use crate::proxy::replica_stream::ReplicaStream;

/// What a replica answers, with what it comes through.
pub(super) enum AnswerBody {
    Http1(ReplicaBody<ReplicaStream>),
    /// Boxed, so that nobody pays for it who does not have it.
    Http2(Box<StreamBody>),
}

/// A body on a stream.
pub(super) struct StreamBody {
    /// `None` once it was cut, which resets the stream.
    incoming: Option<Incoming>,
    /// `None` once it is over, so that another may have one.
    stream: Option<Stream>,
}

// === impl AnswerBody ===

impl AnswerBody {
    pub(super) fn http2(incoming: Incoming, stream: Stream) -> Self {
        Self::Http2(Box::new(StreamBody { incoming: Some(incoming), stream: Some(stream) }))
    }

    /// A whole response has come.
    pub(super) fn complete(&mut self, exchange: &mut Exchange) {
        match self {
            Self::Http1(body) => {
                if let Some(rest) = body.take_rest() {
                    exchange.hand_on(rest);
                }
                exchange.complete(body.take_connection());
            }
            Self::Http2(body) => {
                if let Some(stream) = body.stream.take() {
                    stream.end(exchange.tick());
                }
                exchange.complete(None);
            }
        }
    }

    /// Hands on the rest of the request, if it shares a connection with nothing else.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(body) => body.poll_upload(cx),
            Self::Http2(_) => {} // has a task for it
        }
    }

    /// Ends the connection, or the stream alone.
    pub(super) fn cut(&mut self) {
        match self {
            Self::Http1(body) => body.cut(),
            Self::Http2(body) => (body.incoming, body.stream) = (None, None),
        }
    }

    /// What the connection has become, after a 101.
    pub(super) fn into_upgraded(self) -> Option<Upgraded<ReplicaStream>> {
        match self {
            Self::Http1(body) => body.into_upgraded(),
            Self::Http2(_) => None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => match &mut body.incoming {
                Some(incoming) => Pin::new(incoming).poll_frame(cx).map_err(io::Error::other),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.incoming.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http1_pays_nothing_for_http2() {
        assert_eq!(size_of::<AnswerBody>(), size_of::<ReplicaBody<ReplicaStream>>());
    }
}
