//! `ringhold ring moves`: what a change would move, and the least that any ring could.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Answer;
use super::fleet::Built;
use super::numbers::{Percent, count, counted, percent};
use super::shape::{Shape, label};
use super::table::{Bar, Ink, Look, Table};
use crate::figure::{self, Bars, Chart, Colour, Column, Columns, Figure, Flow, Flows, Node, Panel};
use crate::ring::{self, Ring};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moves {
    before: Shape,
    after: Shape,
    /// Whether keys are hashed otherwise than before, so that each gets a new place.
    rehashed: bool,
    #[serde(flatten)]
    change: Change,
    members: Vec<MemberMoves>,
    /// From whom to whom, whose keys stay included.
    #[serde(skip)]
    flows: BTreeMap<(u16, u16), f64>,
}

/// How much of all keys a change moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) moved: f64,
    /// The least, for the members to have the shares that they have after it.
    pub(super) needed: f64,
    pub(super) beyond_need: f64,
    /// The least, if all members had their fair shares before and after.
    needed_if_even: f64,
}

/// What becomes of one member's keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberMoves {
    ordinal: u16,
    #[serde(skip)]
    label: String,
    before: f64,
    after: f64,
    lost: f64,
    gained: f64,
    /// What it both loses and gains.
    beyond_need: f64,
}

/// Past so many members a table shows only those that lose and gain most.
const MOST_ROWS: usize = 64;
const SHOWN_ROWS: usize = 20;
/// Past so many members flows become columns.
const MOST_NODES: usize = 14;
/// Sums that are equal differ by less.
const ROUNDING: f64 = 1e-12;
/// Past so many, columns show only those that lose and gain most.
const MOST_COLUMNS: usize = 220;

// === impl Change ===

impl Change {
    /// From one ring to another that takes the same hashes.
    pub(super) fn between(before: &Ring, after: &Ring) -> Self {
        Self::of(&before.moves(after), before, after)
    }

    fn of(moves: &ring::Moves, before: &Ring, after: &Ring) -> Self {
        let ring::Moves { moved, needed, members } = moves;
        // Not `moved - needed`, which may be a rounding error.
        let beyond_need = members.iter().map(|member| member.lost.min(member.gained)).sum();
        let mut gains = fair_shares(after);
        for (id, share) in fair_shares(before) {
            *gains.entry(id).or_default() -= share;
        }
        let needed_if_even = gains.into_values().filter(|gain| *gain > 0.0).sum();
        Self { moved: *moved, needed: *needed, beyond_need, needed_if_even }
    }
}

/// What each member's weight entitles it to.
fn fair_shares(ring: &Ring) -> BTreeMap<u16, f64> {
    let total: f64 = ring.members().iter().map(|member| f64::from(member.weight)).sum();
    ring.members().iter().map(|member| (member.id, f64::from(member.weight) / total)).collect()
}

// === impl Moves ===

impl Moves {
    pub(super) fn new(before: &Built, after: &Built) -> Self {
        let rehashed = before.key_hash != after.key_hash;
        let (before, after) = (&before.ring, &after.ring);
        let moves = if rehashed { unrelated_moves(before, after) } else { before.moves(after) };
        let change = Change::of(&moves, before, after);
        let members = moves.members.into_iter().map(|member| {
            let ring::MemberMoves { id, before, after: share, lost, gained } = member;
            MemberMoves {
                ordinal: id,
                label: label(after, id),
                before,
                after: share,
                lost,
                gained,
                beyond_need: lost.min(gained),
            }
        });
        let members: Vec<MemberMoves> = members.collect();
        let flows = match members.len() {
            0..=MOST_NODES if rehashed => unrelated_flows(&members),
            0..=MOST_NODES => flows(before, after),
            _ => BTreeMap::new(),
        };
        Self { before: Shape::of(before), after: Shape::of(after), rehashed, change, members, flows }
    }

    fn finding(&self) -> String {
        let Change { moved, beyond_need, .. } = self.change;
        if moved == 0.0 {
            "No key moves".to_owned()
        } else if beyond_need == 0.0 {
            format!("{} of the keys move, none beyond need", percent(moved))
        } else {
            format!("{} of the keys move, {} beyond need", percent(moved), percent(beyond_need))
        }
    }

