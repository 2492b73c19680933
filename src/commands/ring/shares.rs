//! `ringhold ring shares`: how evenly a ring spreads the keys over its members.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Answer;
use super::numbers::{Percent, count, excess, percent, ratio};
use super::shape::{Shape, label};
use super::spread::Spread;
use super::table::{Bar, Ink, Look, Table};
use crate::figure::{self, Bars, Chart, Circle, Colour, Column, Columns, Figure, Panel, Slice};
use crate::ring::{Ring, RingSpec};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shares {
    #[serde(rename = "ring")]
    shape: Shape,
    members: Vec<MemberShare>,
    /// Of the members' shares, as fractions of all keys.
    share: Spread,
    /// Of the members' shares, each divided by what its weight entitles it to.
    share_to_fair: Spread,
    #[serde(skip)]
    ring: Ring,
}

/// One member's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberShare {
    ordinal: u16,
    weight: u16,
    #[serde(skip)]
    label: String,
    share: f64,
    fair_share: f64,
    share_to_fair: f64,
}

/// One row of a table.
enum Row<'answer> {
    Member(&'answer MemberShare),
    /// So many that are not shown.
    Between(usize),
}

/// Past so many members a table shows only the ends.
const MOST_ROWS: usize = 64;
/// And so many rows of each end.
const END: usize = 10;
const HEADING: &str = "Share of the keys, by member";
/// Equal numbers differ by less.
const ROUNDING: f64 = 1e-12;
/// Past so many members bars become columns.
const MOST_BARS: usize = 20;
/// Past so many, columns become as many quantiles.
const MOST_COLUMNS: usize = 220;
/// So many arcs of a circle are drawn whole; of more, the first few as slices that can still be told apart.
const ARCS: usize = 520;
const SLICES: usize = 240;

// === impl Shares ===

impl Shares {
    /// Of a ring with members.
    pub(super) fn new(ring: Ring) -> Self {
        let total: f64 = ring.members().iter().map(|member| f64::from(member.weight)).sum();
        let members = ring.members().iter().zip(ring.shares()).map(|(member, share)| {
            let fair_share = f64::from(member.weight) / total;
            let label = label(&ring, member.id);
            let (ordinal, weight) = (member.id, member.weight);
            MemberShare { ordinal, weight, label, share, fair_share, share_to_fair: share / fair_share }
        });
        let members: Vec<MemberShare> = members.collect();
        let share = Spread::of(members.iter().map(|member| member.share));
        let share_to_fair = Spread::of(members.iter().map(|member| member.share_to_fair));
        Self { shape: Shape::of(&ring), members, share, share_to_fair, ring }
    }

    pub(super) fn share_to_fair(&self) -> Spread {
        self.share_to_fair
    }

    /// The rows of a table: all members, or the ends of the row of those with most and least.
    fn rows(&self) -> Vec<Row<'_>> {
        if self.members.len() <= MOST_ROWS {
            return self.members.iter().map(Row::Member).collect();
        }
        let members = self.sorted(|member| member.share_to_fair);
        let (most, least) = (&members[..END], &members[members.len() - END..]);
        let between = Row::Between(members.len() - 2 * END);
        let (most, least) =
            (most.iter().map(|member| Row::Member(member)), least.iter().map(|member| Row::Member(member)));
        most.chain([between]).chain(least).collect()
    }

    fn is_weighted(&self) -> bool {
        self.members.iter().any(|member| member.weight != 1)
    }

    /// Those with most of it first.
    fn sorted(&self, by: fn(&MemberShare) -> f64) -> Vec<&MemberShare> {
        let mut members: Vec<&MemberShare> = self.members.iter().collect();
        members.sort_by(|a, b| by(b).total_cmp(&by(a)).then(a.ordinal.cmp(&b.ordinal)));
        members
    }

    fn finding(&self) -> String {
        let peak = self.share_to_fair.peak;
        match self.members.len() {
            1 => "The only member has every key".to_owned(),
            members if peak - 1.0 < ROUNDING => format!("All {} members get their fair share", count(members)),
            members => format!("The busiest of {} members gets {} its fair share", count(members), excess(peak)),
        }
    }
}

impl Answer for Shares {
    fn text(&self, look: Look) -> String {
        let Self { shape, members: _, share, share_to_fair, ring: _ } = self;
        let percent = Percent::for_shares_of(share.mean);
        let weighted = self.is_weighted();
        let cells = |first: &str, weight: &str, share: f64, to_fair: f64| {
            let weight = weighted.then(|| weight.to_owned());
            [Some(first.to_owned()), weight, Some(percent.write(share)), Some(ratio(to_fair))].into_iter().flatten()
        };
        let mut table = Table::default();
        table.row(["member", "weight", "share", "share/fair"].into_iter().filter(|name| weighted || *name != "weight"));
        for row in self.rows() {
            match row {
                Row::Member(member) => table.row_with_bar(
                    cells(&member.label, &member.weight.to_string(), member.share, member.share_to_fair),
                    Bar(vec![(member.share / share.peak, Ink::Full)]),
                ),
                Row::Between(between) => table.row([format!("… {} between", count(between))]),
            }
        }
        table.gap();
        table.row(cells("peak", "", share.peak, share_to_fair.peak));
        table.row(cells("mean", "", share.mean, share_to_fair.mean));
        table.row(cells("minimum", "", share.minimum, share_to_fair.minimum));
        table.row(cells("deviation", "", share.deviation, share_to_fair.deviation));
        format!("{shape}\n{}\n\n{}", look.strong(&self.finding()), table.write(look))
    }

