//! The thread that writes the access log, and opens its file again when that has been moved away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::proxy::access_log::LogTarget;

/// Chunks that wait, for each worker.
const WAITING: usize = 4;
/// At the end, what waits is written for so long at most.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A log that can't be written is complained of so often at most.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Whole lines.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

#[derive(Debug)]
pub(in crate::proxy) enum Message {
    Write(Chunk),
    /// Look whether the file is to be opened anew, though nothing is to be written.
    Look,
}

/// The running thread.
#[derive(Debug)]
pub(in crate::proxy) struct Writer {
    messages: Mutex<Option<SyncSender<Message>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    /// The file is to be opened anew before anything else is written.
    is_moved: Arc<AtomicBool>,
    stats: Arc<WriterStats>,
}

/// What the thread counts.
#[derive(Debug, Default)]
pub(in crate::proxy) struct WriterStats {
    failed: AtomicU64,
}

/// What the thread has.
struct Output {
    target: LogTarget,
    file: File,
    /// The last write failed, maybe in the middle of a line.
    torn: bool,
    complained: Option<Instant>,
    is_moved: Arc<AtomicBool>,
    stats: Arc<WriterStats>,
}

// === impl Writer ===

impl Writer {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// The file can't be opened, or the thread can't be started.
    pub(in crate::proxy) fn start(target: &LogTarget, workers: usize) -> io::Result<Self> {
        let stats = Arc::new(WriterStats::default());
        let file = open(target)?;
        let is_moved = Arc::new(AtomicBool::new(false));
        let output = Output {
            target: target.clone(),
            file,
            torn: false,
            complained: None,
            is_moved: Arc::clone(&is_moved),
            stats: Arc::clone(&stats),
        };
        let (messages, waiting) = sync_channel(workers * WAITING);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            output.run(&waiting);
            // Who stops may have waited long enough.
            let _ = end.send(());
        })?;
        Ok(Self { messages: Mutex::new(Some(messages)), ended: Mutex::new(Some(ended)), is_moved, stats })
    }

    pub(in crate::proxy) fn stats(&self) -> Arc<WriterStats> {
        Arc::clone(&self.stats)
    }

    /// For a worker; `None` once the log has ended.
    pub(in crate::proxy) fn messages(&self) -> Option<SyncSender<Message>> {
        lock(&self.messages).clone()
    }

    /// Has the file opened by its name once more, before anything else is written.
    pub(in crate::proxy) fn reopen(&self) {
        self.is_moved.store(true, Relaxed);
        // Where there is no room, the writer looks with what it writes next; waiting would block us with it.
        if let Some(messages) = self.messages() {
            let _ = messages.try_send(Message::Look);
        }
    }

    /// Returns when what the workers have handed over is written, or that takes too long. They must have ended.
    pub(in crate::proxy) async fn finish(&self) {
        drop(lock(&self.messages).take());
        let ended = lock(&self.ended).take();
        if let Some(ended) = ended
            && tokio::time::timeout(LAST_WORDS, ended).await.is_err()
        {
            tracing::warn!("the access log's last lines were not taken in time");
        }
    }
}

// === impl WriterStats ===

impl WriterStats {
    /// Lines lost because they could not be written.
    pub(in crate::proxy) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

// === impl Output ===

impl Output {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            if self.is_moved.swap(false, Relaxed) {
                self.reopen();
            }
            match message {
                Message::Write(chunk) => self.write(&chunk),
                Message::Look => {}
            }
        }
    }

    fn write(&mut self, chunk: &Chunk) {
        // Half a line must not make the next one unreadable.
        let begin: &[u8] = if self.torn { b"\n" } else { b"" };
        match self.file.write_all(begin).and_then(|()| self.file.write_all(&chunk.bytes)) {
            Ok(()) => self.torn = false,
            Err(error) => {
                self.torn = true;
                self.stats.failed.fetch_add(chunk.lines, Relaxed);
                if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT) {
                    self.complained = Some(Instant::now());
                    tracing::error!(error = &error as &dyn std::error::Error, "can't write the access log");
                }
            }
        }
    }

    /// Where that fails, the log goes on where it was.
    fn reopen(&mut self) {
        match open(&self.target) {
            Ok(file) => (self.file, self.torn) = (file, false),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "can't open the access log anew"),
        }
    }
}

fn open(target: &LogTarget) -> io::Result<File> {
    match target {
        // Not `io::stdout()`: its lock belongs to whoever tells the story there.
        LogTarget::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        LogTarget::File(path) => OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
            io::Error::new(error.kind(), format!("the access log {} can't be opened: {error}", path.display()))
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
