//! The classic circle of virtual nodes, placed exactly as nginx places them for `hash … consistent`, and ingress-nginx for
//! `upstream-hash-by`, so that a fleet can move over from there without moving keys.
//!
//! Each member has 160 points for each unit of weight. Point j stands at
//!
//! ```text
//! crc32(name ‖ point j − 1)        point −1 = 0, 32 bits, lowest byte first
//! ```
//!
//! where nginx, which has this from Cache::Memcached::Fast, hashes a server's name as `host ‖ 0 ‖ port`, and ingress-nginx
//! (chash of lua-resty-balancer) as it is written: `IP:PORT`. A key belongs to the first point that is not before its own
//! CRC-32. Where points of several members fall together the lowest id has it. nginx leaves that to the C library's sort:
//! glibc's gives it to the server that its configuration names first.

use std::ops::RangeInclusive;

use crate::ring::Member;
use crate::ring::spec::{Ketama as Spec, Placement};
use crate::ring::walk::Walk;

/// How many points a unit of weight can have.
pub(super) const POINTS: RangeInclusive<u32> = 1..=1000;

/// The most points of all members together.
pub(super) const MAX_POINTS: u32 = 1 << 20;

/// The circle.
#[derive(Clone)]
pub(super) struct Ketama {
    /// Where the points stand, ascending, each place once.
    points: Box<[u32]>,
    /// Whose each point is.
    owners: Box<[u16]>,
    /// From a place's highest bits to the first point that may be the one, so that a lookup need not bisect: there are
    /// at least as many entries as points, and CRCs spread evenly.
    starts: Box<[u32]>,
    /// From a place to its entry in `starts`.
    shift: u32,
}

// === impl Ketama ===

impl Ketama {
    /// Places the points of these members, sorted by id, whose number fits.
    pub(super) fn build(spec: &Spec, members: &[Member]) -> Self {
        let weight: usize = members.iter().map(|member| usize::from(member.weight)).sum();
        // Place and owner in one number, which sorts faster than a pair.
        let mut circle: Vec<u64> = Vec::with_capacity(weight * spec.points as usize);
        for member in members {
            let base = base(spec, member.id);
            let mut previous = 0_u32;
            for _ in 0..spec.points * u32::from(member.weight) {
                let mut hash = base.clone();
                hash.update(&previous.to_le_bytes());
                previous = hash.finalize();
                circle.push((u64::from(previous) << 32) | u64::from(member.id));
            }
        }
        circle.sort_unstable();
        circle.dedup_by_key(|point| place(*point));
        let points: Vec<u32> = circle.iter().map(|point| place(*point)).collect();
        let owners = circle.iter().map(|point| (point & 0xffff) as u16).collect();
        let bits = points.len().next_power_of_two().trailing_zeros().max(1);
        let shift = u32::BITS - bits;
        let starts = (0..1_u32 << bits).scan(0_usize, |next, entry| {
            while points.get(*next).is_some_and(|point| point >> shift < entry) {
                *next += 1;
            }
            u32::try_from(*next).ok()
        });
        let starts = starts.collect();
        Self { points: points.into(), owners, starts, shift }
    }

    #[inline]
    pub(super) fn primary(&self, hash: u64) -> Option<u16> {
        self.owners.get(self.index(hash)).copied()
    }

    pub(super) fn candidates<'ring>(&'ring self, members: &'ring [Member], hash: u64) -> Walk<'ring> {
        Walk::new(&self.owners, members, self.index(hash))
    }

    /// The first point that is not before this hash's place.
    #[inline]
    fn index(&self, hash: u64) -> usize {
        let place = place(hash);
        let mut index = self.starts[(place >> self.shift) as usize] as usize;
        while self.points.get(index).is_some_and(|point| *point < place) {
            index += 1;
        }
        if index == self.points.len() { 0 } else { index }
    }

    pub(super) fn points(&self) -> &[u32] {
        &self.points
    }

    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.points) + size_of_val(&*self.owners) + size_of_val(&*self.starts)
    }
}

impl std::fmt::Debug for Ketama {
    /// Without the circle: nobody reads a million numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ketama").field("points", &self.points.len()).finish_non_exhaustive()
    }
}

// === impl Placement ===

impl Placement {
    /// What of a name is hashed: host and port, or all of it and nothing. Members with the same stand at the same points.
    #[must_use]
    pub fn hashed(self, name: &str) -> (&str, &str) {
        match self {
            Self::Nginx => host_and_port(name),
            Self::IngressNginx => (name, ""),
        }
    }
}

/// A hash's highest 32 bits.
#[inline]
fn place(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The CRC of a member's name, going on.
fn base(spec: &Spec, id: u16) -> crc32fast::Hasher {
    let id_as_name;
    let name = match spec.names.get(&id) {
        Some(name) => name,
        None => {
            id_as_name = id.to_string();
            id_as_name.as_str()
        }
    };
    let mut hash = crc32fast::Hasher::new();
    let (host, port) = spec.placement.hashed(name);
    hash.update(host.as_bytes());
    if spec.placement == Placement::Nginx {
        hash.update(&[0]);
        hash.update(port.as_bytes());
    }
    hash
}

/// As nginx parts a server's name: a port is what follows the last colon, if it is all digits; a Unix socket has none.
fn host_and_port(name: &str) -> (&str, &str) {
    if name.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:")) {
        return (&name[5..], "");
    }
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parted_as_nginx_does() {
        let cases = [
            ("10.0.0.1:8080", ("10.0.0.1", "8080")),
            ("backend.example", ("backend.example", "")),
            ("[::1]:80", ("[::1]", "80")),
            ("[::1]", ("[::1]", "")),
            ("UNIX:/run/a.sock", ("/run/a.sock", "")),
            ("host:", ("host", "")),
            ("7", ("7", "")),
        ];
        for (name, parts) in cases {
            assert_eq!(host_and_port(name), parts, "{name}");
        }
    }

    #[test]
    fn a_lookup_finds_what_bisection_finds() {
        let members: Vec<Member> = (0..9).map(|id| Member { id, weight: 1 + id % 3 }).collect();
        let ring = Ketama::build(&Spec::default(), &members);
        let around = ring.points.iter().flat_map(|point| [point.saturating_sub(1), *point, point.saturating_add(1)]);
        for place in around.chain([0, u32::MAX]) {
            let first = ring.points.partition_point(|point| *point < place) % ring.points.len();
            assert_eq!(ring.primary(u64::from(place) << 32), Some(ring.owners[first]), "{place}");
        }
    }
}
