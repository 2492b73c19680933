//! How many keys the fullest of a hundred members has, relative to the mean.

use anyhow::ensure;
use ringhold::ring::{KeyHash, Member, Ring as OurRing, RingSpec};

use crate::args::Sizes;
use crate::keys::{Keys, SEED};
use crate::report::{Cell, Column, Row, Table};
use crate::rings::{self, SLOTS, Subject, ketama_spec, our_ketama, our_maglev, pingora_ketama, rendezvous};

const MEMBERS: u16 = 100;

/// Further from the mean than this no ring here has a member, unless it was used wrongly.
pub(crate) const PLAUSIBLE_PEAK: f64 = 2.0;

/// Who has how many keys.
pub(crate) struct Census {
    /// The most that a member has, relative to the mean.
    pub(crate) peak: f64,
    /// The fewest that a member has.
    pub(crate) least: usize,
    /// Keys of those who are no members.
    pub(crate) strangers: usize,
}

/// One that is measured; ours also by the exact sizes of their parts.
struct Entry {
    subject: Subject,
    exact: Option<RingSpec>,
    at_most: Option<f64>,
}

pub(crate) fn measure(sizes: &Sizes, keys: &Keys) -> anyhow::Result<Table> {
    let table = |slots, at_most| Entry {
        subject: rendezvous(slots, KeyHash::Xxh3),
        exact: Some(RingSpec::Rendezvous { slots }),
        at_most,
    };
    let mut entries = vec![
        table(SLOTS, Some(1.08)),
        table(1 << 18, Some(1.035)),
        table(1 << 20, None),
        Entry { subject: our_maglev(KeyHash::Xxh3), exact: Some(RingSpec::Maglev { slots: SLOTS }), at_most: None },
        Entry { subject: our_ketama(), exact: Some(ketama_spec()), at_most: None },
    ];
    entries.extend(rings::others().into_iter().map(|subject| Entry { subject, exact: None, at_most: None }));
    let members = rings::ids(MEMBERS);
    let mut rows = Vec::new();
    for Entry { subject, exact, at_most } in entries {
        let owners = subject.build(&members)?.owners(keys, keys.len());
        let by_keys = Cell::Number(Census::of(&owners, MEMBERS).peak);
        let cells = match &exact {
            Some(spec) => {
                let peaks =
                    (0..sizes.ranges).map(|range| peak(spec, range * MEMBERS)).collect::<anyhow::Result<Vec<_>>>()?;
                let mean = peaks.iter().sum::<f64>() / f64::from(sizes.ranges);
                let most = peaks.iter().copied().fold(0.0, f64::max);
                vec![by_keys, Cell::Number(peaks[0]), Cell::Number(mean), Cell::Number(most)]
            }
            None => vec![by_keys, Cell::None, Cell::None, Cell::None],
        };
        rows.push(Row::new(subject.name, subject.hash, cells).at_most(1, at_most));
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let chosen: Vec<u16> = (0..keys.len()).map(|_| random.u16(0..MEMBERS)).collect();
    let by_chance = Cell::Number(Census::of(&chosen, MEMBERS).peak);
    rows.push(Row::new("a member at random", "", vec![by_chance, Cell::None, Cell::None, Cell::None]));
    Ok(Table {
        name: "evenness",
        title: format!("The fullest of {MEMBERS} members, relative to the mean"),
        columns: vec![
            Column::new("by keys", 4),
            Column::new("exact, ids 0–99", 4),
            Column::new("mean of ranges", 4),
            Column::new("worst range", 4),
        ],
        rows,
        remarks: vec![
            format!(
                "by keys: {} keys are counted, which alone makes an even ring look like the last row; exact: by the sizes of \
                 all arcs; ranges: ids 0–99, 100–199 … {}–{}",
                keys.len(),
                (sizes.ranges - 1) * MEMBERS,
                sizes.ranges * MEMBERS - 1
            ),
            agreement(keys)?,
        ],
    })
}

/// The exact peak of the hundred ids from this one on.
fn peak(spec: &RingSpec, first: u16) -> anyhow::Result<f64> {
    let members: Vec<Member> = (first..first + MEMBERS).map(|id| Member { id, weight: 1 }).collect();
    let shares = OurRing::build(spec.clone(), &members)?.shares();
    Ok(shares.into_iter().fold(0.0, f64::max) * f64::from(MEMBERS))
}

/// Both Ketamas place points as nginx does, so they must agree on every key but those between points that collide.
fn agreement(keys: &Keys) -> anyhow::Result<String> {
    let owners = |subject: Subject| anyhow::Ok(subject.build(&rings::ids(MEMBERS))?.owners(keys, keys.len()));
    let (ours, theirs) = (owners(our_ketama())?, owners(pingora_ketama())?);
    let differing = ours.iter().zip(&theirs).filter(|(one, other)| one != other).count();
    ensure!(differing * 1000 < keys.len(), "our Ketama and pingora's differ on {differing} keys");
    Ok(format!("Ketama: ours and pingora's put {differing} of {} keys on different members", keys.len()))
}

// === impl Census ===

impl Census {
    pub(crate) fn of(owners: &[u16], members: u16) -> Self {
        let mut counts = vec![0_usize; members.into()];
        let mut strangers = 0;
        for owner in owners {
            match counts.get_mut(usize::from(*owner)) {
                Some(count) => *count += 1,
                None => strangers += 1,
            }
        }
        let most = counts.iter().max().copied().unwrap_or_default();
        let mean = owners.len() as f64 / f64::from(members);
        Self { peak: most as f64 / mean, least: counts.iter().min().copied().unwrap_or_default(), strangers }
    }
}
