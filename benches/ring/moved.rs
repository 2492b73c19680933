//! What removing one member moves besides that member's own keys.

use anyhow::ensure;
use ringhold::ring::KeyHash;

use crate::keys::Keys;
use crate::report::{Cell, Column, Row, Table};
use crate::rings::{self, Change, SLOTS, Subject, our_ketama, our_maglev, rendezvous};

/// Who goes: nobody special.
const GONE: u16 = 37;
/// Who is slow has one key of so many, where there are a thousand members.
const SLOW: usize = 20;

pub(crate) fn measure(keys: &Keys) -> anyhow::Result<Table> {
    let mut entries: Vec<(Subject, Option<f64>)> =
        vec![(rendezvous(SLOTS, KeyHash::Xxh3), Some(0.0)), (our_maglev(KeyHash::Xxh3), None), (our_ketama(), None)];
    entries.extend(rings::others().into_iter().map(|subject| (subject, None)));
    let mut rows = Vec::new();
    for (subject, at_most) in entries {
        let mut cells = Vec::new();
        for members in [100, 1000] {
            let count = if subject.is_slow && members == 1000 { keys.len() / SLOW } else { keys.len() };
            let Moved { beyond, needed } = moved(&subject, members, keys, count)?;
            cells.extend([Cell::Number(beyond as f64), Cell::Number(beyond as f64 / needed as f64)]);
        }
        rows.push(Row::new(subject.name, "", cells).at_most(0, at_most).at_most(2, at_most));
    }
    Ok(Table {
        name: "moved",
        title: format!("Keys moved beyond need when one member of 100 or of 1000 goes, of {} keys", keys.len()),
        columns: vec![
            Column::new("of 100", 0),
            Column::new("× the needed", 2),
            Column::new("of 1000", 0),
            Column::new("× the needed", 2),
        ],
        rows,
        remarks: vec![format!(
            "needed are the keys of the member that goes; hrw-hash with 1000 members: {} keys",
            keys.len() / SLOW
        )],
    })
}

struct Moved {
    /// Keys of others that have another owner after.
    beyond: usize,
    /// Keys of the member that goes.
    needed: usize,
}

fn moved(subject: &Subject, members: u16, keys: &Keys, count: usize) -> anyhow::Result<Moved> {
    let before = rings::ids(members);
    let after: Vec<u16> = before.iter().copied().filter(|id| *id != GONE).collect();
    let mut ring = subject.build(&before)?;
    let owners_before = ring.owners(keys, count);
    ring.change(Change::Remove(GONE), &after)?;
    let owners_after = ring.owners(keys, count);
    ensure!(!owners_after.contains(&GONE), "{}: a member that is gone has keys", subject.name);
    let needed = owners_before.iter().filter(|owner| **owner == GONE).count();
    ensure!(needed > 0, "{}: a member has no key", subject.name);
    let beyond = owners_before.iter().zip(&owners_after).filter(|(before, after)| before != after && **before != GONE);
    Ok(Moved { beyond: beyond.count(), needed })
}
