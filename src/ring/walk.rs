//! All members in the order in which they follow each other on a circle, each once.

use crate::ring::Member;

/// Clockwise from one place of the circle, once around. Who stands nowhere on it comes last, by id.
pub(super) struct Walk<'ring> {
    circle: &'ring [u16],
    members: &'ring [Member],
    place: usize,
    /// Places of the circle that were not looked at yet.
    ahead: usize,
    /// Members that were not looked for beside the circle yet.
    besides: usize,
    seen: Seen,
}

/// Ids that have come. The first few are kept in place, so that usual walks allocate nothing.
struct Seen {
    count: usize,
    first: [u16; FIRST],
    /// A bit for each possible id, once there are more.
    all: Vec<u64>,
}

const FIRST: usize = 8;

// === impl Walk ===

impl<'ring> Walk<'ring> {
    /// From this place of the circle on.
    #[inline]
    pub(super) fn new(circle: &'ring [u16], members: &'ring [Member], place: usize) -> Self {
        let seen = Seen { count: 0, first: [0; FIRST], all: Vec::new() };
        Self { circle, members, place, ahead: circle.len(), besides: 0, seen }
    }
}

impl Iterator for Walk<'_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        while self.seen.count < self.members.len() {
            let id = if self.ahead > 0 {
                self.ahead -= 1;
                let id = self.circle[self.place];
                self.place = if self.place + 1 == self.circle.len() { 0 } else { self.place + 1 };
                id
            } else {
                self.besides += 1;
                self.members[self.besides - 1].id
            };
            if self.seen.insert(id) {
                return Some(id);
            }
        }
        None
    }
}

// === impl Seen ===

impl Seen {
    /// Whether it is new.
    #[inline]
    fn insert(&mut self, id: u16) -> bool {
        let kept = self.count.min(FIRST);
        if self.first[..kept].contains(&id) {
            return false;
        }
        if kept == FIRST && !self.insert_into_all(id) {
            return false;
        }
        if kept < FIRST {
            self.first[kept] = id;
        }
        self.count += 1;
        true
    }

    #[cold]
    fn insert_into_all(&mut self, id: u16) -> bool {
        if self.all.is_empty() {
            self.all = vec![0; (usize::from(u16::MAX) + 1) / 64];
        }
        let (word, bit) = (usize::from(id) / 64, 1 << (id % 64));
        let is_new = self.all[word] & bit == 0;
        self.all[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_comes_once_in_the_circle_s_order_and_the_others_after() {
        let members: Vec<Member> = (0..20).map(|id| Member { id, weight: 1 }).collect();
        // 19 stands nowhere.
        let circle: Vec<u16> = (0..38).map(|place| (place * 7) % 19).collect();
        let walk: Vec<u16> = Walk::new(&circle, &members, 36).collect();
        let expected: Vec<u16> = (36..55).map(|place| (place * 7) % 19).chain([19]).collect();
        assert_eq!(walk, expected);
    }

    #[test]
    fn an_empty_circle_leads_nowhere() {
        assert_eq!(Walk::new(&[], &[], 0).count(), 0);
    }
}
