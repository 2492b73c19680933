//! What was asked of the API server, by whom, and when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ringhold_test_cluster::AuditEvent;

/// From one moment to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// All requests of the whole run. A watch stands in here only once it has ended, at the time of its beginning.
pub(crate) struct Audit(Vec<AuditEvent>);

/// How often each thing was asked: `patch loadbalancers/status`.
pub(crate) type Counts = BTreeMap<String, usize>;

// === impl Window ===

impl Window {
    pub(crate) fn seconds(self) -> f64 {
        self.until.duration_since(self.from).as_secs_f64()
    }
}

// === impl Audit ===

impl Audit {
    pub(crate) fn new(events: Vec<AuditEvent>) -> Self {
        Self(events)
    }

    /// What one of the users asked meanwhile.
    pub(crate) fn of<'a>(&'a self, user: &'a str, window: Window) -> impl Iterator<Item = &'a AuditEvent> + Clone {
        let Window { from, until } = window;
        self.0.iter().filter(move |event| event.user == user && from <= event.received && event.received < until)
    }
}

pub(crate) fn counts<'a>(events: impl Iterator<Item = &'a AuditEvent>) -> Counts {
    let mut counts = Counts::new();
    for event in events {
        *counts.entry(what(event)).or_default() += 1;
    }
    counts
}

/// Which ask the same.
pub(crate) fn what(event: &AuditEvent) -> String {
    let AuditEvent { verb, resource, subresource, code, .. } = event;
    let slash = if subresource.is_empty() { "" } else { "/" };
    // Refused ones are told apart: they should not be.
    let refused = if *code < 400 { String::new() } else { format!(" ({code})") };
    format!("{verb} {resource}{slash}{subresource}{refused}")
}
