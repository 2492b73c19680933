//! `spec.ring`: each algorithm has fields of its own, and a size that its fleet must fit.

use std::collections::BTreeMap;

use crate::api::{
    KetamaPlacement, KeyHashFunction, KeyPolynomialSpec, PolynomialsSpec, RingAlgorithm, RingMember, RingSection,
    ServerPolynomialSpec,
};
use crate::controller::validate::{Checker, FieldErrors};
use crate::model::Ordinal;
use crate::ring::{KetamaSpec, KeyHash, KeyPolynomial, Placement, Polynomials, RingSpec, Seats, ServerPolynomial};

const SLOTS: &str = "spec.ring.slots";
const MEMBERS: &str = "spec.ring.members";
const DEFAULT_SLOTS: i32 = 65_536;

/// What `spec.ring` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRing {
    /// Algorithm and size.
    pub ring: RingSpec,
    /// How keys are hashed.
    pub key_hash: KeyHash,
    /// The weights of ordinals; 1 where none is named.
    pub weights: BTreeMap<Ordinal, u16>,
}

/// Turns the ring's part of a spec, for a fleet of so many replicas, into what the core works with.
///
/// # Errors
/// Every field that is wrong, not only the first.
pub fn ring(section: &RingSection, replicas: u16) -> Result<CheckedRing, FieldErrors> {
    let mut check = Checker::default();
    let ring = checked(section, replicas, &mut check);
    if check.is_content() { Ok(ring) } else { Err(FieldErrors(check.errors)) }
}

pub(super) fn checked(section: &RingSection, replicas: u16, check: &mut Checker) -> CheckedRing {
    misplaced(section, check);
    alike(section, check);
    let weights = weights(&section.members, check);
    let ring = ring_spec(section, check);
    capacity(&ring, replicas, &weights, check);
    CheckedRing { ring, key_hash: key_hash(section, check), weights }
}

/// Fields that belong to another algorithm.
fn misplaced(section: &RingSection, check: &mut Checker) {
    let algorithm = section.algorithm;
    if let Some(slots) = section.slots
        && !matches!(algorithm, RingAlgorithm::Rendezvous | RingAlgorithm::Maglev)
    {
        check.fail(SLOTS, &slots.to_string(), "leave it out: only Rendezvous and Maglev have slots");
    }
    if let Some(points) = section.points
        && algorithm != RingAlgorithm::Ketama
    {
        check.fail("spec.ring.points", &points.to_string(), "leave it out: only Ketama has points");
    }
    if let Some(placement) = section.placement
        && algorithm != RingAlgorithm::Ketama
    {
        check.fail("spec.ring.placement", &format!("{placement:?}"), "leave it out: only Ketama has a placement");
    }
    if section.polynomials.is_some() && algorithm != RingAlgorithm::Polynomial {
        check.fail("spec.ring.polynomials", "", "leave it out: only Polynomial has polynomials");
    }
    if let Some(name) = section.members.iter().find_map(|member| member.name.as_deref())
        && algorithm != RingAlgorithm::Ketama
    {
        check.fail(MEMBERS, name, "leave the names out: only Ketama places members by name");
    }
}

/// Of two members whose names are hashed alike, one would have no key.
fn alike(section: &RingSection, check: &mut Checker) {
    let placement = placement(section);
    let is_named = |ordinal| section.members.iter().any(|member| member.ordinal == ordinal && member.name.is_some());
    let mut known: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for name in section.members.iter().filter_map(|member| member.name.as_deref()) {
        let hashed = placement.hashed(name);
        match known.insert(hashed, name) {
            Some(other) if other == name => check.fail(MEMBERS, name, "a name is listed twice; leave one"),
            Some(other) => check.fail(MEMBERS, name, &format!("it is hashed as {other:?} is; leave one")),
            None => {}
        }
        let ordinal = hashed.0.parse::<u16>().ok().filter(|ordinal| hashed == (&*ordinal.to_string(), ""));
        if let Some(ordinal) = ordinal
            && !is_named(i32::from(ordinal))
        {
            let way_out = "use the server's own, such as 10.0.0.1:8080";
            check.fail(MEMBERS, name, &format!("ordinal {ordinal} is called so, for it has no name; {way_out}"));
        }
    }
}

fn placement(section: &RingSection) -> Placement {
    match section.placement {
        None | Some(KetamaPlacement::Nginx) => Placement::Nginx,
        Some(KetamaPlacement::IngressNginx) => Placement::IngressNginx,
    }
}