    fn least(&self) -> String {
        let [needed, even] = [self.change.needed, self.change.needed_if_even].map(percent);
        format!("The least for these shares is {needed}, for perfectly even ones {even}.")
    }

    /// The most that are shown, of those that lose and gain most, in the order of all.
    fn busiest(&self, most: usize) -> Vec<&MemberMoves> {
        let mut members: Vec<&MemberMoves> = self.members.iter().collect();
        members.sort_by(|a, b| (b.lost + b.gained).total_cmp(&(a.lost + a.gained)).then(a.ordinal.cmp(&b.ordinal)));
        members.truncate(most);
        members.sort_by_key(|member| member.ordinal);
        members
    }

    fn note(&self) -> Option<&'static str> {
        self.rehashed.then_some(
            "The key hash changes, too: every key gets a new place, and how many move is what may be expected of that.",
        )
    }
}

impl Answer for Moves {
    fn text(&self, look: Look) -> String {
        let Self { before, after, rehashed: _, change, members, flows: _ } = self;
        let peak = members.iter().map(|member| member.before.max(member.after)).fold(0.0, f64::max);
        let share = Percent::for_shares_of(1.0 / after.members.max(before.members) as f64);
        let beyond = Percent::for_shares_of(change.beyond_need);
        let mut table = Table::default();
        table.row(["member", "before", "after", "lost", "gained", "beyond need"]);
        let shown = if members.len() <= MOST_ROWS { members.iter().collect() } else { self.busiest(SHOWN_ROWS) };
        for MemberMoves { label, before, after, lost, gained, beyond_need, ordinal: _ } in &shown {
            let cells = [before, after, lost, gained].map(|part| share.write(*part)).into_iter();
            let cells = cells.chain([beyond.write(*beyond_need)]);
            let parts = [(before - lost, Ink::Full), (*gained, Ink::New), (*lost, Ink::Gone)];
            let bar = Bar(parts.map(|(part, ink)| (part / peak, ink)).into());
            table.row_with_bar([label.clone()].into_iter().chain(cells), bar);
        }
        if shown.len() < members.len() {
            table.row([format!("… {} more, with less", count(members.len() - shown.len()))]);
        }
        table.gap();
        let all = [1.0, 1.0, change.moved, change.moved].map(|part| share.write(part)).into_iter();
        table.row(["all".to_owned()].into_iter().chain(all).chain([beyond.write(change.beyond_need)]));
        let legend = match look {
            Look::Plain => "",
            Look::Vivid => "\n█ kept  ▓ gained  ░ lost\n",
        };
        let note = self.note().map(|note| format!("\n{note}\n")).unwrap_or_default();
        let finding = look.strong(&self.finding());
        let least = self.least();
        format!("from  {before}\nto    {after}\n\n{finding}\n{least}\n\n{}{legend}{note}", table.write(look))
    }

    fn figure(&self) -> Figure {
        let Self { before, after, change, members, .. } = self;
        let Change { moved, needed, beyond_need, needed_if_even: _ } = *change;
        let way = if (before.algorithm, before.size) == (after.algorithm, after.size) {
            let (members, algorithm) = (counted(before.members, "member"), before.algorithm);
            format!("From {members} to {}, {algorithm} with {}", count(after.members), before.table())
        } else {
            format!("From {before}, to {after}")
        };
        let bar = |label: &str, share: f64, colour: Colour| figure::Bar {
            label: label.to_owned(),
            parts: vec![(share, colour)],
            mark: None,
            value: percent(share),
        };
        let rows = vec![
            bar("stay", 1.0 - moved, Colour::Quiet),
            bar("move, as they must", needed, Colour::Accent),
            bar("move beyond need", beyond_need, Colour::Alarm),
        ];
        let all = Panel {
            heading: "Of all keys".to_owned(),
            remark: self.least(),
            chart: Chart::Bars(Bars { rows, mark: None }),
        };
        Figure {
            title: self.finding(),
            lead: if self.rehashed { way + "." } else { way + ". Counted over all hashes, not sampled." },
            panels: vec![all, if members.len() <= MOST_NODES { self.flows() } else { self.columns() }],
            notes: self.note().map(str::to_owned).into_iter().collect(),
        }
    }
}

