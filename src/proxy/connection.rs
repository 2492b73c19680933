//! One client connection: its socket, its task, and what all its requests share.

use std::cell::{Cell, OnceCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::model::FleetId;
use crate::proxy::metrics::{Place, Shard};
use crate::proxy::origin::Origin;
use crate::proxy::watch::{Phase, Watch};
use crate::proxy::worker::Worker;
use crate::proxy::{handshake, service};
use crate::routes::Route;
use crate::tls::ServerTls;

/// A client that gets our last answer while it sends may go on so long, and for so many bytes, until it has seen it.
pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 1024 * 1024;

/// What all requests of a connection share.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) watch: Arc<Watch>,
    /// Who it is.
    pub(super) origin: Origin,
    /// Where it came in.
    pub(super) port: u16,
    /// Requests so far.
    requests: Cell<u64>,
    /// How long it may stay idle, by the last route that it used.
    pub(super) idle: Cell<Duration>,
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

/// A byte stream on top of a TCP connection.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The TCP connection below.
    fn tcp(&self) -> &TcpStream;
}

/// Counts a socket for as long as it lives, whether a handshake, a connection or a tunnel has it.
pub(super) struct Open {
    shard: Arc<Shard>,
    /// Counts it for its client.
    _place: Option<Place>,
}

/// The client's stream, telling the watch what moves.
struct ClientIo<S: Socket> {
    stream: S,
    watch: Arc<Watch>,
    _open: Open,
    /// What may still come of a client that has its last answer.
    linger: Option<usize>,
}

/// Serves a connection in a task of its own until it ends.
pub(super) fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr, port: u16, withdrawn: &Rc<Cell<bool>>) {
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
    let watch = Arc::new(Watch::new(config.client_idle_timeout, config.header_read_timeout));
    let client = Rc::new(Client {
        worker: Rc::clone(worker),
        watch: Arc::clone(&watch),
        origin,
        port,
        requests: Cell::default(),
        idle: Cell::new(config.client_idle_timeout),
        withdrawn: Rc::clone(withdrawn),
        secured: OnceCell::new(),
    });
    let open = Open::new(&worker.shard, place);
    if worker.is_tls(port) {
        watch.enter(Phase::Handshake, config.header_read_timeout);
        worker.spawn(&watch, handshake::run(client, stream, open));
    } else {
        worker.spawn(&watch, run(client, stream, open));
    }
}

/// Speaks HTTP on this stream until either side has enough.
pub(super) async fn run<S: Socket>(client: Rc<Client>, stream: S, open: Open) {
    let io = TokioIo::new(ClientIo { stream, watch: Arc::clone(&client.watch), _open: open, linger: None });
    let service = {
        let client = Rc::clone(&client);
        service_fn(move |request| service::handle(Rc::clone(&client), request))
    };
    let connection = client.worker.http1.serve_connection(io, service).with_upgrades();
    let mut connection = pin!(connection);
    let watch = &client.watch;
    watch.adopt().await;
    let mut is_ending = false;
    poll_fn(|cx| {
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
                Phase::Handshake | Phase::Head | Phase::Tunnel => return Poll::Ready(()),
            }
        }
        // How it ends concerns nobody: a client may leave when it likes, and what a replica did is known already.
        if connection.as_mut().poll(cx).is_ready() {
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
}

// === impl Client ===

impl Client {
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

// === impl Socket ===

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

// === impl Open ===

impl Open {
    fn new(shard: &Arc<Shard>, place: Option<Place>) -> Self {
        shard.accepted.add(1);
        Self { shard: Arc::clone(shard), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shard.closed.add(1);
    }
}

// === impl ClientIo ===

impl<S: Socket> ClientIo<S> {
    fn on_write(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.watch.on_wait(),
            Poll::Ready(written) => {
                self.watch.on_move();
                self.watch.on_bytes(*written.as_ref().unwrap_or(&0));
            }
        }
        polled
    }

    /// Waits for the end of a client that may still be sending. Closing with something unread would reset, and the reset
    /// overtake our last answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut left = match self.linger {
            Some(left) => left,
            // In a head is also who sent one that is none.
            None if self.watch.is_unread() || self.watch.phase() == Phase::Head => {
                self.watch.enter(Phase::Head, LINGER);
                LINGER_BYTES
            }
            None => 0,
        };
        let mut bytes = [0; 4096];
        while left > 0 {
            self.linger = Some(left);
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncRead for ClientIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.watch.on_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.on_write(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.on_write(polled)
    }
}

impl<S: Socket> Drop for ClientIo<S> {
    fn drop(&mut self) {
        if self.watch.is_broken() {
            // Closing with a zero linger time resets, which no client takes for an end.
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}
