//! The open streams of an HTTP/2 connection, as its worker sees them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::proxy::connection::Client;
use crate::proxy::watch::{Phase, Watch};

/// A connection's open streams; none where it speaks HTTP/1.
#[derive(Default)]
pub(super) struct Streams {
    watches: RefCell<Vec<Arc<Watch>>>,
}

/// A stream's place among them.
pub(super) struct OpenStream {
    client: Rc<Client>,
    watch: Arc<Watch>,
}

// === impl Streams ===

impl Streams {
    pub(super) fn sweep(&self, now: u64) {
        self.for_each(|watch| watch.sweep(now));
    }

    pub(super) fn for_each(&self, see: impl FnMut(&Watch)) {
        self.watches.borrow().iter().map(|watch| &**watch).for_each(see);
    }
}

// === impl OpenStream ===

impl OpenStream {
    /// The connection is shared from now on until its last stream has ended.
    pub(super) fn new(client: &Rc<Client>) -> Self {
        let config = &client.worker.config;
        let watch = Arc::new(Watch::new(config.client_idle_timeout, config.header_read_timeout));
        client.streams.watches.borrow_mut().push(Arc::clone(&watch));
        client.watch.enter(Phase::Shared, std::time::Duration::MAX);
        Self { client: Rc::clone(client), watch }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
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
