//! What a ring is to be: algorithm and size, with the limits of each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ring::{Member, ketama, maglev, polynomial, rendezvous};

/// Algorithm and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingSpec {
    /// Weighted rendezvous hashing, evaluated once into a table of `slots` slots (a power of two, 2 to 2²⁰).
    Rendezvous {
        /// How many slots.
        slots: u32,
    },
    /// A circle of points as nginx's `hash … consistent` or ingress-nginx's `upstream-hash-by` places them.
    Ketama(Ketama),
    /// Maglev hashing (Eisenbud et al., NSDI 2016) in a table of the least prime number of slots that is not below `slots`
    /// (2 to 2²⁰).
    Maglev {
        /// How many slots, before they are rounded up to a prime.
        slots: u32,
    },
    /// The 512-slot ring of the classic design, with nine virtual servers a member.
    Polynomial(Polynomials),
}

/// What `Ketama` needs to know besides its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ketama {
    /// Points for each unit of weight, 1 to 1000; nginx has 160.
    pub points: u32,
    /// What the members are called, such as `10.0.0.1:8080`: their places on the circle follow from these names. Who has
    /// none is called by its id.
    pub names: Arc<BTreeMap<u16, Box<str>>>,
    /// How they follow.
    pub placement: Placement,
}

/// Which bytes of a name are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// Its host, a byte of 0 and its port, as nginx parts what its configuration calls a server.
    #[default]
    Nginx,
    /// Those that it is written with, as ingress-nginx hashes `IP:PORT`.
    IngressNginx,
}

/// The two hash functions of `Polynomial`, both modulo 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polynomials {
    /// Where key number i stands: H(i).
    pub key: KeyPolynomial,
    /// Where virtual server j of server i would like to stand: Φ(i, j).
    pub server: ServerPolynomial,
}

/// `square`·i² + `linear`·i + `constant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after their terms")]
pub struct KeyPolynomial {
    pub square: u16,
    pub linear: u16,
    pub constant: u16,
}

/// `server_square`·i² + `server_linear`·i + `virtual_square`·j² + `virtual_linear`·j + `constant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after their terms")]
pub struct ServerPolynomial {
    pub server_square: u16,
    pub server_linear: u16,
    pub virtual_square: u16,
    pub virtual_linear: u16,
    pub constant: u16,
}

/// How many members a ring seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seats {
    /// So many.
    Members(u32),
    /// So many of weight 1, one of weight 2 taking the place of two.
    Weight(u32),
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
    /// A size out of range.
    #[error("{0} slots: use a number from 2 to 1048576")]
    SlotsRange(u32),
    /// A number of points out of range.
    #[error("{0} points: use a number from 1 to 1000")]
    Points(u32),
    /// The algorithm's size is too small for so many members.
    #[error(
        "a {algorithm} ring of this size seats at most {limit} {counted}, not {wanted}; use Rendezvous or another size"
    )]
    TooManyMembers {
        /// The algorithm's name.
        algorithm: &'static str,
        /// The largest number that fits.
        limit: u32,
        /// What was counted: members, or their weights.
        counted: &'static str,
        /// How many there are.
        wanted: u64,
    },
}

// === impl RingSpec ===

impl RingSpec {
    /// The algorithm's name in the resource.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rendezvous { .. } => "Rendezvous",
            Self::Ketama(_) => "Ketama",
            Self::Maglev { .. } => "Maglev",
            Self::Polynomial(_) => "Polynomial",
        }
    }

    /// How many members the ring seats.
    #[must_use]
    pub fn seats(&self) -> Seats {
        match self {
            Self::Rendezvous { .. } => Seats::Members(u32::MAX),
            Self::Ketama(Ketama { points, .. }) => Seats::Weight(ketama::MAX_POINTS / (*points).max(1)),
            Self::Maglev { slots } => Seats::Members(*slots),
            Self::Polynomial(_) => Seats::Weight(polynomial::MAX_MEMBERS),
        }
    }

    /// Whether such a ring can be built of these members, each of them listed once.
    pub(super) fn check(&self, members: &[Member]) -> Result<(), BuildError> {
        match self {
            Self::Rendezvous { slots } if !rendezvous::SLOTS.contains(slots) || !slots.is_power_of_two() => {
                return Err(BuildError::Slots(*slots));
            }
            Self::Maglev { slots } if !maglev::SLOTS.contains(slots) => return Err(BuildError::SlotsRange(*slots)),
            Self::Ketama(Ketama { points, .. }) if !ketama::POINTS.contains(points) => {
                return Err(BuildError::Points(*points));
            }
            _ => {}
        }
        if let Some(member) = members.iter().find(|member| member.weight == 0) {
            return Err(BuildError::ZeroWeight(member.id));
        }
        let (limit, wanted, counted) = match self.seats() {
            Seats::Members(limit) => (limit, members.len() as u64, "members"),
            Seats::Weight(limit) => {
                let weight = members.iter().map(|member| u64::from(member.weight)).sum();
                (limit, weight, "members, counted by weight")
            }
        };
        if wanted > u64::from(limit) {
            return Err(BuildError::TooManyMembers { algorithm: self.algorithm(), limit, counted, wanted });
        }
        Ok(())
    }
}

impl Default for RingSpec {
    fn default() -> Self {
        Self::Rendezvous { slots: 65_536 }
    }
}

// === impl Ketama, Polynomials ===

impl Default for Ketama {
    /// As nginx has it.
    fn default() -> Self {
        Self { points: 160, names: Arc::default(), placement: Placement::default() }
    }
}

impl Polynomials {
    /// H(i) = i² + 2i + 17 and Φ(i, j) = i² + j² + 2j + 25.
    pub const CLASSIC: Self = Self {
        key: KeyPolynomial { square: 1, linear: 2, constant: 17 },
        server: ServerPolynomial {
            server_square: 1,
            server_linear: 0,
            virtual_square: 1,
            virtual_linear: 2,
            constant: 25,
        },
    };
}

impl fmt::Display for Polynomials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyPolynomial { square, linear, constant } = self.key;
        write!(f, "H(i) = {}", sum(&[(square, "i²"), (linear, "i"), (constant, "")]))?;
        let ServerPolynomial { server_square, server_linear, virtual_square, virtual_linear, constant } = self.server;
        let terms = [
            (server_square, "i²"),
            (server_linear, "i"),
            (virtual_square, "j²"),
            (virtual_linear, "j"),
            (constant, ""),
        ];
        write!(f, ", Φ(i, j) = {}", sum(&terms))
    }
}

/// `2i + 17`.
fn sum(terms: &[(u16, &str)]) -> String {
    let terms = terms.iter().filter(|(factor, _)| *factor != 0);
    let terms: Vec<String> = terms
        .map(
            |(factor, power)| {
                if *factor == 1 && !power.is_empty() { (*power).to_owned() } else { format!("{factor}{power}") }
            },
        )
        .collect();
    if terms.is_empty() { "0".to_owned() } else { terms.join(" + ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_written_as_people_write_them() {
        let classic = Polynomials::CLASSIC;
        assert_eq!(classic.to_string(), "H(i) = i² + 2i + 17, Φ(i, j) = i² + j² + 2j + 25");
        let none = KeyPolynomial { square: 0, linear: 0, constant: 0 };
        assert_eq!(Polynomials { key: none, ..classic }.to_string(), "H(i) = 0, Φ(i, j) = i² + j² + 2j + 25");
    }
}
