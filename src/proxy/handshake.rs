//! TLS on a client's connection, in the connection's own task: nobody who connects slowly holds up who comes next.
//!
//! The name that the client asks for (SNI) chooses the LoadBalancer as a request's host would: an exact hostname, else the
//! closest wildcard, else the one that takes any host; without a name only the last. A handshake takes what it found for
//! life: a certificate that changes is for those who come later.

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use rustls::HandshakeKind;
use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use crate::proxy::connection::{self, Client, Secured};
use crate::proxy::metrics::Handshake;
use crate::proxy::socket::{LINGER, LINGER_BYTES, Open, Protocol, Socket};
use crate::proxy::watch::{Phase, Watch};

/// A record that begins a handshake (RFC 8446 §5.1). No request of HTTP begins so.
const HANDSHAKE_RECORD: u8 = 22;
/// Fatal alerts in the clear: `unrecognized_name` (RFC 6066 §3), `internal_error`.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
const INTERNAL_ERROR: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// Bytes that wait in a session for the socket to take them: about one record, for the kernel has a buffer too.
const BUFFER: usize = 16 * 1024;

/// For who speaks plain HTTP here; it has no route yet, and what it asked for is not read.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 64\r\n\
    cache-control: no-store\r\n\
    connection: close\r\n\
    x-ringhold-reason: PlainHttp\r\n\
    \r\n\
    this port speaks HTTPS; begin the URL with https:// (PlainHttp)\n";

/// Shakes hands, for as long as the watch allows, and serves what comes then.
pub(super) async fn run(client: Rc<Client>, stream: TcpStream, open: Open) {
    let watch = &client.watch;
    watch.adopt().await;
    // In a box, so that the connection does not keep room for it.
    let shaken = match in_time(watch, Box::pin(shake_hands(&client, stream))).await {
        Some(shaken) => shaken,
        None => Err(Handshake::Timeout),
    };
    let shard = &client.worker.shard;
    match shaken {
        Ok(stream) => {
            let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            shard.on_handshake(if is_resumed { Handshake::Resumed } else { Handshake::Full });
            watch.enter(Phase::Idle, client.worker.idle(client.idle.get()));
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                // Without a word it is HTTP/1 (RFC 9113 §3.2).
                _ => Protocol::Http1,
            };
            connection::run(client, stream, protocol, open).await;
        }
        Err(outcome) => shard.on_handshake(outcome),
    }
}

/// `None`: the watch has run out.
async fn in_time<T>(watch: &Watch, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending if watch.is_expired() => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await
}

async fn shake_hands(client: &Client, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Handshake> {
    let accepted = match hello(&stream).await {
        Ok(accepted) => accepted,
        Err(Handshake::PlainHttp) => {
            client.watch.enter(Phase::Handshake, LINGER);
            // Only a courtesy; it may have left.
            let _ = in_time(&client.watch, refuse_plain_http(&mut stream)).await;
            return Err(Handshake::PlainHttp);
        }
        Err(outcome) => return Err(outcome),
    };
    let name = accepted.client_hello().server_name().map(str::to_owned);
    let routed = client.worker.find(client.port, name.as_deref().unwrap_or_default());
    let Some(routed) = routed else {
        let _ = stream.try_write(UNRECOGNIZED_NAME); // if it has room, and it has: nothing was written yet
        return Err(Handshake::UnknownName);
    };
    let Some(tls) = routed.route.tls.clone() else {
        let _ = stream.try_write(INTERNAL_ERROR); // the same
        return Err(Handshake::NoCertificate);
    };
    let handshake = StartHandshake::from_parts(accepted, stream);
    let handshake = handshake.into_stream_with(tls.config(), |session| session.set_buffer_limit(Some(BUFFER)));
    let stream = handshake.await.map_err(|error| outcome(&error))?;
    client.secure(Secured { id: routed.route.id.clone(), tls });
    Ok(stream)
}

/// Reads what the client begins with.
async fn hello(stream: &TcpStream) -> Result<Accepted, Handshake> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Bytes { stream, first: None };
    loop {
        stream.readable().await.map_err(|_| Handshake::Closed)?;
        match acceptor.read_tls(&mut bytes) {
            Ok(0) => return Err(Handshake::Closed),
            Ok(_) if bytes.first != Some(HANDSHAKE_RECORD) => return Err(Handshake::PlainHttp),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Handshake::Closed),
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let _ = alert.write_all(&mut bytes); // if it is still there
                return Err(reason(&error));
            }
        }
    }
}

async fn refuse_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    // Closing with something unread would reset, and the reset overtake the answer.
    let mut left = LINGER_BYTES;
    while left > 0 {
        stream.readable().await?;
        match stream.try_read(&mut [0; 4096]) {
            Ok(0) => break,
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn outcome(error: &io::Error) -> Handshake {
    error.get_ref().and_then(|inner| inner.downcast_ref()).map_or(Handshake::Closed, reason)
}

fn reason(error: &rustls::Error) -> Handshake {
    match error {
        rustls::Error::AlertReceived(_) => Handshake::Refused,
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Handshake::Incompatible,
        _ => Handshake::Malformed,
    }
}

/// A socket's bytes as far as they are there.
struct Bytes<'s> {
    stream: &'s TcpStream,
    first: Option<u8>,
}

// === impl Socket ===

impl Socket for TlsStream<TcpStream> {
    const IS_BUFFERED: bool = true;

    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

// === impl Bytes ===

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.try_read(buffer)?;
        self.first = self.first.or(buffer[..count].first().copied());
        Ok(count)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_framed_right() {
        let text = std::str::from_utf8(PLAIN_HTTP).expect("it is ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("it has a head");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{} bytes", body.len());
    }
}
