//! Which ordinals make the ring: as many as are wanted, and as far as possible those that are there.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::model::Ordinal;
use crate::plan::fleet::Fleet;

/// The ring's members, sorted.
///
/// Too many: those marked remove-first go, then those that do not serve, then the highest. Too few: ordinals that
/// still have something in them come back before the lowest free ones, so that keys return where they were.
pub(super) fn choose(fleet: &Fleet<'_>) -> Vec<Ordinal> {
    let wanted = usize::from(fleet.desired.replicas);
    let mut occupied: Vec<_> = fleet.places.values().filter(|place| place.is_occupied()).collect();
    if occupied.len() > wanted {
        occupied.sort_by_key(|place| (place.removes_first(), !place.serves(), place.ordinal));
        occupied.truncate(wanted);
    }
    let mut members: BTreeSet<Ordinal> = occupied.iter().map(|place| place.ordinal).collect();
    let mut left = fleet.places.keys().copied().collect::<Vec<_>>();
    left.sort_by_key(|ordinal| Reverse(*ordinal));
    let mut lowest = (0..=u16::MAX).map(Ordinal);
    while members.len() < wanted {
        let Some(next) = left.pop().or_else(|| lowest.next()) else { break };
        members.insert(next);
    }
    members.into_iter().collect()
}
