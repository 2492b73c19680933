//! One client connection: its task, and what its requests share.
//!
//! A connection of HTTP/1 has one exchange at a time, one of HTTP/2 as many as it has open streams. So what belongs to
//! an exchange (its phase and the time it has, the copy of its head) is a [`Lane`]: a connection of HTTP/1 has one for
//! life, which shares the connection's watch, and each stream of HTTP/2 has its own.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::proxy::http2::streams::{OpenStream, Streams};
use crate::proxy::retry::Replay;
use crate::proxy::socket::{ClientIo, Protocol, Socket};
use crate::proxy::watch::{Phase, Watch};
use crate::proxy::worker::Worker;
use crate::proxy::{http2, service};

/// What all requests of a connection share.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    /// The connection's own time.
    pub(super) watch: Arc<Watch>,
    /// The client's address as text: the key of `sourceIp`, and X-Forwarded-For.
    pub(super) peer: HeaderValue,
    /// Where it came in.
    pub(super) port: u16,
    /// How long it may stay idle, by the last route that it used.
    pub(super) idle: Cell<Duration>,
    /// None, where it speaks HTTP/1.
    pub(super) streams: Streams,
    /// Its port has been withdrawn.
    withdrawn: Rc<Cell<bool>>,
}

/// A place for one exchange at a time.
pub(super) struct Lane {
    pub(super) client: Rc<Client>,
    pub(super) watch: Arc<Watch>,
    /// The memory for heads that may have to be sent again.
    pub(super) replay: RefCell<Replay>,
    /// Of a stream, its place among the connection's.
    stream: Option<OpenStream>,
}

/// Serves a connection in a task of its own until it ends.
pub(super) fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr, port: u16, withdrawn: &Rc<Cell<bool>>) {
    // A failure means that the connection is gone already; the first read will say so.
    let _ = stream.set_nodelay(true);
    let client = Client::new(worker, peer, port, withdrawn);
    worker.spawn(&client, run(Rc::clone(&client), stream, Protocol::Unknown));
}

/// Speaks the protocol with the client on this stream until either has enough.
pub(super) async fn run<S: Socket>(client: Rc<Client>, stream: S, protocol: Protocol) {
    client.watch.adopt().await;
    let io = ClientIo::new(stream, protocol, &client);
    match protocol {
        Protocol::Http2 => http2::run(client, io).await,
        Protocol::Unknown | Protocol::Http1 => {
            if let Some(io) = http1(&client, io).await {
                http2::run(client, io).await;
            }
        }
    }
}

/// Returns the stream if the client turns out to speak HTTP/2.
async fn http1<S: Socket>(client: &Rc<Client>, io: ClientIo<S>) -> Option<ClientIo<S>> {
    let watch = &client.watch;
    let service = {
        let lane = Rc::new(Lane::of_connection(client));
        service_fn(move |request| service::handle(Rc::clone(&lane), request))
    };
    let mut connection = client.worker.http1.serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut is_ending = false;
    poll_fn(|cx| {
        let mut connection = Pin::new(&mut connection);
        if watch.is_expired() {
            match watch.phase() {
                // After the poll, so that a request which has arrived already is answered.
                Phase::Idle => {}
                // Their request's future sees it and answers.
                Phase::Upload | Phase::Await => {}
                Phase::Stream => {
                    watch.mark_broken();
                    return Poll::Ready(());
                }
                Phase::Head | Phase::Tunnel => return Poll::Ready(()),
                Phase::Vacant | Phase::Shared => {}
            }
        }
        // How it ends concerns nobody: a client may leave when it likes, and what a replica did is known already.
        if connection.as_mut().poll(cx).is_ready() || watch.phase() == Phase::Vacant {
            return Poll::Ready(());
        }
        if watch.is_expired() && watch.phase() == Phase::Idle {
            connection.as_mut().graceful_shutdown();
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // Its client does not take the rest of the last response. Where only the drain cut its time short, it has as
            // long for that as ever.
            if !client.worker.is_draining() || std::mem::replace(&mut is_ending, true) {
                watch.mark_broken();
                return Poll::Ready(());
            }
            watch.enter(Phase::Idle, client.idle.get());
        }
        Poll::Pending
    })
    .await;
    let turned = watch.phase() == Phase::Vacant;
    turned.then(|| connection.into_parts()).flatten().map(|parts| parts.io.into_inner())
}

fn address_text(peer: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&peer.to_canonical().to_string()).expect("addresses are written in visible ASCII")
}

// === impl Client ===

impl Client {
    pub(super) fn new(worker: &Rc<Worker>, peer: IpAddr, port: u16, withdrawn: &Rc<Cell<bool>>) -> Rc<Self> {
        let config = &worker.config;
        worker.shard.accepted.add(1);
        Rc::new(Self {
            worker: Rc::clone(worker),
            watch: Arc::new(Watch::new(config.client_idle_timeout, config.header_read_timeout)),
            peer: address_text(peer),
            port,
            idle: Cell::new(config.client_idle_timeout),
            streams: Streams::default(),
            withdrawn: Rc::clone(withdrawn),
        })
    }

    /// Whether the next response has to be the last.
    pub(super) fn is_closing(&self) -> bool {
        self.withdrawn.get() || self.worker.is_draining()
    }
}

// === impl Lane ===

impl Lane {
    /// The only one of a connection.
    fn of_connection(client: &Rc<Client>) -> Self {
        let watch = Arc::clone(&client.watch);
        Self { client: Rc::clone(client), watch, replay: RefCell::default(), stream: None }
    }

    /// That of a new stream.
    pub(super) fn of_stream(client: &Rc<Client>) -> Self {
        let stream = OpenStream::new(client);
        let watch = Arc::clone(stream.watch());
        Self { client: Rc::clone(client), watch, replay: RefCell::default(), stream: Some(stream) }
    }

    /// Whether other exchanges share its connection.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.is_some()
    }
}
