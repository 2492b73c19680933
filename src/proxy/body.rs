//! Bodies on their way through: frames are handed on as they come, counted and watched, never gathered.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::answer::AnswerBody;
use crate::proxy::exchange::{Exchange, Finish};
use crate::proxy::upgrade::Tunnel;
use crate::proxy::watch::{Phase, Watch};
use crate::proxy::{headers, http1};

/// A request's body as it comes from the client.
pub(super) enum ClientBody {
    /// There is none, or one of no bytes.
    Empty,
    Http1(http1::ClientBody),
    Http2(Incoming),
}

/// A request's body on its way to a replica.
pub(super) enum RequestBody {
    /// None, or one of no bytes: the request can be repeated.
    Empty,
    /// Handed on as it comes.
    Streaming(Box<Upload>),
}

/// A body that comes from the client while it goes to the replica.
pub(super) struct Upload {
    inner: ClientBody,
    /// Bytes that may still come.
    left: u64,
    fate: UploadFate,
    watch: Arc<Watch>,
    response_header: Duration,
    /// Taken already, for a replica that did not get it.
    again: Option<Frame<Bytes>>,
}

/// How an upload goes, for whoever awaits the response.
pub(super) type UploadFate = Rc<Progress>;

/// How an upload goes, and how far.
#[derive(Debug)]
pub(super) struct Progress {
    fate: Cell<Fate>,
    bytes: Cell<u64>,
}

/// How an upload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The replica could take more; the client has not sent it yet.
    AwaitsClient,
    /// The client could send more; the replica has not taken it yet.
    AwaitsReplica,
    /// All of it has been handed on.
    Done,
    /// It grew past the limit.
    TooLarge,
    /// The client broke off.
    Broken,
}

/// Why a body ends early; whoever meets it cuts the connection instead of ending the message.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is longer than allowed")]
    TooLarge,
    #[error("the body broke off")]
    Broken(#[from] io::Error),
}

/// A response's body on its way to the client.
pub(super) enum ResponseBody {
    /// Our own words.
    Own { bytes: Option<Bytes>, _finish: Finish },
    /// None, and something else begins.
    Switching { tunnel: Option<Box<Tunnel>>, _finish: Finish },
    /// A replica's.
    Replica { inner: AnswerBody, exchange: Exchange },
}

// === impl ClientBody ===

impl Body for ClientBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(incoming) => Pin::new(incoming).poll_frame(cx).map_err(io::Error::other),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(incoming) => incoming.size_hint(),
        }
    }
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(inner: ClientBody, limit: u64, watch: &Arc<Watch>, response_header: Duration) -> Self {
        if inner.is_end_stream() {
            return Self::Empty;
        }
        let left = if limit == 0 { u64::MAX } else { limit };
        let fate = Rc::new(Progress { fate: Cell::new(Fate::AwaitsReplica), bytes: Cell::new(0) });
        let watch = Arc::clone(watch);
        Self::Streaming(Box::new(Upload { inner, left, fate, watch, response_header, again: None }))
    }

    /// Gives the first frame back, which no replica got.
    pub(super) fn put_back(&mut self, frame: Option<Frame<Bytes>>) {
        if let Self::Streaming(upload) = self {
            upload.again = frame;
        }
    }

    pub(super) fn fate(&self) -> Option<UploadFate> {
        match self {
            Self::Empty => None,
            Self::Streaming(upload) => Some(Rc::clone(&upload.fate)),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Streaming(_) => "Streaming",
        })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(upload) => upload.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(upload) => upload.again.is_none() && upload.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(upload) => upload.inner.size_hint(),
        }
    }
}

// === impl Progress ===

impl Progress {
    pub(super) fn get(&self) -> Fate {
        self.fate.get()
    }

    fn set(&self, fate: Fate) {
        self.fate.set(fate);
    }

    /// That have come from the client.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

// === impl Upload ===

impl Upload {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.again.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Poll::Ready(polled) = Pin::new(&mut self.inner).poll_frame(cx) else {
            self.fate.set(Fate::AwaitsClient);
            if matches!(self.watch.phase(), Phase::Upload | Phase::Rest) {
                self.watch.on_wait();
            }
            return Poll::Pending;
        };
        self.fate.set(Fate::AwaitsReplica);
        let item = match polled {
            None => None,
            Some(Err(error)) => {
                self.fate.set(Fate::Broken);
                return Poll::Ready(Some(Err(error.into())));
            }
            Some(Ok(mut frame)) => {
                frame.trailers_mut().map(headers::prepare_trailers);
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = self.left.checked_sub(length) else {
                    self.fate.set(Fate::TooLarge);
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                };
                self.left = left;
                if let Some(data) = frame.data_ref() {
                    self.watch.on_bytes(data.len());
                    // On HTTP/1 the socket has told it already.
                    self.watch.on_move();
                }
                self.fate.bytes.set(self.fate.bytes.get() + length);
                Some(Ok(frame))
            }
        };
        if item.is_none() || self.inner.is_end_stream() {
            self.fate.set(Fate::Done);
            if self.watch.phase() == Phase::Upload {
                self.watch.enter(Phase::Await, self.response_header);
            }
        }
        Poll::Ready(item)
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    /// `is_head`: whoever asked gets all but the body.
    pub(super) fn own(bytes: Bytes, is_head: bool, mut finish: Finish) -> Self {
        finish.bytes_out = if is_head { 0 } else { bytes.len() as u64 };
        Self::Own { bytes: (!bytes.is_empty()).then_some(bytes), _finish: finish }
    }

    pub(super) fn replica(mut inner: AnswerBody, mut exchange: Exchange) -> Self {
        if inner.is_end_stream() {
            inner.complete(&mut exchange);
        }
        Self::Replica { inner, exchange }
    }

    /// Nothing, and behind it the tunnel that whoever writes the response then takes.
    pub(super) fn switching(tunnel: Box<Tunnel>, finish: Finish) -> Self {
        Self::Switching { tunnel: Some(tunnel), _finish: finish }
    }

    /// What the connection becomes behind this response.
    pub(super) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        match self {
            Self::Switching { tunnel, .. } => tunnel.take(),
            Self::Own { .. } | Self::Replica { .. } => None,
        }
    }

    /// Hands on the rest of the request while the client takes nothing of the response.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Self::Replica { inner, .. } = self {
            inner.poll_upload(cx);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Own { bytes, .. } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Switching { .. } => Poll::Ready(None),
            Self::Replica { inner, exchange } => {
                let mut polled = Pin::new(&mut *inner).poll_frame(cx);
                match &mut polled {
                    Poll::Pending => {}
                    Poll::Ready(Some(Ok(frame))) => {
                        frame.trailers_mut().map(headers::prepare_trailers);
                        exchange.on_frame(frame);
                        if inner.is_end_stream() || frame.is_trailers() {
                            inner.complete(exchange);
                        }
                    }
                    Poll::Ready(Some(Err(_))) => {
                        inner.cut();
                        exchange.on_break();
                    }
                    Poll::Ready(None) => inner.complete(exchange),
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own { bytes, .. } => bytes.is_none(),
            Self::Switching { .. } => true,
            Self::Replica { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own { bytes, .. } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Switching { .. } => SizeHint::with_exact(0),
            Self::Replica { inner, .. } => inner.size_hint(),
        }
    }
}
