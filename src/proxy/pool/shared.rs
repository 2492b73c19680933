//! Connections of HTTP/2 to a replica, each shared by many exchanges: a few of them, for a new one is opened only where the
//! others have as many streams as the replica takes, and by one exchange for all that wait.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use crate::proxy::body::RequestBody;
use crate::proxy::errors::ForwardError;
use crate::proxy::http1::HeadLimits;
use crate::proxy::replica_stream::ReplicaStream;

/// Streams that a connection has at most.
const STREAMS: usize = 100;
/// Streams that are opened before the replica has said how many it takes. Others wait for that word, and none is refused.
const FIRST_STREAMS: usize = 1;
/// What a replica may send on a stream before the client has taken it.
const STREAM_WINDOW: u32 = 128 * 1024;
/// So large that clients which take nothing never hold up the others.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// Bytes of a request that a stream keeps for a replica which does not take them.
const SEND_BUFFER: usize = 64 * 1024;
/// From one question whether the replica is still there to the next, and for its answer; while it has requests.
const PING: Duration = Duration::from_secs(20);

/// The connections of one worker to one replica.
#[derive(Default)]
pub(super) struct Shared {
    connections: RefCell<Vec<Connection>>,
    /// Somebody is opening another.
    is_dialling: Cell<bool>,
    /// Why the last one could not be opened, for those who waited for it.
    refusal: RefCell<Option<Refusal>>,
    dialled: Notify,
}

struct Connection {
    sender: SendRequest<RequestBody>,
    state: Rc<State>,
}

struct State {
    /// Polled by its task, and asked how many streams it may have. Dropped at its end, which whoever waits hears of so.
    driver: RefCell<Option<Pin<Box<Driver>>>>,
    /// Streams that it has.
    open: Cell<usize>,
    /// The worker's tick when one ended last.
    since: Cell<u64>,
    /// The replica has answered, and so has said how many it takes.
    is_settled: Cell<bool>,
}

type Driver = http2::Connection<TokioIo<ReplicaStream>, RequestBody, Tasks>;

/// The right to one stream. Given back on drop.
pub(in crate::proxy) struct Stream {
    sender: SendRequest<RequestBody>,
    state: Rc<State>,
}

/// Why there is no connection, for one more who wanted it.
enum Refusal {
    Connect(io::ErrorKind),
    Tls(String),
    NoAuthorities,
    Timeout,
}

/// The right to open a connection.
struct Turn<'s>(&'s Shared);

#[derive(Clone)]
struct Tasks;

// === impl Shared ===

impl Shared {
    /// A stream of a connection that has one left.
    pub(super) fn check_out(&self) -> Option<Stream> {
        let connections = self.connections.borrow();
        let has_room = |Connection { sender, state }: &&Connection| sender.is_ready() && state.has_room();
        connections.iter().find(has_room).map(Connection::stream)
    }

    /// A stream of a new connection, which another exchange may be opening already; true if it was this one.
    ///
    /// # Errors
    /// There is none, or none in time.
    pub(super) async fn connect<F>(
        &self,
        dial: impl FnOnce() -> F,
        heads: HeadLimits,
    ) -> Result<(Stream, bool), ForwardError>
    where
        F: Future<Output = Result<ReplicaStream, ForwardError>>,
    {
        while self.is_dialling.get() {
            self.dialled.notified().await;
            if let Some(stream) = self.check_out() {
                return Ok((stream, false));
            }
            if let Some(refusal) = &*self.refusal.borrow() {
                return Err(refusal.error());
            }
        }
        let turn = Turn::take(self);
        let opened = match dial().await {
            Ok(stream) => open(stream, heads).await,
            Err(error) => Err(error),
        };
        *self.refusal.borrow_mut() = opened.as_ref().err().map(Refusal::of);
        let connection = opened?;
        let stream = connection.stream();
        self.connections.borrow_mut().push(connection);
        drop(turn);
        Ok((stream, true))
    }

    /// Drops what has been idle since before this tick, and what has closed meanwhile.
    pub(super) fn expire(&self, before: u64) {
        let is_kept = |Connection { sender, state }: &Connection| {
            !sender.is_closed() && (state.open.get() > 0 || state.since.get() >= before)
        };
        self.connections.borrow_mut().retain(is_kept);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    /// Streams that are open keep their connections until they end.
    pub(super) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }
}

/// Runs a connection in a task of its own.
async fn open(stream: ReplicaStream, heads: HeadLimits) -> Result<Connection, ForwardError> {
    let mut builder = http2::Builder::new(Tasks);
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(FIRST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(heads.bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| ForwardError::Connect(io::Error::other(error)))?;
    let driver = RefCell::new(Some(Box::pin(connection)));
    let state = Rc::new(State { driver, open: Cell::new(0), since: Cell::new(0), is_settled: Cell::new(false) });
    let driven = Rc::clone(&state);
    // How it ends is told to whoever awaits a response.
    tokio::task::spawn_local(poll_fn(move |cx| driven.poll(cx)));
    Ok(Connection { sender, state })
}

// === impl Connection, State, Stream ===

impl Connection {
    fn stream(&self) -> Stream {
        self.state.open.set(self.state.open.get() + 1);
        Stream { sender: self.sender.clone(), state: Rc::clone(&self.state) }
    }
}

impl State {
    fn has_room(&self) -> bool {
        let takes = |driver: &Pin<Box<Driver>>| match self.is_settled.get() {
            true => driver.current_max_send_streams().min(STREAMS),
            false => STREAMS,
        };
        self.open.get() < self.driver.borrow().as_ref().map_or(0, takes)
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut driver = self.driver.borrow_mut();
        if driver.as_mut().is_none_or(|driver| driver.as_mut().poll(cx).is_ready()) {
            *driver = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Stream {
    /// The response is over.
    pub(in crate::proxy) fn end(self, tick: u64) {
        self.state.since.set(tick);
        self.state.is_settled.set(true);
    }

    /// Sends a request and waits for the head of its response.
    pub(in crate::proxy) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        self.sender.try_send_request(request)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.state.open.set(self.state.open.get() - 1);
    }
}

// === impl Refusal ===

impl Refusal {
    fn of(error: &ForwardError) -> Self {
        match error {
            ForwardError::Connect(error) => Self::Connect(error.kind()),
            ForwardError::ReplicaTls(error) => Self::Tls(error.to_string()),
            ForwardError::NoAuthorities => Self::NoAuthorities,
            _ => Self::Timeout,
        }
    }

    fn error(&self) -> ForwardError {
        match self {
            Self::Connect(kind) => ForwardError::Connect((*kind).into()),
            Self::Tls(error) => ForwardError::ReplicaTls(io::Error::other(error.clone())),
            Self::NoAuthorities => ForwardError::NoAuthorities,
            Self::Timeout => ForwardError::ConnectTimeout,
        }
    }
}

// === impl Turn ===

impl<'s> Turn<'s> {
    fn take(shared: &'s Shared) -> Self {
        shared.is_dialling.set(true);
        // Whoever has it may be cancelled, and then nothing is known.
        *shared.refusal.borrow_mut() = None;
        Self(shared)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_dialling.set(false);
        self.0.dialled.notify_waiters();
    }
}

// === impl Tasks ===

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}
