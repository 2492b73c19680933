//! The rings that are measured, each used as its crate's documentation has it.

mod anchor;
mod hashring;
mod hrw;
mod maglev;
mod ours;
mod pingora;
mod xxh3;

use std::hash::{Hash, Hasher};

use crate::keys::Keys;

pub(crate) use anchor::anchorhash;
pub(crate) use hashring::hashring;
pub(crate) use hrw::hrw_hash;
pub(crate) use maglev::maglev;
pub(crate) use ours::{hash_alone, ketama_spec, our_ketama, our_maglev, rendezvous};
pub(crate) use pingora::pingora_ketama;
pub(crate) use xxh3::BuildXxh3;

/// Which ring, with which hash of keys, and how it is built.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// Of keys.
    pub(crate) hash: &'static str,
    /// Whether a lookup asks every member, so that it is better asked for fewer keys.
    pub(crate) is_slow: bool,
    build: Build,
}

type Build = Box<dyn Fn(&[u16]) -> anyhow::Result<Box<dyn Ring>>>;

/// A ring that was built. Lookups are inlined into the loops that are timed, so that a crate's own cost is measured and none
/// of ours.
pub(crate) trait Ring {
    /// The member that has this key; [`NOBODY`] if there is none.
    fn owner(&self, key: &[u8]) -> u16;

    /// The owner and the next two; [`NOBODY`] where the crate names no others than the owner.
    fn three(&self, key: &[u8]) -> [u16; 3] {
        [self.owner(key), NOBODY, NOBODY]
    }

    /// Adds or removes a member, in the best way that the crate has. `members` are those that there are then.
    fn change(&mut self, change: Change, members: &[u16]) -> anyhow::Result<()>;

    /// Whether [`Ring::change`] does less than build anew.
    fn is_incremental(&self) -> bool {
        false
    }

    /// Looks up the first keys; the sum of their owners. A loop of this type's own, so that a lookup is no virtual call.
    fn sum_of_owners(&self, keys: &Keys, count: usize) -> u64 {
        keys.first(count).fold(0, |sum, key| sum + u64::from(self.owner(key)))
    }

    /// The same with [`Ring::three`].
    fn sum_of_threes(&self, keys: &Keys, count: usize) -> u64 {
        keys.first(count).fold(0, |sum, key| sum + self.three(key).into_iter().map(u64::from).sum::<u64>())
    }

    /// Who has the first keys, one after the other.
    fn owners(&self, keys: &Keys, count: usize) -> Vec<u16> {
        keys.first(count).map(|key| self.owner(key)).collect()
    }
}

/// No member has this id here.
pub(crate) const NOBODY: u16 = u16::MAX;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Add(u16),
    Remove(u16),
}

/// Slots of a table, where nothing else is said.
pub(crate) const SLOTS: u32 = 1 << 16;
/// Points of a member on a circle: as many as nginx has.
pub(crate) const POINTS: u32 = 160;

/// A key whose bytes are hashed, and nothing else; the standard library's would add their number.
#[derive(PartialEq, Eq)]
struct Key<'bytes>(&'bytes [u8]);

impl Hash for Key<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

// === impl Subject ===

impl Subject {
    fn new(
        name: impl Into<String>,
        hash: &'static str,
        build: impl Fn(&[u16]) -> anyhow::Result<Box<dyn Ring>> + 'static,
    ) -> Self {
        Self { name: name.into(), hash, is_slow: false, build: Box::new(build) }
    }

    /// Builds it of these members.
    pub(crate) fn build(&self, members: &[u16]) -> anyhow::Result<Box<dyn Ring>> {
        (self.build)(members)
    }
}

/// Those of other crates, each once.
pub(crate) fn others() -> Vec<Subject> {
    vec![
        anchorhash("XXH3", BuildXxh3),
        maglev("XXH3", BuildXxh3),
        pingora_ketama(),
        hashring("XXH3", BuildXxh3),
        hrw_hash(),
    ]
}

/// Those of other crates that take any hash, with the one that they have if nobody chooses.
pub(crate) fn others_by_default() -> Vec<Subject> {
    vec![
        anchorhash("SipHash-1-3", std::collections::hash_map::RandomState::new()),
        maglev("SipHash-1-3", std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default()),
        hashring("SipHash-2-4", ::hashring::DefaultHashBuilder),
    ]
}

/// The ids from 0 on.
pub(crate) fn ids(count: u16) -> Vec<u16> {
    (0..count).collect()
}
