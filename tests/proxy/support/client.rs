//! A client that says exactly what it is told to, and reads exactly what comes.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing in these tests takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// One connection to the proxy.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// A response as it came, its body freed of its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The whole head, names in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One GET on a connection of its own; `fields` are lines without their ends.
pub(crate) async fn get(port: u16, target: &str, fields: &[&str]) -> Response {
    let mut client = Client::connect(port).await;
    client.get(target, fields).await
}

/// All that comes until the other side closes; `Err` if it resets.
pub(crate) async fn until_eof(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the other side closes in time")?;
    Ok(bytes)
}

// === impl Client ===

impl Client {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn get(&mut self, target: &str, fields: &[&str]) -> Response {
        self.request("GET", target, fields, "").await
    }

    pub(crate) async fn request(&mut self, method: &str, target: &str, fields: &[&str], body: &str) -> Response {
        let host = if fields.iter().any(|field| field.to_ascii_lowercase().starts_with("host:")) {
            ""
        } else {
            "Host: a.example\r\n"
        };
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(&format!("{method} {target} HTTP/1.1\r\n{host}{fields}\r\n{body}")).await;
        self.response(method).await.expect("the proxy answers")
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next response, past interim ones; `None` where the connection ends before it is complete.
    pub(crate) async fn response(&mut self, method: &str) -> Option<Response> {
        let (head, status) = loop {
            let head = self.head().await?;
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            if status == 101 || status >= 200 {
                break (head, status);
            }
        };
        let body = if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            String::new()
        } else if head.contains("transfer-encoding: chunked\r\n") {
            self.chunked().await?
        } else if let Some((_, rest)) = head.split_once("content-length: ") {
            let length: usize = rest.split('\r').next().unwrap().parse().unwrap();
            self.fill(length).await?;
            String::from_utf8(self.buffer.drain(..length).collect()).unwrap()
        } else {
            while self.more().await {}
            String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
        };
        Some(Response { status, head, body })
    }

    /// The next head, lower case.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let end = self.find(b"\r\n\r\n").await?;
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        Some(String::from_utf8(head).unwrap().to_ascii_lowercase())
    }

    /// The next chunk; empty for the last, `None` where there is none.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let end = self.find(b"\r\n").await?;
        let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
        let length = usize::from_str_radix(String::from_utf8(line).unwrap().trim(), 16).unwrap();
        self.fill(length + 2).await?;
        let mut chunk: Vec<u8> = self.buffer.drain(..length + 2).collect();
        chunk.truncate(length);
        Some(String::from_utf8(chunk).unwrap())
    }

    /// Whether the proxy closes without another byte.
    pub(crate) async fn is_closed_now(&mut self) -> bool {
        !self.more().await && self.buffer.is_empty()
    }

    async fn chunked(&mut self) -> Option<String> {
        let mut body = String::new();
        loop {
            let chunk = self.chunk().await?;
            if chunk.is_empty() {
                return Some(body);
            }
            body.push_str(&chunk);
        }
    }

    async fn find(&mut self, needle: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.buffer.windows(needle.len()).position(|window| window == needle) {
                return Some(at);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn fill(&mut self, length: usize) -> Option<()> {
        while self.buffer.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(())
    }

    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.buffer);
        timeout(PATIENCE, read).await.expect("bytes or an end come in time").is_ok_and(|count| count > 0)
    }
}

// === impl Response ===

impl Response {
    /// A field's value, where it is there.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