// === pictures ===

impl Moves {
    fn flows(&self) -> Panel {
        let members = &self.members;
        let share = Percent::for_shares_of(1.0 / members.len() as f64);
        let node = |(index, member): (usize, &MemberMoves), size: f64| Node {
            label: member.ordinal.to_string(),
            value: share.write(size),
            size,
            colour: Colour::One(index),
        };
        let (old, new): (Vec<_>, Vec<_>) = (
            members.iter().enumerate().filter(|(_, member)| member.before > 0.0).collect(),
            members.iter().enumerate().filter(|(_, member)| member.after > 0.0).collect(),
        );
        let place =
            |nodes: &[(usize, &MemberMoves)], id: u16| nodes.iter().position(|(_, member)| member.ordinal == id);
        let drawn = self.parted_flows();
        let drawn = drawn.into_iter().filter_map(|(from, to, size, colour)| {
            Some(Flow { from: place(&old, from)?, to: place(&new, to)?, size, colour })
        });
        let chart = Chart::Flows(Flows {
            names: ("before".to_owned(), "after".to_owned()),
            left: old.iter().map(|of| node(*of, of.1.before)).collect(),
            right: new.iter().map(|of| node(*of, of.1.after)).collect(),
            flows: drawn.collect(),
        });
        let remark = "Pale: what stays. Coloured as who gets it: what has to move. Red: what moves beyond need.";
        Panel { heading: "Whose keys go where".to_owned(), remark: remark.to_owned(), chart }
    }

    /// What stays has no colour, what has to move that of whoever gets it. Only what goes from those that shrink to those
    /// that grow has to, and of it only as much as is needed in all.
    fn parted_flows(&self) -> Vec<(u16, u16, f64, Option<Colour>)> {
        let Self { members, flows, change, .. } = self;
        let find = |id: u16| members.iter().position(|member| member.ordinal == id);
        let grows = |id: u16| find(id).is_some_and(|index| members[index].after > members[index].before);
        let helps = |from: u16, to: u16| from != to && !grows(from) && grows(to);
        let helpful: f64 = flows.iter().filter(|((from, to), _)| helps(*from, *to)).map(|(_, size)| size).sum();
        let needed = if helpful > 0.0 { change.needed / helpful } else { 0.0 };
        let mut parted = Vec::new();
        for ((from, to), size) in flows {
            let (needed, beyond) =
                if helps(*from, *to) { (size * needed, size * (1.0 - needed)) } else { (0.0, *size) };
            if from == to {
                parted.push((*from, *to, *size, None));
                continue;
            }
            let parts = [(needed, find(*to).map(Colour::One)), (beyond, Some(Colour::Alarm))];
            let parts = parts.into_iter().filter(|(part, _)| *part > ROUNDING);
            parted.extend(parts.map(|(part, colour)| (*from, *to, part, colour)));
        }
        parted
    }

    fn columns(&self) -> Panel {
        let members = self.busiest(MOST_COLUMNS);
        let columns = members.iter().map(|member| {
            let MemberMoves { label, before, after, lost, gained, ordinal, beyond_need } = *member;
            Column {
                name: ordinal.to_string(),
                parts: vec![
                    (before - lost, Colour::Quiet),
                    (gained - beyond_need, Colour::Accent),
                    (*beyond_need, Colour::Alarm),
                    (lost - beyond_need, Colour::Pale),
                ],
                hint: format!("{label}: {} before, {} after", percent(*before), percent(*after)),
            }
        });
        let chart = Chart::Columns(Columns {
            columns: columns.collect(),
            names: "member".to_owned(),
            label: percent,
            mark: None,
        });
        let mut remark =
            "Grey: what stays. Blue and pale: what has to come and go. Red: what both comes and goes, beyond need."
                .to_owned();
        if members.len() < self.members.len() {
            remark +=
                &format!(" The {} of {} members with most of it.", count(members.len()), count(self.members.len()));
        }
        Panel { heading: "What becomes of each member's keys".to_owned(), remark, chart }
    }
}

// === counting ===

