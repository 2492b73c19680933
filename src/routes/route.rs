//! One LoadBalancer's way from a key hash to a replica: policy, ring and the seats around it, all of one moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Desired, FleetId, Incarnation, Observed, Ordinal, Replica, ReplicaName, ReplicaUid, RoutePolicy};
use crate::ring::{Member, Ring};
use crate::routes::Upstream;
use crate::routes::bounded::BoundedLoad;
use crate::tls::{ClientTls, ServerTls};

/// Admits every key.
const ALL_KEYS: u32 = 1 << 16;

/// What the controller wants routed for one LoadBalancer: a pure function of the resource and its replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub(super) policy: Arc<RoutePolicy>,
    pub(super) seats: Vec<PlacedSeat>,
    pub(super) tls: Option<ServerTls>,
    pub(super) wire: Wire,
}

/// How replicas are spoken with.
#[derive(Debug, Clone, PartialEq)]
pub enum Wire {
    /// In the clear.
    Plain,
    /// With TLS.
    Tls(ClientTls),
    /// Not at all yet: TLS is wanted, and nobody knows whom to trust.
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlacedSeat {
    pub(super) ordinal: Ordinal,
    pub(super) replica: Option<PlacedReplica>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlacedReplica {
    pub(super) name: ReplicaName,
    pub(super) uid: ReplicaUid,
    pub(super) address: SocketAddr,
    pub(super) admitted: u32,
}

/// A published route. Immutable but for the facts inside each [`Upstream`].
#[derive(Debug)]
pub struct Route {
    /// Whose it is.
    pub id: FleetId,
    /// Everything of the spec that the proxy reads.
    pub policy: Arc<RoutePolicy>,
    /// The ring over the seats' ordinals.
    pub ring: Arc<Ring>,
    /// Every member's share of the key space, by seat.
    pub shares: Arc<[f64]>,
    /// What TLS is spoken with, if `policy.listener` wants any and there is a certificate.
    pub tls: Option<ServerTls>,
    /// How its replicas are spoken with.
    pub wire: Wire,
    /// One for each member of the ring, sorted by ordinal.
    pub(super) seats: Vec<Seat>,
    /// From an ordinal to its seat's index; `u16::MAX`: none.
    pub(super) seat_of: Vec<u16>,
    /// `None`: off.
    pub(super) bounded: Option<BoundedLoad>,
}

/// A member's place, taken by a replica or empty for now.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The member.
    pub ordinal: Ordinal,
    /// Its weight in the ring.
    pub weight: u16,
    /// Who serves its keys; `None`: nobody is ready, its keys go to the next candidate.
    pub upstream: Option<Arc<Upstream>>,
    /// Of 65,536 shares of its keys, so many are admitted (slow start).
    pub(super) admitted: u32,
}

// === impl Placement ===

impl Placement {
    /// Seats for `members`, each with the newest replica that serves there.
    #[must_use]
    pub fn new(desired: &Desired, observed: &Observed, members: &[Ordinal], now: Timestamp) -> Self {
        let mut members = members.to_vec();
        members.sort_unstable();
        members.dedup();
        let seats = members
            .into_iter()
            .map(|ordinal| {
                let replica = observed
                    .replicas
                    .iter()
                    .filter(|replica| replica.ordinal == ordinal && replica.serves())
                    .max_by_key(|replica| replica.incarnation)
                    .and_then(|replica| PlacedReplica::new(replica, desired.rollout.slow_start, now));
                PlacedSeat { ordinal, replica }
            })
            .collect();
        let policy = Arc::clone(&desired.route);
        let wire = if policy.replica_tls.is_some() { Wire::Unknown } else { Wire::Plain };
        Self { policy, seats, tls: None, wire }
    }

    /// With this for handshakes, where the listener wants TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<ServerTls>) -> Self {
        Self { tls: tls.filter(|_| self.policy.listener.tls.is_some()), ..self }
    }

    /// With this for connections to replicas, where the spec wants TLS with them.
    #[must_use]
    pub fn with_replica_tls(self, tls: Option<ClientTls>) -> Self {
        match (&self.wire, tls) {
            (Wire::Plain, _) | (_, None) => self,
            (Wire::Tls(_) | Wire::Unknown, Some(tls)) => Self { wire: Wire::Tls(tls), ..self },
        }
    }

