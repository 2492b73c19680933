//! HTTP/1.1 by hand, because these clients have to know exactly what they have sent when they leave.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    buffer: BytesMut,
    /// Answers so far.
    pub(crate) answers: u32,
    /// Between two reads, for a client that is slow.
    pub(crate) pause: Duration,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Of Ringhold's own answers.
    pub(crate) reason: Option<String>,
    pub(crate) closes: bool,
    body: Length,
}

/// How long a body is.
#[derive(Debug, Clone, Copy)]
enum Length {
    Of(u64),
    Chunked,
    /// As long as the connection.
    Rest,
}

// === impl Wire ===

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new(), answers: 0, pause: Duration::ZERO }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The head of the next answer that is a final one; `None` where the connection ended before it began.
    pub(crate) async fn head(&mut self, is_head: bool) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, length)) = parse(&self.buffer, is_head)? {
                self.buffer.advance(length);
                if head.status >= 200 {
                    self.answers += 1;
                    return Ok(Some(head));
                }
            } else if !self.more().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads the body to its end; how long it was.
    pub(crate) async fn body(&mut self, head: &Head) -> io::Result<u64> {
        match head.body {
            Length::Of(length) => self.skip(length).await,
            Length::Rest => {
                let mut length = self.buffer.len() as u64;
                self.buffer.clear();
                while self.more().await? {
                    length += self.buffer.len() as u64;
                    self.buffer.clear();
                }
                Ok(length)
            }
            Length::Chunked => {
                let mut length = 0;
                loop {
                    let line = self.line().await?;
                    let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
                    let size = size.map_err(|_| io::Error::other(format!("no chunk's size: {line:?}")))?;
                    if size == 0 {
                        while !self.line().await?.is_empty() {}
                        return Ok(length);
                    }
                    length += self.skip(size).await?;
                    if !self.line().await?.is_empty() {
                        return Err(io::Error::other("a chunk is longer than it says"));
                    }
                }
            }
        }
    }

    /// Takes some bytes of the body, if there are any.
    pub(crate) async fn taste(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.more().await?)
    }

    async fn skip(&mut self, length: u64) -> io::Result<u64> {
        let mut left = length;
        loop {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.buffer.advance(now);
            left -= now as u64;
            if left == 0 {
                return Ok(length);
            }
            self.must_more().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(at);
                self.buffer.advance(2);
                return String::from_utf8(line.into()).map_err(io::Error::other);
            }
            self.must_more().await?;
        }
    }

    async fn must_more(&mut self) -> io::Result<()> {
        if self.more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn more(&mut self) -> io::Result<bool> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.buffer.reserve(16 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

fn parse(bytes: &[u8], is_head: bool) -> io::Result<Option<(Head, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let field = |name: &str| {
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()
    };
    let status = response.code.unwrap_or(0);
    let body = match (field("content-length"), field("transfer-encoding")) {
        _ if is_head || matches!(status, 100..200 | 204 | 304) => Length::Of(0),
        (_, Some(_)) => Length::Chunked,
        (Some(length), None) => Length::Of(length.parse().map_err(io::Error::other)?),
        (None, None) => Length::Rest,
    };
    let (reason, closes) = (field("x-ringhold-reason").map(str::to_owned), field("connection") == Some("close"));
    Ok(Some((Head { status, reason, closes, body }, length)))
}
