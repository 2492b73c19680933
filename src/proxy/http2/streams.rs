//! The open streams of an HTTP/2 connection as its worker sees them, and its credit for frames that carry nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::proxy::connection::Client;
use crate::proxy::pace::Rate;
use crate::proxy::watch::{Phase, Watch};

/// A connection's credit at its beginning, and at most.
const CREDIT: u32 = 10_000;
/// What it earns with each sweep, of which there are ten a second.
const PER_SWEEP: u32 = 100;

/// A connection's open streams; none where it speaks HTTP/1.
pub(in crate::proxy) struct Streams {
    watches: RefCell<Vec<Arc<Watch>>>,
    credit: Cell<u32>,
}

/// A stream's place among them.
pub(in crate::proxy) struct OpenStream {
    client: Rc<Client>,
    watch: Arc<Watch>,
}

// === impl Streams ===

impl Default for Streams {
    fn default() -> Self {
        Self { watches: RefCell::default(), credit: Cell::new(CREDIT) }
    }
}

impl Streams {
    pub(in crate::proxy) fn sweep(&self, now: u64, rate: Option<Rate>) {
        self.for_each(|watch| watch.sweep(now, rate));
        self.earn(PER_SWEEP);
    }

    pub(super) fn earn(&self, credit: u32) {
        self.credit.set(self.credit.get().saturating_add(credit).min(CREDIT));
    }

    /// False if there is not so much.
    pub(super) fn spend(&self, credit: u32) -> bool {
        let left = self.credit.get().checked_sub(credit);
        self.credit.set(left.unwrap_or(0));
        left.is_some()
    }

    pub(in crate::proxy) fn for_each(&self, see: impl FnMut(&Watch)) {
        self.watches.borrow().iter().map(|watch| &**watch).for_each(see);
    }
}

// === impl OpenStream ===

impl OpenStream {
    /// The connection is shared from now on until its last stream has ended.
    pub(in crate::proxy) fn new(client: &Rc<Client>) -> Self {
        let config = &client.worker.config;
        let watch = Arc::new(Watch::new(config.client_idle_timeout, config.header_read_timeout));
        client.streams.watches.borrow_mut().push(Arc::clone(&watch));
        client.watch.enter(Phase::Shared, Duration::MAX);
        Self { client: Rc::clone(client), watch }
    }

    pub(in crate::proxy) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let client = &self.client;
        let mut watches = client.streams.watches.borrow_mut();
        watches.retain(|watch| !Arc::ptr_eq(watch, &self.watch));
        if watches.is_empty() {
            client.watch.enter(Phase::Vacant, client.worker.idle(client.idle.get()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_spent_and_comes_back_up_to_where_it_began() {
        let streams = Streams::default();
        assert!(streams.spend(CREDIT) && !streams.spend(1));
        streams.earn(5);
        assert!(streams.spend(5) && !streams.spend(1));
        for _ in 0..CREDIT {
            streams.sweep(0, None);
        }
        assert!(streams.spend(CREDIT) && !streams.spend(1));
    }
}
