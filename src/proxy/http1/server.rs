//! HTTP/1 from clients (RFC 9112): one connection, one exchange at a time, driven by the connection's task.
//!
//! What hyper's server has that is missing here is generality. What it has not: heads are read into a room that all
//! connections share, so that an idle one holds next to nothing; a response's bytes are written as they come and never
//! queued; interim responses pass; and whoever sends what is no request is told why in our own words.

mod request;
mod response;
mod wire;

pub(in crate::proxy) use self::wire::ClientBody;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, Method, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::proxy::errors::Reason;
use crate::proxy::http1::body::Decoder;
use crate::proxy::http1::outbox::Outbox;
use crate::proxy::http1::server::request::Head;
use crate::proxy::http1::server::response::{Asked, Coding};
use crate::proxy::http1::server::wire::Wire;
use crate::proxy::http1::{HeadLimits, Upgraded};
use crate::proxy::message::{Fields, Request, Response};

/// Bytes of interim responses that wait for a client to take them; others are left out.
const MAX_INTERIM: usize = 16 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(in crate::proxy) struct Server<S> {
    wire: Rc<RefCell<Wire<S>>>,
    limits: HeadLimits,
    /// Bytes of the inbox that were no whole head.
    looked_at: usize,
    /// An empty list with memory, for the next request's fields.
    spare: Fields,
    asked: Asked,
    outbox: Outbox,
    coding: Coding,
    /// Trailers that the response's head announces; others don't pass.
    trailers: Vec<HeaderName>,
    is_broken: bool,
}

/// How the writing of a response has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Written {
    Whole,
    /// Its body broke off, and so must the connection.
    Broken,
    /// The client has left.
    Left,
}

