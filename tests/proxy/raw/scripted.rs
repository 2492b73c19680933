//! A replica that answers with any bytes at all.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture, Replica, read_head, until_eof};

/// What the replica does behind its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Waits for the next request.
    Stays,
    /// Ends the connection.
    Closes,
}

/// A proxy before a replica that answers as it is told. Gathers what went otherwise than a case says, and fails the test
/// with all of it at the end.
pub(crate) struct Scripted {
    pub(crate) fixture: Fixture,
    pub(crate) replica: Replica,
    answer: Arc<Mutex<(Vec<u8>, Then)>>,
    wrong: RefCell<Vec<String>>,
}

// === impl Scripted ===

impl Scripted {
    pub(crate) async fn start() -> Self {
        let answer = Arc::new(Mutex::new((Vec::new(), Then::Stays)));
        let told = Arc::clone(&answer);
        let replica = Replica::raw(move |mut stream| {
            let told = Arc::clone(&told);
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    let (answer, then) = told.lock().unwrap().clone();
                    // The proxy may have had enough.
                    if stream.write_all(&answer).await.is_err() || then == Then::Closes {
                        return;
                    }
                }
            }
        })
        .await;
        // Nobody is ejected for what he is told to do.
        let fixture = Fixture::start(&[replica.address]).await;
        Self { fixture, replica, answer, wrong: RefCell::default() }
    }

    /// The client sees no word of this answer, but a 502.
    pub(crate) async fn refuses(&self, method: &str, answer: &[u8]) {
        for then in [Then::Stays, Then::Closes] {
            let seen = self.seen(method, answer, then).await;
            let is_refusal = seen.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && seen.contains("BadResponse");
            if !is_refusal {
                self.note(answer, "a 502", &seen);
            }
        }
    }

    /// The client sees exactly this of the answer, in the order of the fields' names.
    pub(crate) async fn shows(&self, method: &str, answer: &[u8], then: Then, expected: &str) {
        let seen = self.seen(method, answer, then).await;
        if seen != expected {
            self.note(answer, expected, &seen);
        }
    }

    /// What a client gets that asks once; `<reset>` behind it where the connection ends so.
    pub(crate) async fn seen(&self, method: &str, answer: &[u8], then: Then) -> String {
        *self.answer.lock().unwrap() = (answer.to_vec(), then);
        let mut client = Client::connect(self.fixture.port).await;
        client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n")).await;
        match until_eof(&mut client.stream).await {
            Ok(bytes) => ordered(&String::from_utf8(bytes).unwrap()),
            Err(_) => "<reset>".to_owned(),
        }
    }

    pub(crate) fn tell(&self, answer: &[u8]) {
        *self.answer.lock().unwrap() = (answer.to_vec(), Then::Stays);
    }

    fn note(&self, answer: &[u8], expected: &str, seen: &str) {
        let wrong = format!("{}\n  got  {seen:?}\n  not  {expected:?}", answer.escape_ascii());
        self.wrong.borrow_mut().push(wrong);
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let wrong = self.wrong.take();
        assert!(wrong.is_empty() || std::thread::panicking(), "{}", wrong.join("\n"));
    }
}

/// Orders the fields, and leaves out what every answer here has.
fn ordered(text: &str) -> String {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return text.to_owned() };
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines.retain(|line| !line.starts_with("date: ") && *line != "connection: close");
    lines[1..].sort_by_key(|line| line.split(':').next());
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
