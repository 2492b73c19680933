//! What Ringhold tells: a story for people on standard output, a log for operators on standard error, traces for a collector.

pub mod traces;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The log's filter can't be read.
#[derive(Debug, thiserror::Error)]
#[error("--log-level: {value}: use error, warn, info, debug or trace, or a filter such as ringhold::proxy=debug")]
pub struct BadFilter {
    value: String,
}

/// Lines wait for whoever reads them: a terminal that is held (Ctrl-S) or a pager must not hold Ringhold, so a thread of
/// its own writes them, and when so many wait further ones are dropped and counted.
const WAITING_LINES: usize = 4096;
/// At the end, waiting lines are written for so long at most.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines for people, each under the name that it is about. Copies write to the same place.
#[derive(Debug, Clone)]
pub struct Console {
    colours: bool,
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Everything before this has been written.
    Mark(SyncSender<()>),
}

/// Sends the log to standard error.
///
/// # Errors
/// The filter can't be read.
pub fn init(level: &str, format: LogFormat) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(level).map_err(|_| BadFilter { value: level.to_owned() })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let log: Dispatch = match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).finish().into(),
        LogFormat::Json => log.json().finish().into(),
    };
    // Not by `init`: that also takes the records of the `log` crate wherever any crate of a build asks for it.
    tracing::dispatcher::set_global_default(log).expect("the log is set up once");
    Ok(())
}

/// Says why Ringhold ends without having done what it should.
pub fn report(error: &str) {
    // Standard error is the last place to say it; if nobody listens there, nobody does.
    let _ = writeln!(io::stderr().lock(), "ringhold: {error}");
}

// === impl Console ===

impl Console {
    /// The process's standard output, with colours where a terminal shows it and `NO_COLOR` is not set.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(io::stdout().is_terminal(), |waiting, dropped| write_all(waiting, dropped, io::stdout().lock()))
    }

    /// The same on standard error, where standard output is somebody else's. The log is written there, too.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(io::stderr().is_terminal(), |waiting, dropped| write_all(waiting, dropped, io::stderr()))
    }

    fn new(is_terminal: bool, write_all: impl FnOnce(&Receiver<Message>, &AtomicU64) + Send + 'static) -> Self {
        let colours = is_terminal && std::env::var_os("NO_COLOR").is_none();
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        thread::spawn(move || write_all(&waiting, &count));
        Self { colours, lines, dropped }
    }

    /// A line of the story.
    pub fn say(&self, about: impl fmt::Display, line: impl fmt::Display) {
        if self.colours {
            self.write(format!("\x1b[1;36m{about}\x1b[0m  {line}\n"));
        } else {
            self.write(format!("{about}  {line}\n"));
        }
    }

    /// A line that a replica wrote.
    pub fn relay(&self, replica: impl fmt::Display, line: impl fmt::Display) {
        if self.colours {
            self.write(format!("\x1b[2m[{replica}] {line}\x1b[0m\n"));
        } else {
            self.write(format!("[{replica}] {line}\n"));
        }
    }

    /// Returns once what has been said so far is written, or nobody has taken it for a second.
    pub fn finish(&self) {
        let (written, is_written) = sync_channel(1);
        if self.lines.try_send(Message::Mark(written)).is_ok() {
            let _ = is_written.recv_timeout(LAST_WORDS);
        }
    }

    fn write(&self, line: String) {
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whole lines only, so that lines of several threads do not mix. Where nobody reads them any more, nobody misses them.
fn write_all(waiting: &Receiver<Message>, dropped: &AtomicU64, mut out: impl Write) {
    for message in waiting {
        let missing = dropped.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(out, "ringhold  {missing} lines were dropped, for nobody read them in time");
        }
        match message {
            Message::Line(line) => drop(out.write_all(line.as_bytes())),
            Message::Mark(written) => drop(written.send(())),
        }
    }
}