    /// Whether some replica does not get all its keys yet, so that time alone changes the placement.
    #[must_use]
    pub fn is_ramping(&self) -> bool {
        self.seats.iter().filter_map(|seat| seat.replica.as_ref()).any(|replica| replica.admitted < ALL_KEYS)
    }

    pub(super) fn ring_members(&self) -> Vec<Member> {
        let weight = |ordinal| self.policy.weight(ordinal);
        self.seats.iter().map(|seat| Member { id: seat.ordinal.0, weight: weight(seat.ordinal) }).collect()
    }
}

impl PlacedReplica {
    fn new(replica: &Replica, slow_start: Duration, now: Timestamp) -> Option<Self> {
        // Only a newcomer ramps: a replica that follows another takes its ordinal's keys whole, so none moves.
        let slow_start = if replica.incarnation == Incarnation(0) { slow_start } else { Duration::ZERO };
        let ready_for = replica.ready_for(now)?;
        Some(Self {
            name: replica.name.clone(),
            uid: replica.uid.clone(),
            address: replica.address?,
            admitted: admitted(ready_for, slow_start),
        })
    }
}

/// Of 65,536 shares of a member's keys, how many it gets after so long: linear in time, from a tenth.
fn admitted(ready_for: Duration, slow_start: Duration) -> u32 {
    if ready_for >= slow_start {
        return ALL_KEYS;
    }
    let part = ready_for.as_secs_f64() / slow_start.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and ALL_KEYS")]
    let admitted = ((0.1 + 0.9 * part) * f64::from(ALL_KEYS)) as u32;
    admitted
}

// === impl Route ===

impl Route {
    /// One for each member of the ring, sorted by ordinal.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The seat of a member of this route's ring.
    pub(super) fn seat(&self, member: u16) -> Option<&Seat> {
        self.seats.get(usize::from(*self.seat_of.get(usize::from(member))?))
    }
}

impl Seat {
    /// Slow start admits a deterministic part of a member's keys, taken from hash bits that do not choose the slot.
    pub(super) fn admits(&self, hash: u64) -> bool {
        (hash >> 16) & 0xffff < u64::from(self.admitted)
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.is_ejected())
    }

    /// Its weight under bounded load, in 256ths: who starts slowly shall have no more than its part of the load either.
    pub(super) fn effective_weight(&self) -> u64 {
        u64::from(self.weight) * u64::from(self.admitted >> 8)
    }

    /// Whether it may have its share of the load.
    pub(super) fn is_eligible(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.is_open()) && !self.is_ejected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReplicaState, TemplateHash, Traffic};

    #[test]
    fn only_a_newcomer_ramps_for_its_successors_take_their_keys_whole() {
        let slow_start = Duration::from_secs(100);
        let ready = |incarnation| Replica {
            name: ReplicaName::new(
                &FleetId::local("web"),
                Ordinal(0),
                &TemplateHash("t".into()),
                Incarnation(incarnation),
            ),
            uid: ReplicaUid("uid".into()),
            ordinal: Ordinal(0),
            incarnation: Incarnation(incarnation),
            template: TemplateHash("t".into()),
            failures: 0,
            address: Some(([127, 0, 0, 1], 80).into()),
            state: ReplicaState::Ready { since: Timestamp::UNIX_EPOCH },
            created_at: Timestamp::UNIX_EPOCH,
            draining_since: None,
            remove_first: false,
            trouble: None,
            traffic: Traffic::default(),
        };
        let admitted = |incarnation| {
            PlacedReplica::new(&ready(incarnation), slow_start, Timestamp::UNIX_EPOCH).map(|placed| placed.admitted)
        };
        assert_eq!((admitted(0), admitted(1)), (Some(6_553), Some(ALL_KEYS)));
    }

    #[test]
    fn slow_start_grows_from_a_tenth_to_all_keys() {
        let slow_start = Duration::from_secs(100);
        assert_eq!(admitted(Duration::ZERO, slow_start), 6_553);
        assert_eq!(admitted(Duration::from_secs(50), slow_start), 36_044);
        assert_eq!(admitted(slow_start, slow_start), ALL_KEYS);
        assert_eq!(admitted(Duration::ZERO, Duration::ZERO), ALL_KEYS);
    }
}
