//! The crate `anchorhash`. Its capacity is fixed when it is built, here with room for some more members.

use std::hash::BuildHasher;

use anchorhash::{AnchorHash, Builder};

use super::{Change, Key, NOBODY, Ring, Subject};

struct Anchor<B: BuildHasher>(AnchorHash<Key<'static>, u16, B>);

pub(crate) fn anchorhash<B: BuildHasher + Clone + 'static>(hash: &'static str, hasher: B) -> Subject {
    Subject::new("anchorhash 0.2.2", hash, move |members| {
        let capacity = u16::try_from((members.len() + 1).next_power_of_two())?;
        let builder = Builder::with_hasher(hasher.clone()).with_resources(members.iter().copied());
        Ok(Box::new(Anchor(builder.build(capacity))))
    })
}

impl<B: BuildHasher> Ring for Anchor<B> {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        let anchor: &AnchorHash<Key<'_>, u16, B> = &self.0;
        anchor.get_resource(Key(key)).copied().unwrap_or(NOBODY)
    }

    fn change(&mut self, change: Change, _: &[u16]) -> anyhow::Result<()> {
        match change {
            Change::Add(id) => Ok(self.0.add_resource(id)?),
            Change::Remove(id) => Ok(self.0.remove_resource(&id)?),
        }
    }

    fn is_incremental(&self) -> bool {
        true
    }
}
