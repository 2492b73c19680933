//! The access log: a line for each request, written by nobody who serves one.
//!
//! A worker puts lines into a buffer of its own. When that is full, or a sweep finds something in it, it goes to the one
//! thread that writes. If that does not keep up, lines are dropped and counted; no request ever waits.

mod line;
mod writer;

pub(super) use line::Line;
pub(super) use writer::{Writer, WriterStats};

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use crate::proxy::ProxyConfig;
use crate::proxy::access_log::writer::{Chunk, Message};
use crate::proxy::metrics::Shard;

/// Bytes that make it worth waking the writer.
const CHUNK: usize = 64 * 1024;
/// Bytes that a worker keeps while the writer takes none.
const MOST: usize = 4 * CHUNK;

/// What is logged, how, and where to.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Where lines go.
    pub target: LogTarget,
    /// What a line looks like.
    pub format: AccessLogFormat,
    /// Which part of all requests is logged.
    pub sample: Sample,
    /// Whether requests that failed (500 and above, or broken off) are logged though they are not in the sample.
    pub all_errors: bool,
    /// Whether lines show keys. They may be secrets.
    pub keys: bool,
}

/// Where an access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

/// How an access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessLogFormat {
    /// The Combined Log Format, with `name=value` fields behind it
    Text,
    /// A JSON object a line
    Json,
}

/// A part of all requests, chosen at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Of 2³².
    share: u64,
}

/// One worker's side of the log.
pub(super) struct Log {
    pub(super) config: AccessLog,
    shard: Arc<Shard>,
    writer: SyncSender<Message>,
    waiting: RefCell<Chunk>,
}

/// The log as this worker has it, if there is one.
pub(super) fn of_worker(config: &ProxyConfig, shard: &Arc<Shard>, writer: Option<&Writer>) -> Option<Log> {
    let (config, writer) = (config.access_log.clone()?, writer?.messages()?);
    Some(Log { config, shard: Arc::clone(shard), writer, waiting: RefCell::default() })
}

// === impl Sample ===

impl Sample {
    /// Every request.
    pub const ALL: Self = Self { share: 1 << 32 };

    /// So many of a hundred; `None` unless that is between 0 and 100.
    #[must_use]
    pub fn percent(percent: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2³²")]
        let share = || (percent / 100.0 * Self::ALL.share as f64).round() as u64;
        (0.0..=100.0).contains(&percent).then(|| Self { share: share() })
    }

    pub(super) fn takes_one(self) -> bool {
        u64::from(fastrand::u32(..)) < self.share
    }
}

// === impl Log ===

impl Log {
    /// Adds a line, or counts it as dropped.
    pub(super) fn write(&self, line: &Line<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.bytes.len() >= CHUNK {
            self.hand_over(&mut waiting);
            if waiting.bytes.len() >= MOST {
                return self.shard.log_dropped.add(1);
            }
        }
        line.write(self.config.format, &mut waiting.bytes);
        waiting.lines += 1;
    }

    /// Hands over what waits, if the writer can take it.
    pub(super) fn flush(&self) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.lines > 0 {
            self.hand_over(&mut waiting);
        }
    }

    fn hand_over(&self, waiting: &mut Chunk) {
        match self.writer.try_send(Message::Write(std::mem::take(waiting))) {
            Ok(()) => {}
            Err(TrySendError::Full(Message::Write(chunk)) | TrySendError::Disconnected(Message::Write(chunk))) => {
                *waiting = chunk;
            }
            Err(_) => unreachable!("what was not taken is what was offered"),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
        self.shard.log_dropped.add(self.waiting.get_mut().lines);
    }
}
