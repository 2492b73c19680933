//! Every request by its number: what its client made of it, what Ringhold's access log says of it, and which replicas had
//! it. Who joins the three is [`crate::accounts`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What may become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A GET or HEAD without a body for a LoadBalancer that always serves: it must not fail.
    Safe,
    /// What may be sent once only, or has a body: it may break with its replica.
    Once,
    /// Like `Safe`, for a LoadBalancer that comes and goes or is full at times: it may be refused.
    Guest,
}

/// How a request ended for its client. Each is in exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    /// It runs.
    #[default]
    Open,
    /// Its head was not sent to its end, so that it is no request.
    Cut,
    /// Its whole answer came from a replica; a tunnel counts as one.
    Whole(u16),
    /// Its whole answer came from Ringhold, with a reason.
    Own(u16, Word),
    /// The answer began and broke off.
    Broken,
    /// The client left after the whole head, with nothing before it on its connection.
    Left,
    /// The client left while the request waited behind another, or took it back at once: Ringhold may never have read it.
    Withdrawn,
    /// The connection ended and there was no answer.
    Unanswered,
}

/// A word that occurs often: a reason, or a replica's name. Equal words have equal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub(crate) struct Word(u16);

/// What a line of the access log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Line {
    pub(crate) status: u16,
    /// [`Word::NONE`] for a whole answer of a replica.
    pub(crate) reason: Word,
    pub(crate) load_balancer: Word,
    /// Of the last try.
    pub(crate) replica: Word,
    pub(crate) tries: u8,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// On a connection that had answered before.
    pub(crate) reused: bool,
    pub(crate) end: End,
    /// How many lines it has, and what the last one says.
    pub(crate) lines: u8,
    pub(crate) line: Line,
    /// How often replicas noted it, and who did last.
    pub(crate) seen: u8,
    pub(crate) seen_by: Word,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    /// So many have ended for their clients.
    pub(crate) ended: u64,
    /// Lines without a number that a client has given: none of ours.
    pub(crate) strange: Vec<String>,
    words: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
}

// === impl Word ===

impl Word {
    pub(crate) const NONE: Self = Self(0);
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new request's number.
    pub(crate) fn begin(&self, kind: Kind, reused: bool) -> usize {
        let mut book = self.lock();
        let end = End::Open;
        let (line, seen_by) = Default::default();
        book.entries.push(Entry { kind, reused, end, lines: 0, line, seen: 0, seen_by });
        book.entries.len() - 1
    }

    pub(crate) fn end(&self, number: usize, end: End) {
        let mut book = self.lock();
        let entry = &mut book.entries[number];
        assert_eq!(entry.end, End::Open, "{number} ends twice for its client");
        entry.end = end;
        book.ended += 1;
    }

    /// An answer of Ringhold's own.
    pub(crate) fn own(&self, status: u16, reason: &str) -> End {
        End::Own(status, self.lock().word(reason))
    }
}

// === impl Book ===

impl Book {
    pub(crate) fn word(&mut self, text: &str) -> Word {
        if self.words.is_empty() {
            self.words.push("".into());
            self.numbers.insert("".into(), 0);
        }
        if let Some(number) = self.numbers.get(text) {
            return Word(*number);
        }
        let number = u16::try_from(self.words.len()).expect("there are far fewer replicas");
        self.words.push(text.into());
        self.numbers.insert(text.into(), number);
        Word(number)
    }

    pub(crate) fn text(&self, Word(number): Word) -> &str {
        self.words.get(usize::from(number)).map_or("", |word| word)
    }

    /// The request whose number stands at the end of this.
    pub(crate) fn numbered(&mut self, text: &str) -> Option<&mut Entry> {
        let number = text.rsplit_once("id=")?.1.parse::<usize>().ok()?;
        self.entries.get_mut(number)
    }
}
