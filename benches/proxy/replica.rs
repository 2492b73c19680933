//! The replicas: as cheap as they can be, so that proxies are the limit and not they. They say who they are, and count.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::cores::Cores;

/// Sizes of answers, by path. Paths below `/key/` are answered like `/`.
const SIZES: [(&str, usize); 3] = [("/", 0), ("/1k", 1 << 10), ("/64k", 64 << 10)];
/// Answers what was asked, as it arrived.
pub(crate) const HEAD: &str = "/head";
/// Answers how many requests there were with an answer of a certain size, and on how many connections.
pub(crate) const COUNTS: &str = "/counts";
/// Asked by Ringhold.
pub(crate) const HEALTH: &str = "/heartbeat";
/// Names the replica, in each answer.
pub(crate) const NAME: &str = "X-Replica";

/// What its connections share.
struct Replica {
    port: u16,
    answers: Vec<(&'static str, Vec<u8>)>,
    connections: Cell<u64>,
    requests: Cell<u64>,
}

/// What of a request's head matters here.
struct Request {
    path: String,
    head_bytes: usize,
    body_bytes: usize,
}

/// Serves on the load's core until it is killed.
pub(crate) fn run(port: u16) -> anyhow::Result<()> {
    Cores::Load.bind()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let answers = SIZES.iter().map(|(path, size)| (*path, answer(port, &vec![b'x'; *size]))).collect();
    let replica = Rc::new(Replica { port, answers, connections: Cell::new(0), requests: Cell::new(0) });
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let replica = Rc::clone(&replica);
            // A connection that breaks is the proxy's affair.
            tokio::task::spawn_local(async move { drop(replica.serve(stream).await) });
        }
    })
}

// === impl Replica ===

impl Replica {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; 32 << 10];
        let (mut filled, mut is_counted) = (0, false);
        loop {
            let request = loop {
                match Request::parse(&buffer[..filled])? {
                    Some(request) if filled >= request.head_bytes + request.body_bytes => break request,
                    _ if filled == buffer.len() => return Err(ErrorKind::OutOfMemory.into()),
                    _ => {}
                }
                match stream.read(&mut buffer[filled..]).await? {
                    0 => return Ok(()),
                    read => filled += read,
                }
            };
            let Request { path, head_bytes, body_bytes } = request;
            let path = if path.starts_with("/key/") { "/" } else { &path };
            match self.answers.iter().find(|(known, _)| *known == path) {
                Some((_, answer)) => {
                    self.requests.set(self.requests.get() + 1);
                    self.connections.set(self.connections.get() + u64::from(!is_counted));
                    is_counted = true;
                    stream.write_all(answer).await?;
                }
                None => stream.write_all(&self.rare(path, &buffer[..head_bytes])).await?,
            }
            buffer.copy_within(head_bytes + body_bytes..filled, 0);
            filled -= head_bytes + body_bytes;
        }
    }

    fn rare(&self, path: &str, head: &[u8]) -> Vec<u8> {
        match path {
            HEALTH => answer(self.port, b""),
            HEAD => answer(self.port, head),
            COUNTS => answer(self.port, format!("{} {}", self.connections.get(), self.requests.get()).as_bytes()),
            _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    }
}

// === impl Request ===

impl Request {
    /// None while the head is not complete. Chunks are not understood: no proxy need make any of what has a length.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let httparse::Status::Complete(head_bytes) = parsed else { return Ok(None) };
        let mut body_bytes = 0;
        for header in &*request.headers {
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(ErrorKind::Unsupported.into());
            }
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = str::from_utf8(header.value).ok().and_then(|value| value.parse().ok());
                body_bytes = length.ok_or(ErrorKind::InvalidData)?;
            }
        }
        Ok(Some(Self { path: request.path.unwrap_or_default().to_owned(), head_bytes, body_bytes }))
    }
}

fn answer(port: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\n{NAME}: {port}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
