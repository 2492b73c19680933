//! Who changes an object of ours right after we have written it is not answered at once: it may be another controller
//! that would answer again, for ever.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::FleetId;

/// So long after a write the same is not written again.
const SPAN: Duration = Duration::from_secs(10);

/// What was written lately, of one kind of objects.
#[derive(Debug, Default)]
pub(super) struct Truces {
    written: Mutex<HashMap<Place, Write>>,
}

/// An object's fleet and name.
type Place = (FleetId, String);

#[derive(Debug)]
struct Write {
    hash: String,
    at: Instant,
}

// === impl Truces ===

impl Truces {
    /// Notes that an object was written now; `hash` says as what.
    pub(super) fn begin(&self, fleet: &FleetId, name: &str, hash: &str) {
        let write = Write { hash: hash.to_owned(), at: Instant::now() };
        self.written().insert((fleet.clone(), name.to_owned()), write);
    }

    /// Whether an object was written as this a moment ago.
    pub(super) fn holds(&self, fleet: &FleetId, name: &str, hash: &str) -> bool {
        let mut written = self.written();
        written.retain(|_, write| write.at.elapsed() < SPAN);
        written.get(&(fleet.clone(), name.to_owned())).is_some_and(|write| write.hash == hash)
    }

    fn written(&self) -> MutexGuard<'_, HashMap<Place, Write>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