fn ring_spec(section: &RingSection, check: &mut Checker) -> RingSpec {
    match section.algorithm {
        RingAlgorithm::Rendezvous => {
            let slots = section.slots.unwrap_or(DEFAULT_SLOTS);
            let usable =
                u32::try_from(slots).ok().filter(|slots| (2..=1 << 20).contains(slots) && slots.is_power_of_two());
            if usable.is_none() {
                check.fail(SLOTS, &slots.to_string(), "use a power of two from 2 to 1048576");
            }
            usable.map_or_else(RingSpec::default, |slots| RingSpec::Rendezvous { slots })
        }
        RingAlgorithm::Maglev => {
            let slots = check.number(SLOTS, section.slots.unwrap_or(DEFAULT_SLOTS), 2, 1_048_576_u32);
            RingSpec::Maglev { slots: slots.max(2) }
        }
        RingAlgorithm::Ketama => {
            let points = check.number("spec.ring.points", section.points.unwrap_or(160), 1, 1000_u32);
            let named = section.members.iter().filter_map(|member| {
                let name = member.name.as_deref()?;
                if !(1..=255).contains(&name.chars().count()) {
                    check.fail(MEMBERS, name, "use a name of 1 to 255 characters");
                }
                Some((u16::try_from(member.ordinal).ok()?, name.into()))
            });
            let names = std::sync::Arc::new(named.collect());
            RingSpec::Ketama(KetamaSpec { points: points.max(1), names, placement: placement(section) })
        }
        RingAlgorithm::Polynomial => {
            RingSpec::Polynomial(polynomials(&section.polynomials.clone().unwrap_or_default(), check))
        }
    }
}

fn polynomials(spec: &PolynomialsSpec, check: &mut Checker) -> Polynomials {
    let mut factor = |path: &str, value: i32| check.number(&format!("spec.ring.polynomials.{path}"), value, 0, 511_u16);
    let KeyPolynomialSpec { ii, i, constant } = spec.key;
    let key = KeyPolynomial {
        square: factor("key.ii", ii),
        linear: factor("key.i", i),
        constant: factor("key.constant", constant),
    };
    let ServerPolynomialSpec { ii, i, jj, j, constant } = spec.server;
    let server = ServerPolynomial {
        server_square: factor("server.ii", ii),
        server_linear: factor("server.i", i),
        virtual_square: factor("server.jj", jj),
        virtual_linear: factor("server.j", j),
        constant: factor("server.constant", constant),
    };
    Polynomials { key, server }
}

fn key_hash(section: &RingSection, check: &mut Checker) -> KeyHash {
    let is_ketama = section.algorithm == RingAlgorithm::Ketama;
    match section.key_hash {
        None if is_ketama => KeyHash::Crc32,
        None | Some(KeyHashFunction::SipHash) => KeyHash::SipHash,
        Some(KeyHashFunction::Xxh3) => KeyHash::Xxh3,
        Some(KeyHashFunction::Crc32) => {
            if !is_ketama {
                let way_out = "use SipHash or Xxh3: CRC-32 is for Ketama, which needs no more of a key";
                check.fail("spec.ring.keyHash", "Crc32", way_out);
            }
            KeyHash::Crc32
        }
    }
}

fn weights(members: &[RingMember], check: &mut Checker) -> BTreeMap<Ordinal, u16> {
    check.count(MEMBERS, members.len(), "members", 256);
    let mut weights = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let ordinal = check.number(&format!("{MEMBERS}[{index}].ordinal"), member.ordinal, 0, 65_534_u16);
        let weight = check.number(&format!("{MEMBERS}[{index}].weight"), member.weight, 1, 1000_u16);
        if weights.insert(Ordinal(ordinal), weight).is_some() {
            check.fail(&format!("{MEMBERS}[{index}].ordinal"), &ordinal.to_string(), "listed twice; leave one");
        }
    }
    weights
}

/// Whether the ring seats the whole fleet.
fn capacity(ring: &RingSpec, replicas: u16, weights: &BTreeMap<Ordinal, u16>, check: &mut Checker) {
    let besides: u64 = weights.values().map(|weight| u64::from(*weight) - 1).sum();
    let (wanted, limit) = match ring.seats() {
        Seats::Members(limit) => (u64::from(replicas), limit),
        Seats::Weight(limit) => (u64::from(replicas) + besides, limit),
    };
    let way_out = match ring {
        RingSpec::Rendezvous { .. } => return, // seats all that there can be
        RingSpec::Ketama(_) => {
            "a Ketama ring has at most 1048576 points, replicas counted by weight times spec.ring.points; use fewer"
        }
        RingSpec::Maglev { .. } => "a Maglev ring needs a slot for each replica; use more in spec.ring.slots",
        RingSpec::Polynomial(_) => {
            "a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in spec.ring.algorithm"
        }
    };
    if wanted > u64::from(limit) {
        check.fail("spec.replicas", &replicas.to_string(), way_out);
    }
}