    fn figure(&self) -> Figure {
        let chart = if self.members.len() <= MOST_BARS { self.bars() } else { self.columns() };
        Figure {
            title: self.finding(),
            lead: format!("{}. Counted over all hashes, not sampled.", self.shape),
            panels: vec![self.circle(), chart],
            notes: vec![],
        }
    }
}

// === pictures ===

impl Shares {
    /// All arcs, or the first of them.
    fn circle(&self) -> Panel {
        let Self { ring, share_to_fair, .. } = self;
        let colours: BTreeMap<u16, Colour> =
            (0..).map(Colour::One).zip(ring.members()).map(|(colour, member)| (member.id, colour)).collect();
        let colour = |id: u16| colours.get(&id).copied().unwrap_or(Colour::Quiet);
        let arcs = ring.arcs().count();
        let mut begin = 0.0;
        let slices = ring.arcs().take(if arcs <= ARCS { arcs } else { SLICES }).map(|(last, owner)| {
            let end = last as f64 + 1.0;
            let size = end - std::mem::replace(&mut begin, end);
            Slice { size, owner: colour(owner), next: ring.candidates(last).nth(1).map(colour) }
        });
        let slices: Vec<Slice> = slices.collect();
        let is_whole = slices.len() == arcs;
        let heading = if is_whole {
            "The whole circle of hashes".to_owned()
        } else {
            let thing = if matches!(ring.spec(), RingSpec::Ketama(_)) { "arcs" } else { "slots" };
            format!("The first {} of {} {thing}", count(slices.len()), count(arcs))
        };
        let remark = if ring.members().len() > 1 {
            "Outside: whose the keys are. Inside: who takes them while the owner is away.".to_owned()
        } else {
            String::new()
        };
        let centre = (ratio(share_to_fair.peak), "peak share/fair share".to_owned());
        Panel { heading, remark, chart: Chart::Circle(Circle { slices, is_whole, centre }) }
    }

    fn bars(&self) -> Panel {
        let Self { members, share, .. } = self;
        let of_table = Percent::for_shares_of(share.mean);
        let weighted = self.is_weighted();
        let rows = members.iter().enumerate().map(|(index, member)| figure::Bar {
            label: member.label.clone(),
            parts: vec![(member.share, Colour::One(index))],
            mark: weighted.then_some(member.fair_share),
            value: of_table.write(member.share),
        });
        let mark = (!weighted).then(|| (share.mean, format!("mean {}", percent(share.mean))));
        let remark = if weighted { self.remark() + " Strokes: fair shares." } else { self.remark() };
        let chart = Chart::Bars(Bars { rows: rows.collect(), mark });
        Panel { heading: HEADING.to_owned(), remark, chart }
    }

    /// By ordinal; of very many members, as many quantiles.
    fn columns(&self) -> Panel {
        let Self { members, share, .. } = self;
        let column = |member: &MemberShare, name: String, colour: Colour| Column {
            name,
            parts: vec![(member.share, colour)],
            hint: format!("{}: {}", member.label, percent(member.share)),
        };
        let (names, columns) = if members.len() <= MOST_COLUMNS {
            let colours = (0..).map(Colour::One);
            let columns = members.iter().zip(colours).map(|(of, colour)| column(of, of.ordinal.to_string(), colour));
            ("member", columns.collect())
        } else {
            let sorted = self.sorted(|member| member.share);
            let quantiles = (0..MOST_COLUMNS).map(|index| sorted[index * sorted.len() / MOST_COLUMNS]);
            (
                "members, the largest share first",
                quantiles.map(|of| column(of, String::new(), Colour::Accent)).collect(),
            )
        };
        let mark = Some((share.mean, format!("mean {}", percent(share.mean))));
        let chart = Chart::Columns(Columns { columns, names: names.to_owned(), label: percent, mark });
        Panel { heading: HEADING.to_owned(), remark: self.remark(), chart }
    }

    fn remark(&self) -> String {
        let Spread { peak, mean: _, minimum, deviation } = self.share;
        let [peak, minimum, deviation] = [peak, minimum, deviation].map(percent);
        format!("Peak {peak}, minimum {minimum}, deviation {deviation}.")
    }
}
