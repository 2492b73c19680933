//! The crate `hrw-hash`: rendezvous hashing that asks every member for every key.

use hrw_hash::HrwNodes;

use super::{Change, Key, NOBODY, Ring, Subject};

struct Nodes(HrwNodes<u16>);

pub(crate) fn hrw_hash() -> Subject {
    let subject = Subject::new("hrw-hash 2.0.3", "rapidhash", |members| Ok(Box::new(Nodes(build(members)))));
    Subject { is_slow: true, ..subject }
}

fn build(members: &[u16]) -> HrwNodes<u16> {
    HrwNodes::new(members.iter().copied())
}

impl Ring for Nodes {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        self.0.sorted(&Key(key)).next().copied().unwrap_or(NOBODY)
    }

    #[inline(always)]
    fn three(&self, key: &[u8]) -> [u16; 3] {
        let key = Key(key);
        let mut members = self.0.sorted(&key);
        [(); 3].map(|()| members.next().copied().unwrap_or(NOBODY))
    }

    fn change(&mut self, _: Change, members: &[u16]) -> anyhow::Result<()> {
        self.0 = build(members);
        Ok(())
    }
}
