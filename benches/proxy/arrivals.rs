//! An open loop: requests come when they come, as many clients' requests do, whether or not the ones before were answered.
//!
//! Gaps follow the exponential distribution, from a seed, so that all proxies see the same arrivals. An answer's time runs
//! from the moment at which its request was meant to be sent: one that has to wait for a free connection, or for those before
//! it, waits in its own time.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::ask::{get, parse};

/// Different keys.
const KEYS: usize = 10_000;
/// So long are the last answers waited for.
const GRACE: Duration = Duration::from_secs(5);

/// What is sent, to whom, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals {
    pub(crate) port: u16,
    pub(crate) per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) connections: u16,
    pub(crate) seed: u64,
}

/// What was seen of it; microseconds, sorted.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answers: Vec<f64>,
    /// How late we ourselves noticed that a request was due.
    pub(crate) notices: Vec<f64>,
}

struct Loop {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Numbers of connections, the one that is free longest first.
    free: VecDeque<usize>,
    requests: Vec<String>,
    sent: usize,
    answers: Vec<f64>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// When the request that it waits for was due.
    due: Instant,
}

// === impl Arrivals ===

impl Arrivals {
    /// Any answer that is not as it should be is an error.
    pub(crate) fn run(self) -> anyhow::Result<Seen> {
        let Self { port, per_second, seconds, connections, seed } = self;
        // Else the kernel wakes us up to 50 µs late.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut gap = || Duration::from_secs_f64(-(1.0 - random.f64()).ln() / per_second);
        let mut all = Loop::open(port, connections)?;
        let (mut waiting, mut notices, mut events) = (VecDeque::new(), Vec::new(), Vec::with_capacity(256));
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let mut next = start + gap();
        loop {
            let now = Instant::now();
            while next <= now && next < end {
                waiting.push_back(next);
                notices.push(microseconds(now - next));
                next += gap();
            }
            all.send(&mut waiting)?;
            let has_more = next < end;
            if !has_more && waiting.is_empty() && all.is_idle() {
                break;
            }
            ensure!(now < end + GRACE, "{} answers did not come in time", waiting.len() + all.busy());
            let pause = if has_more { next.saturating_duration_since(Instant::now()) } else { GRACE };
            let pause = Timespec::try_from(pause).context("a pause that is no time")?;
            epoll::wait(&all.epoll, spare_capacity(&mut events), Some(&pause))?;
            for event in events.drain(..) {
                all.receive(usize::try_from(event.data.u64())?)?;
            }
        }
        let mut answers = all.answers;
        answers.sort_by(f64::total_cmp);
        notices.sort_by(f64::total_cmp);
        Ok(Seen { answers, notices })
    }
}

// === impl Loop ===

impl Loop {
    fn open(port: u16, count: u16) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..count {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number.into());
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
            connections.push(Connection { stream, buffer: vec![0; 4096], filled: 0, due: Instant::now() });
        }
        let requests = (0..KEYS).map(|key| get("/", &format!("user-{key:06}"))).collect();
        let free = (0..connections.len()).collect();
        Ok(Self { epoll, connections, free, requests, sent: 0, answers: Vec::new() })
    }

    /// As much of what waits as there are free connections.
    fn send(&mut self, waiting: &mut VecDeque<Instant>) -> anyhow::Result<()> {
        while !waiting.is_empty() && !self.free.is_empty() {
            let (Some(due), Some(number)) = (waiting.pop_front(), self.free.pop_front()) else { break };
            let request = &self.requests[self.sent % KEYS];
            let connection = &mut self.connections[number];
            connection.due = due;
            let written = connection.stream.write(request.as_bytes())?;
            ensure!(written == request.len(), "a request did not fit into its connection");
            self.sent += 1;
        }
        Ok(())
    }

    fn receive(&mut self, number: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        match connection.stream.read(&mut connection.buffer[connection.filled..]) {
            Ok(0) => anyhow::bail!("a connection was closed"),
            Ok(read) => connection.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if let Some((_, length)) = parse(&connection.buffer[..connection.filled])? {
            ensure!(length == connection.filled, "more came than was asked for");
            connection.filled = 0;
            self.answers.push(microseconds(connection.due.elapsed()));
            self.free.push_back(number);
        }
        Ok(())
    }

    fn busy(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    fn is_idle(&self) -> bool {
        self.busy() == 0
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
