//! Which ring an answer speaks of.

use std::fmt;

use serde::Serialize;

use super::numbers::{count, counted};
use crate::ring::{Ring, RingSpec};

/// A ring in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shape {
    pub(super) algorithm: &'static str,
    pub(super) members: usize,
    /// How many slots, points or virtual servers the table has.
    pub(super) size: usize,
    pub(super) unit: &'static str,
    /// Memory of the table.
    pub(super) bytes: usize,
    pub(super) fingerprint: String,
}

// === impl Shape ===

impl Shape {
    pub(super) fn of(ring: &Ring) -> Self {
        let unit = match ring.spec() {
            RingSpec::Rendezvous { .. } | RingSpec::Maglev { .. } => "slot",
            RingSpec::Ketama(_) => "point",
            RingSpec::Polynomial(_) => "virtual server",
        };
        Self {
            algorithm: ring.spec().algorithm(),
            members: ring.members().len(),
            size: ring.size(),
            unit,
            bytes: ring.bytes(),
            fingerprint: ring.fingerprint().to_string(),
        }
    }

    /// `65,536 slots`.
    pub(super) fn table(&self) -> String {
        let Self { size, unit, .. } = self;
        format!("{} {unit}s", count(*size))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} with {}", counted(self.members, "member"), self.algorithm, self.table())
    }
}

/// What people call a member: the name that its ring knows it by, or its ordinal.
pub(super) fn label(ring: &Ring, ordinal: u16) -> String {
    let name = match ring.spec() {
        RingSpec::Ketama(ketama) => ketama.names.get(&ordinal),
        _ => None,
    };
    name.map_or_else(|| ordinal.to_string(), |name| format!("{ordinal} {name}"))
}
