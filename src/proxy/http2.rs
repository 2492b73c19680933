//! A connection that speaks HTTP/2: hyper reads and writes its frames, each stream is a task with a lane of its own.
//!
//! The connection's watch says only whether there are streams. A stream that is overdue ends alone: its request is
//! answered, as on HTTP/1, or, when its response has begun, it is reset. PINGs find out whether the client is still there.

mod guard;
pub(super) mod streams;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::proxy::ProxyConfig;
use crate::proxy::body::{ClientBody, ResponseBody};
use crate::proxy::connection::{Client, Lane};
use crate::proxy::http2::guard::{Guarded, RESET};
use crate::proxy::socket::{ClientIo, Socket};
use crate::proxy::watch::{Phase, Watch};
use crate::proxy::{message, service};

/// What a stream may send before we have handed it on.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all streams of a connection may, so that it bounds the memory that a client can fill. Some stalled uploads leave
/// room for the others.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of a response that a stream keeps for a client which does not take them, and one [`SLICE`] more.
const SEND_BUFFER: usize = 64 * 1024;
/// A response's bytes are handed to a stream in pieces of this size: a frame's.
const SLICE: usize = 16 * 1024;
/// The largest frame that we take, and the least that a client may expect (RFC 9113 §4.2).
const MAX_FRAME: u32 = 16 * 1024;
/// What a client's compression may make us remember (RFC 9113 §6.5.2, its default).
const HEADER_TABLE: u32 = 4096;
/// Streams that a client may have us reset for its errors, in a connection's life.
const MAX_ERRORS: usize = 1024;
/// What a slice earns that a client has been given: it may say twice, of the stream and of the connection, that it took it,
/// and in halves.
const SLICE_CREDIT: u32 = 4;

/// Runs each stream in a task of its own.
#[derive(Clone, Default)]
struct Tasks {
    /// The lane of the request that came last, until its stream is run.
    next: Rc<Cell<Option<Rc<Lane>>>>,
}

/// A response's body on its way into a stream.
struct Sliced {
    body: ResponseBody,
    /// Of the last frame, what the stream has not got yet.
    rest: Bytes,
    /// Bytes that the stream has got without asking for more yet, because the client has not taken them.
    given: usize,
    lane: Rc<Lane>,
}

/// Speaks HTTP/2 with the client until either has enough.
pub(super) async fn run<S: Socket>(client: Rc<Client>, io: ClientIo<S>) {
    let tasks = Tasks::default();
    let service = {
        let (client, tasks) = (Rc::clone(&client), tasks.clone());
        service_fn(move |request| {
            let lane = Rc::new(Lane::of_stream(&client));
            tasks.next.set(Some(Rc::clone(&lane)));
            answer(lane, request)
        })
    };
    let connection =
        builder(&client.worker.config, tasks).serve_connection(TokioIo::new(Guarded::new(io, &client)), service);
    let mut connection = pin!(connection);
    let watch = &client.watch;
    // What it says last is that it goes away: once by itself, and then it has one more time of idleness to do so.
    let mut is_leaving = false;
    poll_fn(|cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let is_expired = watch.is_expired() && watch.phase() != Phase::Shared;
            if is_expired && (is_leaving || watch.phase() != Phase::Vacant) {
                return Poll::Ready(());
            }
            if is_leaving || !(is_expired || client.is_closing()) {
                return Poll::Pending;
            }
            is_leaving = true;
            connection.as_mut().graceful_shutdown();
            if is_expired {
                watch.enter(Phase::Vacant, client.worker.idle(client.idle.get()));
            }
        }
    })
    .await;
}

fn builder(config: &ProxyConfig, tasks: Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    // What a client may begin and take back before we have looked at it.
    let resets = usize::try_from(config.max_concurrent_streams).unwrap_or(usize::MAX);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(MAX_ERRORS)
        .max_frame_size(MAX_FRAME)
        .header_table_size(HEADER_TABLE)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(config.ping_interval)
        .keep_alive_timeout(config.ping_timeout);
    builder
}

async fn answer(lane: Rc<Lane>, request: Request<Incoming>) -> Result<Response<Sliced>, Infallible> {
    let request = message::Request::from(request).map(ClientBody::Http2);
    let response = service::handle(Rc::clone(&lane), request).await?;
    Ok(response.map(|body| Sliced::new(body, lane)).into())
}

/// A stream's task. Who drops a stream resets it.
async fn drive(lane: Rc<Lane>, stream: impl Future<Output = ()>) {
    let watch = &lane.watch;
    watch.adopt().await;
    let mut stream = pin!(stream);
    poll_fn(|cx| {
        // Before that the request's future sees it, and answers.
        let is_stalled = |watch: &Watch| watch.is_expired() && watch.phase() == Phase::Stream;
        if stream.as_mut().poll(cx).is_ready() || is_stalled(watch) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

// === impl Tasks ===

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        match self.next.take() {
            Some(lane) => drop(tokio::task::spawn_local(drive(lane, future))),
            None => drop(tokio::task::spawn_local(future)),
        }
    }
}

// === impl Sliced ===

impl Sliced {
    fn new(body: ResponseBody, lane: Rc<Lane>) -> Self {
        let this = Self { body, rest: Bytes::new(), given: 0, lane };
        this.earn(0);
        this
    }

    /// What is answered whole makes up for a request that is taken back.
    fn earn(&self, credit: u32) {
        let whole = if self.is_end_stream() { RESET } else { 0 };
        self.lane.client.streams.earn(credit + whole);
    }
}

impl Body for Sliced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.given > 0 {
            this.lane.watch.on_move();
            this.lane.watch.on_bytes(std::mem::take(&mut this.given));
        }
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_data() => this.rest = frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            }
        }
        let slice = this.rest.split_to(this.rest.len().min(SLICE));
        this.given = slice.len();
        this.lane.watch.on_wait();
        this.earn(SLICE_CREDIT);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
