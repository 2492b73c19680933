//! The two threads that read what others write about requests: Ringhold's access log, which they rotate, and the pipe in
//! which replicas note what they get.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::ledger::{Ledger, Line};

/// A file of the access log is read and removed when it is so old.
const ROTATION: Duration = Duration::from_secs(2);
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Behind all that replicas noted.
const LAST: &str = "the end";

/// Reads the access log, file by file.
pub(crate) struct AccessLog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Reads what replicas note.
pub(crate) struct Notes {
    pub(crate) path: PathBuf,
    /// Kept open, or replicas would find nobody who reads.
    pipe: File,
    thread: Option<JoinHandle<()>>,
}

/// Of a line, what is wanted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'l> {
    user_agent: &'l str,
    status: u16,
    reason: Option<&'l str>,
    #[serde(rename = "loadbalancer")]
    load_balancer: Option<&'l str>,
    replica: Option<&'l str>,
    tries: u32,
}

// === impl AccessLog ===

impl AccessLog {
    pub(crate) fn follow(path: &Path, ringhold: Pid, ledger: &Arc<Ledger>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let thread = {
            let (path, ledger, stop) = (path.to_owned(), Arc::clone(ledger), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    // No condition: a file grows old.
                    thread::sleep(ROTATION);
                    let old = rotate(&path, ringhold)?;
                    read(&old, &ledger)?;
                    std::fs::remove_file(&old)?;
                }
                read(&path, &ledger)
            })
        };
        Self { stop, thread: Some(thread) }
    }

    /// Reads what is left. Ringhold must have ended, so that there is no more.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.stop.store(true, Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().ok().context("the reader of the access log panicked")?
    }
}

/// Moves the file away and waits until Ringhold writes another: then nothing more comes into this one.
fn rotate(path: &Path, ringhold: Pid) -> anyhow::Result<PathBuf> {
    let old = path.with_extension("old");
    std::fs::rename(path, &old)?;
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        // Once more, for a writer that was busy says so and leaves it at that. Where Ringhold has ended, nobody makes one.
        if kill_process(ringhold, Signal::USR1).is_err() {
            File::create(path)?;
        }
        ensure!(Instant::now() < deadline, "the access log is not opened anew");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(old)
}

fn read(path: &Path, ledger: &Ledger) -> anyhow::Result<()> {
    let (mut reader, mut text) = (BufReader::with_capacity(1 << 16, File::open(path)?), String::new());
    while reader.read_line(&mut text)? > 0 {
        let Written { user_agent, status, reason, load_balancer, replica, tries } =
            serde_json::from_str(&text).with_context(|| format!("no line of the access log: {text}"))?;
        let mut book = ledger.lock();
        let line = Line {
            status,
            reason: book.word(reason.unwrap_or_default()),
            load_balancer: book.word(load_balancer.unwrap_or_default()),
            replica: book.word(replica.unwrap_or_default()),
            tries: u8::try_from(tries).unwrap_or(u8::MAX),
        };
        match book.numbered(user_agent) {
            Some(entry) => (entry.line, entry.lines) = (line, entry.lines.saturating_add(1)),
            None => book.strange.push(text.clone()),
        }
        text.clear();
    }
    Ok(())
}

// === impl Notes ===

impl Notes {
    pub(crate) fn open(path: PathBuf, ledger: &Arc<Ledger>) -> anyhow::Result<Self> {
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
        let pipe: File = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?.into();
        // Replicas do not wait for us if they need not.
        rustix::pipe::fcntl_setpipe_size(pipe.as_fd(), 1 << 20).context("no room for what replicas note")?;
        let (reader, ledger) = (BufReader::new(pipe.try_clone()?), Arc::clone(ledger));
        let thread = thread::spawn(move || note(reader, &ledger));
        Ok(Self { path, pipe, thread: Some(thread) })
    }

    /// Reads what is left. Replicas must have ended, so that there is no more.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.pipe.write_all(format!("{LAST}\n").as_bytes())?;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().ok().context("the reader of the replicas' notes panicked")
    }
}

fn note(reader: BufReader<impl Read>, ledger: &Ledger) {
    for line in reader.lines().map_while(Result::ok).take_while(|line| line != LAST) {
        let mut parts = line.split(' ');
        let (Some(name), Some(target)) = (parts.next(), parts.nth(1)) else { continue };
        let mut book = ledger.lock();
        let replica = book.word(name);
        match book.numbered(target) {
            Some(entry) => (entry.seen, entry.seen_by) = (entry.seen.saturating_add(1), replica),
            None => book.strange.push(line),
        }
    }
}
