//! One client connection: its task, and what its requests share.
//!
//! A connection of HTTP/1 has one exchange at a time, one of HTTP/2 as many as it has open streams. So what belongs to
//! an exchange (its phase and the time it has) is a [`Lane`]: a connection of HTTP/1 has one for
//! life, which shares the connection's watch, and each stream of HTTP/2 has its own.

mod http1;

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};
use tokio::net::TcpStream;

use crate::model::FleetId;
use crate::proxy::balance::Load;
use crate::proxy::errors::Reason;
use crate::proxy::http2::streams::{OpenStream, Streams};
use crate::proxy::message::{Request, Response};
use crate::proxy::metrics::Place;
use crate::proxy::origin::Origin;
use crate::proxy::outcome::{Ended, Outcome};
use crate::proxy::socket::{ClientIo, Open, Protocol, Socket};
use crate::proxy::watch::{Phase, Watch};
use crate::proxy::worker::Worker;
use crate::proxy::{handshake, http2};
use crate::routes::Route;
use crate::tls::ServerTls;

/// What all requests of a connection share.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    /// The connection's own time.
    pub(super) watch: Arc<Watch>,
    /// Who it is.
    pub(super) origin: Origin,
    /// Where it came in.
    pub(super) port: u16,
    /// Requests so far.
    requests: Cell<u64>,
    /// How long it may stay idle, by the last route that it used.
    pub(super) idle: Cell<Duration>,
    /// None, where it speaks HTTP/1.
    pub(super) streams: Streams,
    /// Its port has been withdrawn.
    withdrawn: Rc<Cell<bool>>,
    /// Empty, where it speaks in the clear.
    secured: OnceCell<Secured>,
}

/// Whom a client shook hands with.
pub(super) struct Secured {
    pub(super) id: FleetId,
    pub(super) tls: ServerTls,
}

/// A place for one exchange at a time.
pub(super) struct Lane {
    pub(super) client: Rc<Client>,
    pub(super) watch: Arc<Watch>,
    /// Of a stream, its place among the connection's.
    stream: Option<OpenStream>,
    /// What comes before the response, for whoever writes it.
    interims: RefCell<Vec<Response<()>>>,
}

/// Serves a connection in a task of its own until it ends.
pub(super) fn serve(
    worker: &Rc<Worker>,
    stream: TcpStream,
    peer: IpAddr,
    port: u16,
    withdrawn: &Rc<Cell<bool>>,
    load: Load,
) {
    // A failure means that the connection is gone already; the first read will say so.
    let _ = stream.set_nodelay(true);
    let config = &worker.config;
    let origin = Origin::new(peer, &config.trusted_proxies, config.forwarded);
    let place = match config.max_connections_per_client {
        limit if limit == 0 || origin.is_trusted() => None,
        limit => match Place::take(&worker.shard, peer, limit) {
            Some(place) => Some(place),
            None => return worker.shard.refused.add(1),
        },
    };
    let open = Open::new(&worker.shard, place, load);
    let client = Client::new(worker, origin, port, withdrawn);
    if worker.is_tls(port) {
        client.watch.enter(Phase::Handshake, config.header_read_timeout);
        worker.spawn(&client, handshake::run(Rc::clone(&client), stream, open));
    } else {
        worker.spawn(&client, run(Rc::clone(&client), stream, Protocol::Unknown, open));
    }
}

/// Speaks the protocol with the client on this stream until either has enough.
pub(super) async fn run<S: Socket>(client: Rc<Client>, stream: S, protocol: Protocol, open: Open) {
    client.watch.adopt().await;
    let io = ClientIo::new(stream, protocol, &client, open);
    match protocol {
        // In a box, so that connections of HTTP/1 do not keep room for it.
        Protocol::Http2 => Box::pin(http2::run(client, io)).await,
        Protocol::Unknown | Protocol::Http1 => {
            if let Some(io) = http1::run(&client, io).await {
                Box::pin(http2::run(client, io)).await;
            }
        }
    }
}

// === impl Client ===

impl Client {
    fn new(worker: &Rc<Worker>, origin: Origin, port: u16, withdrawn: &Rc<Cell<bool>>) -> Rc<Self> {
        let config = &worker.config;
        Rc::new(Self {
            worker: Rc::clone(worker),
            watch: Arc::new(Watch::new(worker.idle(config.client_idle_timeout), config.header_read_timeout)),
            origin,
            port,
            requests: Cell::default(),
            idle: Cell::new(config.client_idle_timeout),
            streams: Streams::default(),
            withdrawn: Rc::clone(withdrawn),
            secured: OnceCell::new(),
        })
    }

    /// Whether the next response has to be the last.
    pub(super) fn is_closing(&self) -> bool {
        let limit = self.worker.config.max_requests_per_connection;
        let was_last = limit != 0 && self.requests.get() >= limit;
        was_last || self.withdrawn.get() || self.worker.is_draining()
    }

    /// One more request has come.
    pub(super) fn on_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// It has sent what is no request, and is told so in so many bytes.
    fn on_no_request(&self, reason: Reason, bytes_out: usize) {
        let (status, outcome) = (reason.status().as_u16(), Outcome::Own(reason));
        let ended = Ended { status, outcome, bytes_in: 0, bytes_out: bytes_out as u64, took: Duration::ZERO };
        self.worker.shard.unrouted.add(&ended);
        // Whoever looks sees dashes.
        let mut unread = Request::new(());
        *unread.method_mut() = Method::from_bytes(b"-").expect("it is one");
        *unread.uri_mut() = Uri::from_static("-");
        self.worker.sights.begin(&unread, || self.origin.peer().clone()).end(self, &ended);
    }

    /// TLS is spoken from now on.
    pub(super) fn secure(&self, secured: Secured) {
        // A connection has one handshake.
        let _ = self.secured.set(secured);
    }

    /// What requests come by, for X-Forwarded-Proto.
    pub(super) fn scheme(&self) -> &'static str {
        if self.secured.get().is_some() { "https" } else { "http" }
    }

    /// Whether a request on this connection may be for this route. Of another LoadBalancer on the port only, if the client
    /// has seen the certificate there, too, as who reuses one connection for several names has; else it must not be
    /// answered in that one's name (RFC 9110 §7.4). What wants TLS is never answered in the clear, nor the other way round.
    pub(super) fn may_ask(&self, route: &Route) -> bool {
        match (self.secured.get(), &route.policy.listener.tls) {
            (None, None) => true,
            (Some(Secured { id, tls }), Some(_)) => {
                *id == route.id || route.tls.as_ref().is_some_and(|theirs| theirs.is_same(tls))
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

// === impl Lane ===

impl Lane {
    /// The only one of a connection.
    fn of_connection(client: &Rc<Client>) -> Self {
        let watch = Arc::clone(&client.watch);
        Self { client: Rc::clone(client), watch, stream: None, interims: RefCell::default() }
    }

    /// That of a new stream.
    pub(super) fn of_stream(client: &Rc<Client>) -> Self {
        let stream = OpenStream::new(client);
        let watch = Arc::clone(stream.watch());
        Self { client: Rc::clone(client), watch, stream: Some(stream), interims: RefCell::default() }
    }

    /// The replica has sent an interim response. hyper can't hand one on to a stream.
    pub(super) fn on_interim(&self, interim: Response<()>) {
        if !self.is_stream() {
            self.interims.borrow_mut().push(interim);
        }
    }

    /// Interim responses that have not been sent.
    fn take_interims(&self) -> Vec<Response<()>> {
        self.interims.take()
    }

    /// Whether other exchanges share its connection.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.is_some()
    }
}
