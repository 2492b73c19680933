//! The crate `hashring`. It leaves virtual nodes to its users; here a member has as many as nginx gives it.

use std::hash::BuildHasher;

use anyhow::Context;
use hashring::HashRing;

use super::{Change, Key, NOBODY, POINTS, Ring, Subject};

struct Circle<B>(HashRing<Point, B>);

/// One of a member's virtual nodes.
#[derive(Debug, Clone, Copy, Hash)]
struct Point {
    member: u16,
    number: u16,
}

pub(crate) fn hashring<B: BuildHasher + Clone + 'static>(hash: &'static str, hasher: B) -> Subject {
    Subject::new(format!("hashring 0.3.6, {POINTS} points"), hash, move |members| {
        let mut ring = HashRing::with_hasher(hasher.clone());
        ring.batch_add(members.iter().flat_map(|member| points(*member)).collect());
        Ok(Box::new(Circle(ring)))
    })
}

fn points(member: u16) -> impl Iterator<Item = Point> {
    (0..u16::MAX).take(POINTS as usize).map(move |number| Point { member, number })
}

impl<B: BuildHasher> Ring for Circle<B> {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        self.0.get(&Key(key)).map_or(NOBODY, |point| point.member)
    }

    /// Points, that is: a member may come twice.
    #[inline(always)]
    fn three(&self, key: &[u8]) -> [u16; 3] {
        let points = self.0.get_with_replicas(&Key(key), 2).unwrap_or_default();
        let mut members = points.into_iter().map(|point| point.member);
        [(); 3].map(|()| members.next().unwrap_or(NOBODY))
    }

    fn change(&mut self, change: Change, _: &[u16]) -> anyhow::Result<()> {
        match change {
            Change::Add(member) => self.0.batch_add(points(member).collect()),
            Change::Remove(member) => {
                for point in points(member) {
                    self.0.remove(&point).context("a point that was added is not there")?;
                }
            }
        }
        Ok(())
    }

    fn is_incremental(&self) -> bool {
        true
    }
}
