//! Ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold::ring::{KetamaSpec, KeyHash, KeyHasher, Member, Ring as OurRing, RingSpec};

use super::{Change, NOBODY, POINTS, Ring, SLOTS, Subject, pingora};

/// As the proxy has it: the hash is chosen while it runs.
struct Ours {
    ring: OurRing,
    hasher: KeyHasher,
    hash: KeyHash,
}

/// What a lookup can't be faster than.
struct HashAlone {
    hasher: KeyHasher,
    hash: KeyHash,
}

/// The process's.
const SECRET: [u8; 16] = [7; 16];

pub(crate) fn rendezvous(slots: u32, hash: KeyHash) -> Subject {
    ours(format!("Rendezvous, 2{} slots", exponent(slots)), RingSpec::Rendezvous { slots }, hash)
}

pub(crate) fn our_maglev(hash: KeyHash) -> Subject {
    ours("Maglev, 65,537 slots", RingSpec::Maglev { slots: SLOTS }, hash)
}

pub(crate) fn our_ketama() -> Subject {
    ours(format!("Ketama, {POINTS} points"), ketama_spec(), KeyHash::Crc32)
}

/// With the names that the members have in pingora-ketama: both place every key alike.
pub(crate) fn ketama_spec() -> RingSpec {
    let names: BTreeMap<u16, Box<str>> =
        (0..NOBODY).map(|id| (id, pingora::address(id).to_string().into_boxed_str())).collect();
    RingSpec::Ketama(KetamaSpec { points: POINTS, names: Arc::new(names), ..KetamaSpec::default() })
}

/// Not a ring: the key's hash and nothing else.
pub(crate) fn hash_alone(hash: KeyHash) -> Subject {
    Subject::new("the hash alone", name(hash), move |_| {
        Ok(Box::new(HashAlone { hasher: KeyHasher::new(&SECRET), hash }))
    })
}

fn ours(kind: impl AsRef<str>, spec: RingSpec, hash: KeyHash) -> Subject {
    Subject::new(format!("Ringhold {}", kind.as_ref()), name(hash), move |members| {
        let ring = OurRing::build(spec.clone(), &weighed(members))?;
        Ok(Box::new(Ours { ring, hasher: KeyHasher::new(&SECRET), hash }))
    })
}

fn name(hash: KeyHash) -> &'static str {
    match hash {
        KeyHash::SipHash => "SipHash-1-3",
        KeyHash::Xxh3 => "XXH3",
        KeyHash::Crc32 => "CRC-32",
    }
}

fn weighed(members: &[u16]) -> Vec<Member> {
    members.iter().map(|id| Member { id: *id, weight: 1 }).collect()
}

/// ¹⁶ for 65,536.
fn exponent(slots: u32) -> String {
    let superscript = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = slots.ilog2().to_string();
    digits.bytes().map(|digit| superscript[usize::from(digit - b'0')]).collect()
}

// === impl Ours ===

impl Ring for Ours {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        self.ring.primary(self.hasher.hash(self.hash, key)).unwrap_or(NOBODY)
    }

    #[inline(always)]
    fn three(&self, key: &[u8]) -> [u16; 3] {
        let mut candidates = self.ring.candidates(self.hasher.hash(self.hash, key));
        [(); 3].map(|()| candidates.next().unwrap_or(NOBODY))
    }

    fn change(&mut self, _: Change, members: &[u16]) -> anyhow::Result<()> {
        self.ring = self.ring.with_members(&weighed(members))?;
        Ok(())
    }

    fn is_incremental(&self) -> bool {
        matches!(self.ring.spec(), RingSpec::Rendezvous { .. })
    }
}

// === impl HashAlone ===

impl Ring for HashAlone {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        (self.hasher.hash(self.hash, key) >> 48) as u16
    }

    fn change(&mut self, _: Change, _: &[u16]) -> anyhow::Result<()> {
        Ok(())
    }
}
