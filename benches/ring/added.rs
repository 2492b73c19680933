//! What it takes to add one member to a thousand.

use std::time::Instant;

use ringhold::ring::KeyHash;

use crate::args::Sizes;
use crate::report::{Cell, Column, Row, Table};
use crate::rings::{self, Change, SLOTS, Subject, our_ketama, our_maglev, rendezvous};
use crate::turns::{Turn, in_turns};

const MEMBERS: u16 = 1000;

pub(crate) fn measure(sizes: &Sizes) -> anyhow::Result<Table> {
    let mut entries: Vec<(Subject, Option<f64>)> = vec![
        (rendezvous(SLOTS, KeyHash::Xxh3), Some(1000.0)),
        (rendezvous(1 << 20, KeyHash::Xxh3), None),
        (our_maglev(KeyHash::Xxh3), None),
        (our_ketama(), None),
    ];
    entries.extend(rings::others().into_iter().map(|subject| (subject, None)));
    let (before, after) = (rings::ids(MEMBERS), rings::ids(MEMBERS + 1));
    let mut built = entries.iter().map(|(subject, _)| subject.build(&before)).collect::<anyhow::Result<Vec<_>>>()?;
    let how: Vec<bool> = built.iter().map(|ring| ring.is_incremental()).collect();
    let turns = built.iter_mut().map(|ring| {
        Turn::once(|| {
            let start = Instant::now();
            ring.change(Change::Add(MEMBERS), &after)?;
            let took = start.elapsed();
            ring.change(Change::Remove(MEMBERS), &before)?;
            Ok(took)
        })
    });
    let times = in_turns(sizes.rounds, turns.collect())?;
    let rows = entries.into_iter().zip(how).zip(times).map(|(((subject, at_most), is_incremental), time)| {
        let how = if is_incremental { "adds" } else { "builds anew" };
        let cells = vec![Cell::Spread(time.scaled(1e-3)), Cell::Text(how.to_owned())];
        Row::new(subject.name, "", cells).at_most(0, at_most)
    });
    Ok(Table {
        name: "added",
        title: format!("Adding one member to {MEMBERS}: microseconds"),
        columns: vec![Column::new("µs", 1), Column::new("how", 0)],
        rows: rows.collect(),
        remarks: vec!["what anchorhash sends where depends on the order in which members came and went".to_owned()],
    })
}