// === impl Server ===

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Server<S> {
    /// `is_buffered`: the stream has to be flushed.
    pub(in crate::proxy) fn new(stream: S, is_buffered: bool, limits: HeadLimits) -> Self {
        Self {
            wire: Rc::new(RefCell::new(Wire::new(stream))),
            limits,
            looked_at: 0,
            spare: Fields::default(),
            asked: Asked::NOTHING,
            outbox: Outbox::new(is_buffered),
            coding: Coding::None,
            trailers: Vec::new(),
            is_broken: false,
        }
    }

    /// Waits for the next request; its body is `None` if it has none, or one of no bytes. `None`: the client has left.
    ///
    /// # Errors
    /// What came is no request. It can be answered, and then the connection has to end.
    pub(in crate::proxy) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Request<Option<ClientBody>>, Reason>>> {
        let mut wire = self.wire.borrow_mut();
        loop {
            if may_end_head(&wire.inbox, self.looked_at, self.limits.bytes) {
                match request::take(&mut wire.inbox, self.limits, &mut self.spare) {
                    Ok(Some(head)) => {
                        drop(wire);
                        return Poll::Ready(Some(Ok(self.begin_request(head))));
                    }
                    Ok(None) => self.looked_at = wire.inbox.len(),
                    Err(reason) => {
                        self.asked = Asked::NOTHING;
                        return Poll::Ready(Some(Err(reason)));
                    }
                }
            }
            match ready!(wire.poll_read(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(None),
            }
        }
    }

    /// Whether bytes of a request are there already.
    pub(in crate::proxy) fn has_begun(&self) -> bool {
        !self.wire.borrow().inbox.is_empty()
    }

    fn begin_request(&mut self, head: Head) -> Request<Option<ClientBody>> {
        let Head { request, framing, keeps_alive, expects_continue, takes_trailers } = head;
        self.looked_at = 0;
        let is_http_11 = request.version() == Version::HTTP_11;
        self.asked = Asked { is_head: *request.method() == Method::HEAD, is_http_11, keeps_alive, takes_trailers };
        let decoder = Decoder::new(framing);
        let has_body = !decoder.is_ended();
        self.wire.borrow_mut().begin(decoder, expects_continue);
        request.map(|()| has_body.then(|| ClientBody::new(&self.wire)))
    }

    /// While the request is answered: writes what comes before the response. Ready when the client has left.
    pub(in crate::proxy) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.wire.borrow_mut();
        if let Poll::Ready(Err(_)) = wire.poll_interim(cx) {
            return Poll::Ready(());
        }
        wire.poll_left(cx)
    }

    /// Sends an interim response (RFC 9110 §15.2) to who knows what that is, and takes such.
    pub(in crate::proxy) fn send_interim(&mut self, head: &Response<()>) {
        let interim = &mut self.wire.borrow_mut().interim;
        if self.asked.is_http_11 && interim.len() < MAX_INTERIM {
            response::encode_interim(head, interim);
        }
    }

    /// Begins the response, whose body has this size. Its list serves the next request.
    pub(in crate::proxy) fn begin_response(&mut self, mut head: Response<()>, size: &SizeHint) {
        let mut wire = self.wire.borrow_mut();
        self.outbox.begin_response();
        let out = self.outbox.head();
        out.append(&mut wire.interim);
        self.asked.keeps_alive &= wire.answer();
        (self.coding, self.asked.keeps_alive) = response::encode(&head, &self.asked, size, out);
        self.trailers = response::trailers(&head, &self.asked, self.coding);
        self.spare = std::mem::take(head.headers_mut());
        self.spare.clear();
    }

    /// Whether the response has no body, whatever there is of one.
    pub(in crate::proxy) fn is_bodiless(&self) -> bool {
        matches!(self.coding, Coding::None | Coding::Length(0))
    }

    /// Writes the response as its body comes and the client takes it. The body is dropped as soon as it has ended, before
    /// all of it is written.
    pub(in crate::proxy) fn poll_respond<B>(&mut self, cx: &mut Context<'_>, body: &mut Option<B>) -> Poll<Written>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        loop {
            self.take_frames(cx, body);
            let mut wire = self.wire.borrow_mut();
            let Some(stream) = &mut wire.stream else { return Poll::Ready(Written::Left) };
            let is_empty = self.outbox.is_empty();
            let sent = if is_empty { self.outbox.poll_flush(cx, stream) } else { self.outbox.poll_write(cx, stream) };
            match sent {
                Poll::Ready(Err(_)) => return Poll::Ready(Written::Left),
                Poll::Ready(Ok(())) if !is_empty => continue,
                Poll::Ready(Ok(())) if self.is_broken => return Poll::Ready(Written::Broken),
                Poll::Ready(Ok(())) if body.is_none() => return Poll::Ready(Written::Whole),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            return wire.poll_left(cx).map(|()| Written::Left);
        }
    }

    fn take_frames<B: Body<Data = Bytes> + Unpin>(&mut self, cx: &mut Context<'_>, body: &mut Option<B>) {
        while let Some(frames) = body.as_mut().filter(|_| self.outbox.has_room()) {
            match Pin::new(&mut *frames).poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(frame))) => {
                    let is_end = frames.is_end_stream();
                    if !self.push(frame) {
                        self.is_broken = true;
                    } else if !is_end {
                        continue;
                    }
                }
                Poll::Ready(Some(Err(_))) => self.is_broken = true,
                Poll::Ready(None) => {}
            }
            *body = None;
            // Less than was announced.
            self.is_broken |= matches!(self.coding, Coding::Length(1..));
            if !self.is_broken {
                self.outbox.end(self.coding == Coding::Chunked);
            }
        }
    }

    /// Puts a frame into the outbox. `false`: it is more than was announced.
    fn push(&mut self, frame: Frame<Bytes>) -> bool {
        if let (Coding::Length(left), Some(data)) = (&mut self.coding, frame.data_ref()) {
            match left.checked_sub(data.len() as u64) {
                Some(less) => *left = less,
                None => return false,
            }
        }
        self.outbox.push(frame, self.coding == Coding::Chunked, &self.trailers);
        true
    }

    /// Waits until the request that was answered has been read to its end. `false`: it will not be, so no other can be
    /// understood here.
    pub(in crate::proxy) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.wire.borrow_mut().poll_over(cx)
    }

    /// Whether the request that was answered has been read to its end.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        self.wire.borrow().is_over()
    }

    /// Whether another request may follow the response that was begun.
    pub(in crate::proxy) fn keeps_alive(&self) -> bool {
        self.asked.keeps_alive
    }

    /// The stream, for whoever ends it. A body that is still read breaks off.
    pub(in crate::proxy) fn close(&self) -> Option<S> {
        self.wire.borrow_mut().close()
    }

    /// What the connection has become after a 101.
    pub(in crate::proxy) fn into_upgraded(self) -> Option<Upgraded<S>> {
        let mut wire = self.wire.borrow_mut();
        let read = wire.inbox.split().freeze();
        wire.close().map(|stream| Upgraded { stream, read })
    }
}

/// Whether there may be a whole head, of which so many bytes were none. A head that comes byte by byte is not parsed with
/// each.
fn may_end_head(inbox: &[u8], looked_at: usize, limit: usize) -> bool {
    // The last bytes of an end may have come with it.
    let new = &inbox[looked_at.saturating_sub(3).min(inbox.len())..];
    let ends = |end: &[u8]| new.windows(end.len()).any(|bytes| bytes == end);
    looked_at == 0 || inbox.len() >= limit || ends(b"\n\r\n") || ends(b"\n\n")
}

// === impl Asked ===

impl Asked {
    /// By who could not be understood.
    const NOTHING: Self = Self { is_head: false, is_http_11: true, keeps_alive: false, takes_trailers: false };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_comes_byte_by_byte_is_looked_at_where_it_may_end() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let looks =
            |head: &[u8]| (0..=head.len()).filter(|end| may_end_head(&head[..*end], end - 1.min(*end), 1000)).count();
        assert_eq!(looks(head), 3, "with no byte, with the first, and with the last");
        assert_eq!(looks(b"GET / HTTP/1.1\nhost: a\n\n"), 3);
        assert!((1..head.len()).all(|cut| may_end_head(head, cut, 1000)), "whatever has come before");
        assert!(may_end_head(&[b'x'; 100], 99, 100), "at the limit it is looked at in any case");
    }
}