/// From whom to whom, what stays included.
fn flows(before: &Ring, after: &Ring) -> BTreeMap<(u16, u16), f64> {
    let (mut olds, mut news) = (before.arcs().peekable(), after.arcs().peekable());
    let mut flows: BTreeMap<(u16, u16), f64> = BTreeMap::new();
    let mut begin = 0_u128;
    while let (Some((old_last, old)), Some((new_last, new))) = (olds.peek().copied(), news.peek().copied()) {
        let last = old_last.min(new_last);
        let end = u128::from(last) + 1;
        *flows.entry((old, new)).or_default() += (end - begin) as f64 / 2_f64.powi(64);
        begin = end;
        olds.next_if(|(arc, _)| *arc == last);
        news.next_if(|(arc, _)| *arc == last);
    }
    flows
}

/// What may be expected where each key's new place has nothing to do with its old one.
fn unrelated_moves(before: &Ring, after: &Ring) -> ring::Moves {
    let mut shares: BTreeMap<u16, (f64, f64)> = BTreeMap::new();
    for (member, share) in before.members().iter().zip(before.shares()) {
        shares.entry(member.id).or_default().0 = share;
    }
    for (member, share) in after.members().iter().zip(after.shares()) {
        shares.entry(member.id).or_default().1 = share;
    }
    let members = shares.into_iter().map(|(id, (before, after))| {
        let stays = before * after;
        ring::MemberMoves { id, before, after, lost: before - stays, gained: after - stays }
    });
    let members: Vec<ring::MemberMoves> = members.collect();
    ring::Moves {
        moved: members.iter().map(|member| member.lost).sum(),
        needed: members.iter().map(|member| (member.after - member.before).max(0.0)).sum(),
        members,
    }
}

/// The same, from whom to whom.
fn unrelated_flows(members: &[MemberMoves]) -> BTreeMap<(u16, u16), f64> {
    let pairs = members.iter().flat_map(|from| members.iter().map(move |to| (from, to)));
    let flows = pairs.map(|(from, to)| ((from.ordinal, to.ordinal), from.before * to.after));
    flows.filter(|(_, size)| *size > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{KetamaSpec, KeyHash, Member, RingSpec};

    fn built(spec: RingSpec, count: u16, key_hash: KeyHash) -> Built {
        let members: Vec<Member> = (0..count).map(|id| Member { id, weight: 1 }).collect();
        Built { ring: Ring::build(spec, &members).expect("fits"), key_hash }
    }

    #[test]
    fn flows_agree_with_what_each_member_loses_and_gains() {
        let before = built(RingSpec::Maglev { slots: 1000 }, 5, KeyHash::SipHash);
        let after = built(RingSpec::Ketama(KetamaSpec::default()), 4, KeyHash::SipHash);
        let moves = Moves::new(&before, &after);
        let flows = flows(&before.ring, &after.ring);
        assert!((flows.values().sum::<f64>() - 1.0).abs() < 1e-9);
        for member in &moves.members {
            let sum = |is: &dyn Fn(&(u16, u16)) -> bool| {
                flows.iter().filter(|(of, _)| is(of)).map(|(_, size)| size).sum::<f64>()
            };
            let lost = sum(&|(from, to)| *from == member.ordinal && to != from);
            let gained = sum(&|(from, to)| *to == member.ordinal && to != from);
            assert!((member.lost - lost).abs() < 1e-9 && (member.gained - gained).abs() < 1e-9, "{member:?}");
        }
        let beyond: f64 = moves.members.iter().map(|member| member.beyond_need).sum();
        assert!((beyond - moves.change.beyond_need).abs() < 1e-9);
    }

    #[test]
    fn keys_that_are_hashed_otherwise_move_though_no_member_does() {
        let spec = RingSpec::Ketama(KetamaSpec::default());
        let (before, after) = (built(spec.clone(), 4, KeyHash::Crc32), built(spec, 4, KeyHash::SipHash));
        let moves = Moves::new(&before, &after);
        let stays: f64 = before.ring.shares().iter().map(|share| share * share).sum();
        assert!((moves.change.moved - (1.0 - stays)).abs() < 1e-9, "{:?}", moves.change);
        assert_eq!((moves.change.needed, moves.rehashed), (0.0, true));
        assert!((moves.flows.values().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
