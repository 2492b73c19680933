//! What it takes to build a ring of a thousand members: time and memory.

use std::hint::black_box;
use std::time::Instant;

use ringhold::ring::KeyHash;

use crate::args::Sizes;
use crate::memory;
use crate::report::{Cell, Column, Row, Table};
use crate::rings::{self, SLOTS, Subject, our_ketama, our_maglev, rendezvous};
use crate::turns::{Turn, in_turns};

const MEMBERS: u16 = 1000;

pub(crate) fn measure(sizes: &Sizes) -> anyhow::Result<Table> {
    let mut entries: Vec<(Subject, Option<f64>)> = vec![
        (rendezvous(SLOTS, KeyHash::Xxh3), Some(4.0)),
        (rendezvous(1 << 20, KeyHash::Xxh3), Some(120.0)),
        (our_maglev(KeyHash::Xxh3), None),
        (our_ketama(), None),
    ];
    entries.extend(rings::others().into_iter().map(|subject| (subject, None)));
    let members = rings::ids(MEMBERS);
    let turns = entries.iter().map(|(subject, _)| {
        Turn::once(|| {
            let start = Instant::now();
            let ring = black_box(subject.build(black_box(&members))?);
            let took = start.elapsed();
            drop(ring);
            Ok(took)
        })
    });
    let times = in_turns(sizes.rounds, turns.collect())?;
    let mut rows = Vec::new();
    for ((subject, at_most), time) in entries.into_iter().zip(times) {
        let (ring, memory) = memory::of(|| subject.build(&members));
        drop(ring?);
        let kibibytes = |bytes: usize| Cell::Number(bytes as f64 / 1024.0);
        let cells = vec![Cell::Spread(time.scaled(1e-6)), kibibytes(memory.kept), kibibytes(memory.allocated)];
        rows.push(Row::new(subject.name, "", cells).at_most(0, at_most));
    }
    Ok(Table {
        name: "build",
        title: format!("Building a ring of {MEMBERS} members: milliseconds, and the memory that it has and took"),
        columns: vec![Column::new("ms", 2), Column::new("KiB kept", 0), Column::new("KiB allocated", 0)],
        rows,
        remarks: Vec::new(),
    })
}
