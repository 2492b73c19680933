//! A replica that writes down what it is sent, and reads it as strictly as it can be read.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Replica;

/// What the proxy adds to every request of these tests.
const ADDED: [&str; 4] = ["via: 1.", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: a", "x-forwarded-proto: http"];

/// Answers every message with `ok` and keeps it.
pub(crate) struct Recorder {
    replica: Replica,
    messages: Arc<Mutex<Vec<String>>>,
}

// === impl Recorder ===

impl Recorder {
    pub(crate) async fn start() -> Self {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&messages);
        let replica = Replica::raw(move |stream| record(stream, Arc::clone(&written))).await;
        Self { replica, messages }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.replica.address
    }

    /// The messages so far, byte for byte, except that fields are ordered by name and those that the proxy adds are left
    /// out. One that broke off ends with `<cut>`.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    /// The same, and forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.messages.lock().unwrap())
    }
}

async fn record(mut stream: TcpStream, messages: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    loop {
        while let Some(length) = message(&bytes) {
            let message: Vec<u8> = bytes.drain(..length).collect();
            messages.lock().unwrap().push(shown(&message));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            if !bytes.is_empty() {
                messages.lock().unwrap().push(format!("{}<cut>", shown(&bytes)));
            }
            return;
        }
    }
}

/// The length of the message at the beginning, once all of it is there. What RFC 9112 leaves no recipient a choice
/// about is all that is taken here.
fn message(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let lines = std::str::from_utf8(&bytes[..head - 4]).expect("it is UTF-8").split("\r\n");
    let fields = lines.skip(1).map(|line| line.split_once(": ").expect("a name and a value"));
    let framing: Vec<_> = fields.filter(|(name, _)| matches!(*name, "content-length" | "transfer-encoding")).collect();
    match framing[..] {
        [] => Some(head),
        [("content-length", length)] => {
            let number: usize = length.parse().expect("it is a number");
            assert_eq!(number.to_string(), length, "no two ways to write it");
            (bytes.len() >= head + number).then_some(head + number)
        }
        [("transfer-encoding", "chunked")] => Some(head + chunked(&bytes[head..])?),
        ref twice => panic!("two readings: {twice:?}"),
    }
}

fn chunked(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[at..at + line]).expect("it is UTF-8");
        let size = usize::from_str_radix(digits, 16).expect("it is a number");
        assert_eq!(format!("{size:x}"), digits.to_ascii_lowercase(), "no two ways to write it");
        at += line + 2;
        if size == 0 {
            // Trailers, and the empty line.
            return if bytes.get(at..at + 2)? == b"\r\n" {
                Some(at + 2)
            } else {
                Some(at + find(&bytes[at..], b"\r\n\r\n")? + 4)
            };
        }
        let end = bytes.get(at + size..at + size + 2)?;
        assert_eq!(end, b"\r\n");
        at += size + 2;
    }
}

fn shown(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).expect("it is UTF-8");
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return text };
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    for added in ADDED {
        let at =
            lines.iter().position(|line| line.starts_with(added)).unwrap_or_else(|| panic!("no {added} in {head}"));
        let line = lines.remove(at);
        assert!(line == added || matches!(line, "via: 1.0 ringhold" | "via: 1.1 ringhold"), "{line}");
    }
    lines[1..].sort_by_key(|line| line.split(':').next());
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
