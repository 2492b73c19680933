//! Every interleaving of leases, the swap and bounded load, in every order that memory allows: the protocol of
//! `src/routes/gate.rs`, that very file, compiled with loom's atomics in place of the processor's.
#![cfg(test)]

mod bounded;
mod closing;
#[path = "../../../src/routes/gate.rs"]
mod gate;
mod limit;
mod swap;

use std::cell::Cell;
use std::rc::Rc;

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

use gate::{Gate, Lease, Leased, Place, Refusal, Terms, Total};

/// What `gate` counts with.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

/// No limit and no bound.
const ANY: Terms = Terms { limit: 0, bound: None };

struct Replica {
    gate: Gate,
    total: Rc<Total>,
    /// Read by every request, written when the replica is stopped. Loom fails on a read that is not ordered with the
    /// write.
    is_alive: loom::cell::Cell<bool>,
    /// A step of every request, so that others can come while it lasts.
    work: AtomicUsize,
    notes: Notes,
}

/// What a test writes down. For loom these are no steps, and all its threads are really one.
#[derive(Default)]
struct Notes {
    /// Now.
    requests: Cell<usize>,
    /// At one time.
    peak: Cell<usize>,
    /// In all.
    taken: Cell<usize>,
    /// How often it was told that the last of a closed replica has gone.
    drained: Cell<usize>,
}

/// A lease and the request that is sent with it.
struct Request {
    lease: Lease<Rc<Replica>>,
}

type Thread = Box<dyn FnOnce()>;

/// Tries all that loom can think of, with at most so many switches away from a thread that could go on: nearly every
/// error shows with two or three, and each more costs ten times the time.
fn model(switches: usize, check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(check);
}

/// Runs all of these at one time and waits for them.
fn together(threads: impl IntoIterator<Item = Thread>) {
    let mut threads = threads.into_iter();
    let first = threads.next();
    let others: Vec<_> = threads.map(thread::spawn).collect();
    first.into_iter().for_each(|first| first());
    others.into_iter().for_each(|other| other.join().expect("a thread that panics ends the test before"));
}

// === impl Replica ===

impl Replica {
    fn new(fleet: &Rc<Total>) -> Rc<Self> {
        let (gate, total, notes) = (Gate::new(), Rc::clone(fleet), Notes::default());
        Rc::new(Self { gate, total, is_alive: loom::cell::Cell::new(true), work: AtomicUsize::new(0), notes })
    }

    fn alone() -> Rc<Self> {
        Self::new(&Rc::new(Total::new()))
    }

    fn send(self: &Rc<Self>, terms: Terms, place: &mut Option<Place<'_>>) -> Result<Request, Refusal> {
        let lease = Lease::take(self, terms, place)?;
        let Notes { requests, peak, taken, .. } = &self.notes;
        taken.update(|taken| taken + 1);
        requests.update(|requests| requests + 1);
        peak.update(|peak| peak.max(requests.get()));
        assert!(self.is_alive.get(), "a request met a replica that had been stopped");
        self.work.fetch_add(1, Relaxed);
        Ok(Request { lease })
    }

    /// What the controller does when it sees no request after closing.
    fn stop(&self) {
        self.is_alive.set(false);
    }

    fn peak(&self) -> usize {
        self.notes.peak.get()
    }

    fn drained(&self) -> usize {
        self.notes.drained.get()
    }

    fn is_idle(&self) -> bool {
        let load = self.gate.load();
        (load.requests(), load.bounded(), self.total.requests()) == (0, 0, 0)
    }
}

impl Leased for Rc<Replica> {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn total(&self) -> &Total {
        &self.total
    }

    fn on_drained(&self) {
        self.notes.drained.update(|drained| drained + 1);
    }
}

// === impl Request ===

impl Drop for Request {
    fn drop(&mut self) {
        self.lease.replica().notes.requests.update(|requests| requests - 1);
    }
}
