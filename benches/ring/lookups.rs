//! How long it takes to find a key's owner, and the two that follow. Throughput: one lookup need not end before the next
//! begins, as with requests that have nothing to do with each other.

use anyhow::ensure;
use ringhold::ring::KeyHash;

use crate::args::Sizes;
use crate::evenness::{Census, PLAUSIBLE_PEAK};
use crate::keys::Keys;
use crate::memory;
use crate::report::{Cell, Column, Row, Table};
use crate::rings::{self, NOBODY, Ring, SLOTS, Subject, hash_alone, hrw_hash, our_ketama, our_maglev, rendezvous};
use crate::turns::{Turn, in_turns};

/// Keys that are looked up in turn: more than a branch predictor learns by heart, fewer than a cache holds.
const KEYS: usize = 1 << 16;

/// One that is measured, with as many members, and as many nanoseconds as it should take at most.
struct Entry {
    subject: Subject,
    members: u16,
    at_most: Option<f64>,
}

/// Keys to owners.
pub(crate) fn owners(sizes: &Sizes, keys: &Keys) -> anyhow::Result<Table> {
    let hashes = [KeyHash::Xxh3, KeyHash::SipHash, KeyHash::Crc32];
    let entry = |subject, at_most| Entry { subject, members: 100, at_most };
    let mut entries = vec![
        entry(rendezvous(SLOTS, KeyHash::Xxh3), Some(6.0)),
        entry(rendezvous(SLOTS, KeyHash::SipHash), Some(20.0)),
        entry(our_maglev(KeyHash::Xxh3), None),
        entry(our_ketama(), None),
    ];
    entries.extend(rings::others().into_iter().chain(rings::others_by_default()).map(|subject| entry(subject, None)));
    let built = built(&entries)?;
    for (entry, ring) in entries.iter().zip(&built) {
        check_owners(entry, &**ring, keys)?;
    }
    let floors: Vec<Entry> = hashes.map(|hash| entry(hash_alone(hash), None)).into();
    let built_floors = self::built(&floors)?;
    let all = built_floors.iter().chain(&built);
    let turns = all.map(|ring| Turn::filled(sizes, KEYS, |count| ring.sum_of_owners(keys, count))).collect();
    let times = in_turns(sizes.rounds, turns)?;
    let rows = floors.into_iter().chain(entries).zip(times);
    Ok(Table {
        name: "owner",
        title: "A key's owner among 100 members: nanoseconds, hashing the key included".to_owned(),
        columns: vec![Column::new("ns", 1)],
        rows: rows.map(|(entry, time)| entry.row(vec![Cell::Spread(time)])).collect(),
        remarks: Vec::new(),
    })
}

/// Keys to owners and two more.
pub(crate) fn candidates(sizes: &Sizes, keys: &Keys) -> anyhow::Result<Table> {
    let entry = |subject, members, at_most| Entry { subject, members, at_most };
    let entries = [
        entry(rendezvous(SLOTS, KeyHash::Xxh3), 1000, Some(30.0)),
        entry(rendezvous(SLOTS, KeyHash::SipHash), 1000, None),
        entry(our_maglev(KeyHash::Xxh3), 1000, None),
        entry(our_ketama(), 1000, None),
        entry(rings::pingora_ketama(), 1000, None),
        entry(rings::hashring("XXH3", rings::BuildXxh3), 1000, None),
        entry(hrw_hash(), 100, None),
        entry(hrw_hash(), 1000, None),
    ];
    let built = built(&entries)?;
    for (entry, ring) in entries.iter().zip(&built) {
        check_threes(entry, &**ring, keys)?;
    }
    let turns = built.iter().map(|ring| Turn::filled(sizes, KEYS, |count| ring.sum_of_threes(keys, count))).collect();
    let times = in_turns(sizes.rounds, turns)?;
    let rows = entries.into_iter().zip(&built).zip(times).map(|((entry, ring), time)| {
        let calls = 1000;
        let (_, memory) = memory::of(|| ring.sum_of_threes(keys, calls));
        let allocated = memory.allocated as f64 / calls as f64;
        let members = Cell::Number(entry.members.into());
        let no_byte = entry.at_most.map(|_| 0.0);
        entry.row(vec![Cell::Spread(time), Cell::Number(allocated), members]).at_most(1, no_byte)
    });
    Ok(Table {
        name: "candidates",
        title: "A key's owner and the next two: nanoseconds, hashing the key included".to_owned(),
        columns: vec![Column::new("ns", 1), Column::new("bytes allocated", 0), Column::new("members", 0)],
        rows: rows.collect(),
        remarks: vec![
            "anchorhash and maglev name no second member; hashring copies its ring, and may name a member twice"
                .to_owned(),
        ],
    })
}

fn built(entries: &[Entry]) -> anyhow::Result<Vec<Box<dyn Ring>>> {
    entries.iter().map(|entry| entry.subject.build(&rings::ids(entry.members))).collect()
}

/// What is fast but wrong would win.
fn check_owners(entry: &Entry, ring: &dyn Ring, keys: &Keys) -> anyhow::Result<()> {
    let census = Census::of(&ring.owners(keys, KEYS), entry.members);
    let name = &entry.subject.name;
    ensure!(census.strangers == 0, "{name}: {} keys have no member", census.strangers);
    ensure!(census.least > 0, "{name}: a member has no key");
    ensure!(census.peak < PLAUSIBLE_PEAK, "{name}: a member has {:.1} times its share", census.peak);
    Ok(())
}

fn check_threes(entry: &Entry, ring: &dyn Ring, keys: &Keys) -> anyhow::Result<()> {
    let name = &entry.subject.name;
    for key in keys.first(100) {
        let three = ring.three(key);
        ensure!(three[0] == ring.owner(key), "{name}: {three:?} does not begin with the owner");
        ensure!(!three.contains(&NOBODY), "{name}: {three:?} are not three members");
    }
    Ok(())
}

// === impl Entry ===

impl Entry {
    fn row(self, cells: Vec<Cell>) -> Row {
        Row::new(self.subject.name, self.subject.hash, cells).at_most(0, self.at_most)
    }
}
