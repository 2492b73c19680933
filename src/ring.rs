//! The ring: a pure, deterministic function from a key hash to an ordered list of distinct members.
//!
//! Same spec and members, same ring, on every process and architecture. A ring is immutable and is replaced whole;
//! members that can't serve right now stay in it and are skipped by the caller.
//!
//! Every algorithm cuts the space of hashes into equal slots, a power of two of them, numbered by the hash's highest
//! bits. So shares and moves are counted, not estimated, and rings of different algorithms can be compared.

mod fingerprint;
mod hash;
mod polynomial;
mod rendezvous;
mod space;
#[cfg(test)]
mod tests;

pub use hash::KeyHasher;

use std::fmt;

use polynomial::Polynomial;
use rendezvous::Rendezvous;

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
    /// The algorithm's fixed number of slots is too small.
    #[error("the {algorithm} ring seats at most {limit} members, counted by weight, not {wanted}; use Rendezvous")]
    TooManyMembers {
        /// The algorithm's name.
        algorithm: &'static str,
        /// The sum of the members' weights.
        wanted: u32,
        /// The largest sum that fits.
        limit: u32,
    },
}

/// Equal for two rings if and only if they are built alike and send every key to the same candidates (up to hash
/// collision).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

/// An immutable ring.
#[derive(Debug, Clone)]
pub struct Ring {
    spec: RingSpec,
    members: Box<[Member]>,
    table: Table,
    fingerprint: Fingerprint,
}

/// One algorithm's slots.
#[derive(Debug, Clone)]
enum Table {
    Rendezvous(Rendezvous),
    Polynomial(Polynomial),
}

/// One algorithm's candidates.
enum Candidates<'ring> {
    Rendezvous(rendezvous::Candidates<'ring>),
    Polynomial(polynomial::Candidates<'ring>),
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

    /// How many slots the ring has.
    #[must_use]
    pub fn slots(&self) -> u32 {
        match self {
            Self::Rendezvous { slots } => *slots,
            Self::Polynomial => polynomial::SLOTS,
        }
    }
}

impl RingSpec {
    /// The most members of weight 1 that such a ring seats.
    #[must_use]
    pub fn max_members(&self) -> u32 {
        match self {
            Self::Rendezvous { .. } => u32::from(u16::MAX),
            Self::Polynomial => polynomial::MAX_MEMBERS,
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
        let mut members: Box<[Member]> = members.into();
        members.sort_unstable_by_key(|member| member.id);
        if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(BuildError::DuplicateMember(pair[0].id));
        }
        if let Some(member) = members.iter().find(|member| member.weight == 0) {
            return Err(BuildError::ZeroWeight(member.id));
        }
        let table = match spec {
            RingSpec::Rendezvous { slots } => Table::Rendezvous(Rendezvous::build(slots, &members)?),
            RingSpec::Polynomial => Table::Polynomial(Polynomial::build(&members)?),
        };
        let fingerprint = fingerprint::fingerprint(spec, &members, &table);
        Ok(Self { spec, members, table, fingerprint })
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
        self.fingerprint
    }

    /// The owner's id; `None` only in a ring without members. Allocates nothing.
    #[must_use]
    #[inline]
    pub fn primary(&self, hash: u64) -> Option<u16> {
        match &self.table {
            Table::Rendezvous(table) => table.primary(hash),
            Table::Polynomial(table) => table.primary(hash),
        }
    }

    /// All members' ids, each once, in the order in which they take this key; the first is [`Ring::primary`].
    ///
    /// The first four allocate nothing.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u16> + '_ {
        match &self.table {
            Table::Rendezvous(table) => Candidates::Rendezvous(table.candidates(&self.members, hash)),
            Table::Polynomial(table) => Candidates::Polynomial(table.candidates(hash)),
        }
    }

    /// Every member's share of the key space, in the order of [`Ring::members`]; sums to 1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        space::shares(&self.members, self.owners())
    }

    /// The share of the key space, 0 to 1, that has another owner in `next`.
    #[must_use]
    pub fn moved_share(&self, next: &Ring) -> f64 {
        space::moved_share(self.owners(), next.owners())
    }

    /// The owner of each slot, in the order of the hashes; empty without members.
    fn owners(&self) -> &[u16] {
        match &self.table {
            Table::Rendezvous(table) => table.owners(),
            Table::Polynomial(table) => table.owners(),
        }
    }
}

// === impl Candidates ===

impl Iterator for Candidates<'_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        match self {
            Self::Rendezvous(candidates) => candidates.next(),
            Self::Polynomial(candidates) => candidates.next(),
        }
    }
}
