//! Single questions, to see that a proxy does what the figures are to be about.

mod http2;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::{ClientConnection, StreamOwned};

use crate::certificate::Certificate;
use crate::peers::Front;
use crate::replica::NAME;

/// So long may any answer take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a port.
pub(crate) enum Client {
    /// Over TLS or not.
    Http1(Box<dyn Stream>),
    Http2(http2::Client),
}

pub(crate) trait Stream: Read + Write {}

/// What a replica said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its port.
    pub(crate) replica: u16,
    pub(crate) body: String,
}

impl<T: Read + Write> Stream for T {}

// === impl Client ===

impl Client {
    /// Over HTTP/1.1 without TLS.
    pub(crate) fn connect(port: u16) -> anyhow::Result<Self> {
        Ok(Self::Http1(Box::new(connect(port)?)))
    }

    /// As clients of this kind do.
    pub(crate) fn connect_as(front: Front, port: u16, certificate: &Certificate) -> anyhow::Result<Self> {
        match front {
            Front::Http1 => Self::connect(port),
            Front::Http2 => http2::Client::connect(port).map(Self::Http2),
            Front::Tls => {
                let session = ClientConnection::new(Arc::clone(&certificate.trust), "localhost".try_into()?)?;
                Ok(Self::Http1(Box::new(StreamOwned::new(session, connect(port)?))))
            }
        }
    }

    /// The connection can be asked again. Anything but 200 from a replica is an error.
    pub(crate) fn ask(&mut self, path: &str, key: &str) -> anyhow::Result<Answer> {
        match self {
            Self::Http1(stream) => ask(stream, path, key),
            Self::Http2(client) => client.ask(path, key),
        }
    }
}

fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut impl Stream, path: &str, key: &str) -> anyhow::Result<Answer> {
    stream.write_all(get(path, key).as_bytes())?;
    let (mut buffer, mut filled) = (vec![0; 128 << 10], 0);
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the connection was closed amid an answer");
        filled += read;
        if let Some((answer, _)) = parse(&buffer[..filled])? {
            return Ok(answer);
        }
    }
}

/// A request.
pub(crate) fn get(path: &str, key: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Key: {key}\r\n\r\n")
}

/// The answer and its length, once it is there; anything but 200 is an error.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    ensure!(response.code == Some(200), "an answer with status {}", response.code.unwrap_or_default());
    let number = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let value = header.and_then(|header| str::from_utf8(header.value).ok());
        value.and_then(|value| value.parse::<u32>().ok()).with_context(|| format!("an answer without {name}"))
    };
    let replica = u16::try_from(number(NAME)?)?;
    let end = head + usize::try_from(number("Content-Length")?)?;
    let body = bytes.get(head..end).map(|body| String::from_utf8_lossy(body).into_owned());
    Ok(body.map(|body| (Answer { replica, body }, end)))
}
