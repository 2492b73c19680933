//! The crate `maglev`, with a table as large as ours.

use std::hash::BuildHasher;

use maglev::{ConsistentHasher, Maglev};

use super::{Change, Key, NOBODY, Ring, SLOTS, Subject};

struct Table<B: BuildHasher> {
    maglev: Maglev<u16, B>,
    hasher: B,
}

pub(crate) fn maglev<B: BuildHasher + Clone + 'static>(hash: &'static str, hasher: B) -> Subject {
    Subject::new("maglev 0.2.1, 65,537 slots", hash, move |members| {
        Ok(Box::new(Table { maglev: build(members, &hasher), hasher: hasher.clone() }))
    })
}

fn build<B: BuildHasher + Clone>(members: &[u16], hasher: &B) -> Maglev<u16, B> {
    Maglev::with_capacity_and_hasher(members.iter().copied(), SLOTS as usize, hasher.clone())
}

impl<B: BuildHasher + Clone> Ring for Table<B> {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        self.maglev.get(&Key(key)).copied().unwrap_or(NOBODY)
    }

    fn change(&mut self, _: Change, members: &[u16]) -> anyhow::Result<()> {
        self.maglev = build(members, &self.hasher);
        Ok(())
    }
}
