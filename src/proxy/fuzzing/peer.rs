//! The other side of a connection, in memory: it says a script in pieces and keeps what it hears.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where reads and writes are cut, and where they are not ready: always the same for one seed. `0`: nowhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cuts(u64);

/// What a peer does when it has said everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Ends,
    Waits,
}

/// How much has moved anywhere. Where nothing does, nothing will.
pub(super) type Moves = Rc<Cell<u64>>;

/// A peer's connection, as our side has it.
#[derive(Debug)]
pub(super) struct Peer {
    script: Vec<u8>,
    said: usize,
    then: Then,
    /// It says nothing before it has heard a whole request.
    pub(super) listens_first: bool,
    reads: Cuts,
    writes: Cuts,
    heard: Rc<RefCell<Vec<u8>>>,
    moves: Moves,
}

// === impl Cuts ===

impl Cuts {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn new(seed: u8) -> Self {
        Self(u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// So many of `most` bytes, at least one; or none for now.
    fn next(&mut self, most: usize) -> Option<usize> {
        if self.0 == 0 {
            return Some(most);
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let [kind, size, ..] = self.0.to_le_bytes();
        let size = usize::from(size);
        match kind % 8 {
            0 | 1 => None,
            2 | 3 => Some(1),
            4 => Some(1 + size % 4),
            5 | 6 => Some(1 + size % 32),
            _ => Some(most),
        }
        .map(|count| count.min(most))
    }
}

// === impl Peer ===

impl Peer {
    pub(super) fn new(script: &[u8], then: Then, moves: &Moves) -> Self {
        let (reads, writes, heard, moves) = (Cuts::NONE, Cuts::NONE, Rc::default(), Rc::clone(moves));
        Self { script: script.to_vec(), said: 0, then, listens_first: false, reads, writes, heard, moves }
    }

    pub(super) fn cut(mut self, reads: Cuts, writes: Cuts) -> Self {
        (self.reads, self.writes) = (reads, writes);
        self
    }

    /// All that it hears, even once the connection is gone.
    pub(super) fn ear(&self) -> Rc<RefCell<Vec<u8>>> {
        Rc::clone(&self.heard)
    }

    fn is_listening(&self) -> bool {
        use super::strict::{LineEnd, Reader};
        self.listens_first && Reader::new(&self.heard.borrow(), LineEnd::CrLf).request().is_err()
    }

    fn moved(&self) {
        self.moves.set(self.moves.get() + 1);
    }
}

impl AsyncRead for Peer {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = (self.script.len() - self.said).min(buf.remaining());
        if self.is_listening() || (most == 0 && self.then == Then::Waits) {
            return Poll::Pending;
        }
        self.moved();
        let Some(count) = self.reads.next(most) else { return Poll::Pending };
        buf.put_slice(&self.script[self.said..self.said + count]);
        self.said += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.moved();
        let Some(count) = self.writes.next(parts.iter().map(|part| part.len()).sum()) else { return Poll::Pending };
        let bytes = parts.iter().flat_map(|part| part.iter().copied()).take(count);
        self.heard.borrow_mut().extend(bytes);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs to the end, or to where nothing moves any more. Needs no runtime: whoever waits is asked again.
pub(super) fn run<F: Future>(future: F, moves: &Moves) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let before = moves.get();
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        if moves.get() == before {
            return None;
        }
    }
}
