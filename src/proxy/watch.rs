//! What a client connection, or one of its streams, waits for and for how long, without a clock on the hot path.
//!
//! Whoever moves the connection on stores a phase; bytes that pass leave a mark. Only the worker's sweeper looks at
//! the time, a few times a second: it turns phases and marks into deadlines and wakes what is overdue. So a request
//! costs a few plain stores instead of timers, and a timeout comes at most two sweeps late.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::proxy::pace::{Pace, Rate};

/// What a connection is doing, as far as time matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Between requests. Only writes extend it: the end of a response that a slow client is still taking.
    Idle,
    /// A request's head has begun to arrive. Bytes do not extend it, or a byte a second would hold it open for ever.
    Head,
    /// The request's body is on its way; every byte extends it.
    Upload,
    /// All is sent; the response's head is awaited.
    Await,
    /// The response is on its way; every byte extends it.
    Stream,
    /// Upgraded; every byte extends it.
    Tunnel,
    /// TLS is being agreed on. Its bytes pass beneath whoever leaves marks, so none extends it.
    Handshake,
    /// The connection speaks HTTP/2 and has no open stream. Nothing extends it, or PINGs could hold it for ever.
    Vacant,
    /// The response has gone, and its request's body still comes; every byte extends it.
    Rest,
    /// The connection speaks HTTP/2 and has open streams, each with a watch of its own. Lasts as long as they.
    Shared,
}

/// Shared by a connection's or stream's task, the socket and the sweeper, which all run on one thread. Atomics only because hyper
/// wants sockets that could be sent to another.
#[derive(Debug)]
pub(super) struct Watch {
    phase: AtomicU8,
    /// Milliseconds that the phase may last.
    span: AtomicU32,
    /// For the next head, milliseconds.
    head_span: u32,
    /// The phase was entered since the last sweep.
    entered: AtomicBool,
    /// Bytes passed since the last sweep.
    moved: AtomicBool,
    expired: AtomicBool,
    /// A request has come on this connection.
    served: AtomicBool,
    /// When the phase ends, in milliseconds of the sweeper's clock.
    due: AtomicU64,
    /// The task that has the connection or stream.
    task: Mutex<Option<Waker>>,
    pace: Pace,
    /// The request's client may still be sending when the connection ends.
    is_unread: AtomicBool,
    /// The socket's end must look like a break to the client, because nothing in its framing would.
    broken: AtomicBool,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(idle: Duration, head: Duration) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Idle as u8),
            span: AtomicU32::new(millis(idle)),
            head_span: millis(head),
            entered: AtomicBool::new(true),
            moved: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            served: AtomicBool::new(false),
            due: AtomicU64::new(0),
            task: Mutex::default(),
            pace: Pace::default(),
            is_unread: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// Enters a phase that may last this long. What was waited for in the last one is waited for no more.
    pub(super) fn enter(&self, phase: Phase, span: Duration) {
        self.pace.go_on();
        self.phase.store(phase as u8, Relaxed);
        self.span.store(millis(span), Relaxed);
        self.entered.store(true, Relaxed);
        self.expired.store(false, Relaxed);
    }

    /// Bytes came from the client.
    pub(super) fn on_read(&self) {
        if self.phase() == Phase::Idle {
            self.phase.store(Phase::Head as u8, Relaxed);
            self.span.store(self.head_span, Relaxed);
            self.entered.store(true, Relaxed);
            self.expired.store(false, Relaxed);
        } else {
            self.on_move();
        }
    }

    /// Bytes moved in either direction.
    pub(super) fn on_move(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Nothing more can be done before the client sends or takes something.
    pub(super) fn on_wait(&self) {
        self.pace.wait();
    }

    /// Whether it is the client who is waited for.
    pub(super) fn awaits_client(&self) -> bool {
        self.pace.is_due()
    }

    /// The client sent so many bytes of a body, or took so many.
    pub(super) fn on_bytes(&self, count: usize) {
        self.pace.on_bytes(count);
    }

    /// The connection ends before everything was read that its client may have sent.
    pub(super) fn mark_unread(&self) {
        self.is_unread.store(true, Relaxed);
    }

    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Relaxed)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Upload,
            3 => Phase::Await,
            4 => Phase::Stream,
            5 => Phase::Tunnel,
            6 => Phase::Handshake,
            7 => Phase::Vacant,
            8 => Phase::Rest,
            _ => Phase::Shared,
        }
    }

    /// Whether the phase has lasted too long.
    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    pub(super) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// Makes the socket end with a reset: for what is cut off in the middle, which an HTTP/1.0 client would otherwise
    /// take for the whole.
    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// A request has come.
    pub(super) fn mark_served(&self) {
        self.served.store(true, Relaxed);
    }

    pub(super) fn has_served(&self) -> bool {
        self.served.load(Relaxed)
    }

    /// Makes the calling task the one that is woken. Once is enough: a task keeps its waker for life.
    pub(super) async fn adopt(&self) {
        poll_fn(|cx| {
            *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }

    /// For the sweeper, whose clock says so many milliseconds: wakes the task once when it is overdue.
    pub(super) fn sweep(&self, now: u64, rate: Option<Rate>) {
        let entered = self.entered.swap(false, Relaxed);
        let moved = self.moved.swap(false, Relaxed);
        let extends = !matches!(self.phase(), Phase::Head | Phase::Await | Phase::Handshake | Phase::Vacant);
        let has_pace = matches!(self.phase(), Phase::Idle | Phase::Upload | Phase::Stream | Phase::Rest);
        let is_too_slow = rate.filter(|_| has_pace).is_some_and(|rate| {
            if entered {
                self.pace.reset(rate);
            }
            self.pace.is_too_slow(rate)
        });
        if is_too_slow && !self.is_expired() {
            self.expire();
            self.wake();
        } else if entered || (moved && extends) {
            self.due.store(now + u64::from(self.span.load(Relaxed)), Relaxed);
        } else if now >= self.due.load(Relaxed) && !self.is_expired() {
            self.expire();
            self.wake();
        }
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn expires(watch: &Watch, now: u64) -> bool {
        watch.sweep(now, None);
        watch.is_expired()
    }

    #[test]
    fn bytes_extend_a_stream_but_never_a_head() {
        let watch = Watch::new(60 * SECOND, SECOND);
        watch.on_read();
        assert!(!expires(&watch, 5_000));
        watch.on_read();
        assert_eq!(watch.phase(), Phase::Head);
        assert!(!expires(&watch, 5_900));
        assert!(expires(&watch, 6_000));

        watch.enter(Phase::Stream, SECOND);
        assert!(!expires(&watch, 7_000));
        watch.on_move();
        assert!(!expires(&watch, 9_000));
        assert!(expires(&watch, 10_000));
    }
}
