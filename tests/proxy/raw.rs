//! Bytes that no well-behaved client or replica sends. Each case says what the client gets and which bytes the replica
//! saw: a request is refused whole, or it arrives in a form that has one reading only.
//!
//! Whatever a case sends, a hidden request may follow it on the wire. Nobody may ever take that for a part of the case,
//! nor a part of the case for a request.

mod chunks;
mod connections;
mod framing;
mod heads;
mod recorder;
mod replies;
mod scripted;
mod surprises;
mod targets;
mod trailers;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::raw::recorder::Recorder;
use crate::support::{Client, Fixture};

/// Would be answered if the bytes before it were taken for a whole request of a connection that goes on.
const HIDDEN: &[u8] = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// How long the replica's view may take to settle behind the client's.
const SETTLING: Duration = Duration::from_secs(5);

/// A proxy before a replica that writes down what it gets. Gathers what went otherwise than a case says, and fails the
/// test with all of it at the end.
pub(crate) struct Watched {
    fixture: Fixture,
    recorder: Recorder,
    wrong: RefCell<Vec<String>>,
}

// === impl Watched ===

impl Watched {
    pub(crate) async fn start() -> Self {
        let recorder = Recorder::start().await;
        let fixture = Fixture::start(&[recorder.address()]).await;
        Self { fixture, recorder, wrong: RefCell::default() }
    }

    /// The request is answered with this status, its connection ends, and the replica sees nothing of it.
    pub(crate) async fn refuses(&self, status: u16, sent: &[u8]) {
        self.case(sent, &[status], &[]).await;
    }

    /// The request arrives in this form, and its connection goes on.
    pub(crate) async fn passes(&self, sent: &[u8], seen: &str) {
        self.case(sent, &[200, 200], &[seen, "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"]).await;
    }

    /// The request arrives in this form, and nothing can follow it on its connection.
    pub(crate) async fn passes_last(&self, sent: &[u8], seen: &str) {
        self.case(sent, &[200], &[seen]).await;
    }

    /// The request turns out to be none when its head has gone on. The replica sees so much of it, and sees that it
    /// broke off.
    pub(crate) async fn breaks(&self, status: u16, sent: &[u8], seen: &str) {
        self.case(sent, &[status], &[&format!("{seen}<cut>")]).await;
    }

    /// The same, and how much of this the replica sees depends on how it arrives.
    pub(crate) async fn breaks_within(&self, status: u16, sent: &[u8], most: &str) {
        let is_part = |seen: &[String]| {
            let [seen] = seen else { return false };
            seen.strip_suffix("<cut>").is_some_and(|part| most.starts_with(part))
        };
        self.compare(sent, &[status], is_part, most).await;
    }

    /// Sends the bytes with the hidden request behind them, and compares: the statuses of all answers, two of them where
    /// the connection goes on, and all that the replica sees.
    pub(crate) async fn case(&self, sent: &[u8], statuses: &[u16], messages: &[&str]) {
        self.compare(sent, statuses, |seen| seen == messages, &format!("{messages:?}")).await;
    }

    async fn compare(&self, sent: &[u8], statuses: &[u16], is_right: impl Fn(&[String]) -> bool, expected: &str) {
        let mut client = Client::connect(self.fixture.port).await;
        client.stream.write_all(&[sent, HIDDEN].concat()).await.unwrap();
        let method = String::from_utf8_lossy(sent.split(|byte| *byte == b' ').next().unwrap()).into_owned();
        let mut answered = Vec::new();
        while answered.len() < 2
            && let Some(response) = client.response(&method).await
        {
            answered.push(response.status);
        }
        let deadline = Instant::now() + SETTLING;
        while !is_right(&self.recorder.seen()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // What was sent before this on the same worker has arrived, too.
        let mut last = Client::connect(self.fixture.port).await;
        assert_eq!(last.get("/last", &["Host: a"]).await.status, 200);
        let mut seen = self.recorder.take();
        assert_eq!(seen.pop().unwrap(), "GET /last HTTP/1.1\r\nhost: a\r\n\r\n");
        if answered != statuses || !is_right(&seen) {
            let sent = sent.escape_ascii();
            let wrong = format!("{sent}\n  got {answered:?} and not {statuses:?}\n  {seen:?}\n  {expected}");
            self.wrong.borrow_mut().push(wrong);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let wrong = self.wrong.take();
        assert!(wrong.is_empty() || std::thread::panicking(), "{}", wrong.join("\n"));
    }
}
