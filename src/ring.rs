//! The ring: a pure, deterministic function from a key hash to an ordered list of distinct members.
//!
//! Same spec and members, same ring, on every process and architecture. A ring is immutable and is replaced whole;
//! members that can't serve right now stay in it and are skipped by the caller.
//!
//! Every algorithm cuts the space of hashes into arcs, of which each has one owner: equal slots, or what lies between two
//! points of a circle. So shares and moves are counted, not estimated, and rings of different algorithms can be compared.

mod fingerprint;
mod hash;
mod ketama;
mod maglev;
mod polynomial;
mod rendezvous;
mod sip;
mod space;
mod spec;
#[cfg(test)]
mod tests;
mod walk;

pub use hash::{KeyHash, KeyHasher};
pub use space::{MemberMoves, Moves};
pub use spec::{
    BuildError, Ketama as KetamaSpec, KeyPolynomial, Placement, Polynomials, RingSpec, Seats, ServerPolynomial,
};

use std::fmt;

use ketama::Ketama;
use maglev::Maglev;
use polynomial::Polynomial;
use rendezvous::Rendezvous;
use space::{Arcs, Space};
use walk::Walk;

/// One member: an ordinal with a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The ordinal.
    pub id: u16,
    /// Its share relative to the others; at least 1, and 1 where all are equal.
    pub weight: u16,
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

/// One algorithm's table.
#[derive(Debug, Clone)]
enum Table {
    Rendezvous(Rendezvous),
    Ketama(Ketama),
    Maglev(Maglev),
    Polynomial(Polynomial),
}

/// One algorithm's candidates.
enum Candidates<'ring> {
    Rendezvous(rendezvous::Candidates<'ring>),
    Circle(Walk<'ring>),
}

// === impl Fingerprint ===

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
        Self::make(spec, members, |_| None)
    }

    /// The ring of these members with this ring's spec: equal to one built anew, and made from this one where that is
    /// quicker.
    ///
    /// # Errors
    /// As [`Ring::build`].
    pub fn with_members(&self, members: &[Member]) -> Result<Self, BuildError> {
        Self::make(self.spec.clone(), members, |members| match &self.table {
            Table::Rendezvous(table) => table.with_members(&self.members, members).map(Table::Rendezvous),
            Table::Ketama(_) | Table::Maglev(_) | Table::Polynomial(_) => None,
        })
    }

    /// Checks and sorts the members, then makes the table; anew, if it isn't there by a shorter way.
    fn make(
        spec: RingSpec,
        members: &[Member],
        shorter: impl FnOnce(&[Member]) -> Option<Table>,
    ) -> Result<Self, BuildError> {
        let mut members: Box<[Member]> = members.into();
        members.sort_unstable_by_key(|member| member.id);
        if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(BuildError::DuplicateMember(pair[0].id));
        }
        spec.check(&members)?;
        let table = shorter(&members).unwrap_or_else(|| Table::build(&spec, &members));
        let fingerprint = fingerprint::fingerprint(&spec, &members, &table);
        Ok(Self { spec, members, table, fingerprint })
    }

    /// What it was built from.
    #[must_use]
    pub fn spec(&self) -> &RingSpec {
        &self.spec
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
            Table::Ketama(table) => table.primary(hash),
            Table::Maglev(table) => table.primary(hash),
            Table::Polynomial(table) => table.primary(hash),
        }
    }

    /// All members' ids, each once, in the order in which they take this key; the first is [`Ring::primary`].
    ///
    /// The first four allocate nothing; on circles the first eight.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u16> + '_ {
        let members = &self.members;
        match &self.table {
            Table::Rendezvous(table) => Candidates::Rendezvous(table.candidates(members, hash)),
            Table::Ketama(table) => Candidates::Circle(table.candidates(members, hash)),
            Table::Maglev(table) => Candidates::Circle(table.candidates(members, hash)),
            Table::Polynomial(table) => Candidates::Circle(table.candidates(members, hash)),
        }
    }

    /// Every member's share of the key space, in the order of [`Ring::members`]; sums to 1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        self.space().shares(&self.members)
    }

    /// What becomes of keys if `next` follows.
    #[must_use]
    pub fn moves(&self, next: &Ring) -> Moves {
        self.space().moves(next.space())
    }

    /// How the hashes are dealt out: in their order, the last hash of each arc and whose the arc is. Neighbouring arcs may
    /// have one owner.
    pub fn arcs(&self) -> impl Iterator<Item = (u64, u16)> + '_ {
        self.space().arcs()
    }

    /// How many slots, points or virtual servers the table has.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.table {
            Table::Polynomial(table) => table.circle().len(),
            _ => self.space().owners.len(),
        }
    }

    /// The memory that the table takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.table {
            Table::Rendezvous(table) => table.bytes(),
            Table::Ketama(table) => table.bytes(),
            Table::Maglev(table) => table.bytes(),
            Table::Polynomial(table) => table.bytes(),
        }
    }

    fn space(&self) -> Space<'_> {
        let (owners, arcs) = match &self.table {
            Table::Rendezvous(table) => (table.owners(), Arcs::Equal),
            Table::Ketama(table) => (table.owners(), Arcs::Points(table.points())),
            Table::Maglev(table) => (table.owners(), Arcs::Equal),
            Table::Polynomial(table) => (table.owners(), Arcs::Equal),
        };
        Space { owners, arcs }
    }
}

// === impl Table ===

impl Table {
    /// Of members that are sorted by id and fit.
    fn build(spec: &RingSpec, members: &[Member]) -> Self {
        match spec {
            RingSpec::Rendezvous { slots } => Self::Rendezvous(Rendezvous::build(*slots, members)),
            RingSpec::Ketama(ketama) => Self::Ketama(Ketama::build(ketama, members)),
            RingSpec::Maglev { slots } => Self::Maglev(Maglev::build(*slots, members)),
            RingSpec::Polynomial(polynomials) => Self::Polynomial(Polynomial::build(polynomials, members)),
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
            Self::Circle(walk) => walk.next(),
        }
    }
}
