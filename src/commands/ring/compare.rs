//! `ringhold ring compare`: all algorithms side by side, for the same members.

use std::time::Duration;

use serde::Serialize;

use super::Answer;
use super::fleet::{Built, Fleet};
use super::measure::{Keys, Progress, median};
use super::moves::Change;
use super::numbers::{bytes, counted, percent, ratio, time, trimmed};
use super::shape::Shape;
use super::shares::Shares;
use super::table::{Look, Table};
use crate::api::RingAlgorithm;
use crate::args::{Algorithm, SizeArgs};
use crate::controller::FieldErrors;
use crate::figure::{Axis, Bar, Bars, Chart, Colour, Figure, Line, Lines, Panel, Scale};
use crate::ring::{KeyHash, Member, Ring};

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compare {
    members: usize,
    algorithms: Vec<Candidate>,
}

/// One algorithm.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    algorithm: &'static str,
    /// Why it can't be built of these members.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(flatten)]
    figures: Option<Figures>,
}

/// What it does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    ring: Shape,
    key_hash: &'static str,
    /// The largest share, divided by what its weight entitles it to.
    peak_to_fair: f64,
    /// Of such quotients.
    deviation: f64,
    /// What one more member moves; `null` where no more fit.
    adding: Option<Change>,
    /// What one member less moves: the one with the highest ordinal. `null` for the last one.
    removing: Option<Change>,
    /// Medians.
    lookup_nanoseconds: f64,
    three_candidates_nanoseconds: f64,
    build_nanoseconds: u64,
    /// The same algorithm and size over the number of members, which weigh the same here.
    by_members: Vec<Evenness>,
}

/// One point of a line.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Evenness {
    members: u16,
    peak_to_fair: f64,
}

const ALGORITHMS: [Algorithm; 4] = [Algorithm::Rendezvous, Algorithm::Ketama, Algorithm::Maglev, Algorithm::Polynomial];

/// Where lines have their points, as far as they go.
const POINTS: [u16; 20] = [2, 3, 4, 5, 6, 7, 8, 10, 14, 20, 28, 40, 56, 75, 100, 150, 250, 400, 600, 1000];
/// Lines go to here at least.
const SHORTEST_LINE: u16 = 100;

// === impl Compare ===

impl Compare {
    /// Of this fleet, with these sizes where an algorithm has them.
    pub(super) fn new(fleet: &Fleet, size: &SizeArgs) -> anyhow::Result<Self> {
        let mut progress = Progress::new();
        let keys = Keys::new();
        let mut algorithms = Vec::new();
        for algorithm in ALGORITHMS {
            let mut fleet = fleet.clone();
            fleet.turn_into(algorithm.into());
            fleet.size(size.slots, size.points);
            let (refused, figures) = match fleet.build() {
                Ok(built) => (None, Some(Figures::new(&fleet, &built, &keys, &mut progress))),
                Err(error) => (Some(why_so_many_do_not_fit(error)?), None),
            };
            let algorithm = RingAlgorithm::from(algorithm);
            algorithms.push(Candidate { algorithm: name(algorithm), refused, figures });
        }
        Ok(Self { members: usize::from(fleet.count()), algorithms })
    }

    fn measured(&self) -> impl Iterator<Item = (&'static str, &Figures)> + Clone {
        self.algorithms.iter().filter_map(|candidate| Some((candidate.algorithm, candidate.figures.as_ref()?)))
    }

    /// Who is best at what.
    fn finding(&self) -> String {
        if self.members == 1 {
            return "A single member has every key, whatever the algorithm".to_owned();
        }
        let most_even = self.measured().min_by(|a, b| a.1.peak_to_fair.total_cmp(&b.1.peak_to_fair));
        let is_frugal = |change: &Option<Change>| change.is_some_and(|change| change.beyond_need == 0.0);
        let frugal = self.measured().filter(|(_, of)| is_frugal(&of.adding) && is_frugal(&of.removing));
        let frugal: Vec<&str> = frugal.map(|(name, _)| name).collect();
        let most_even = most_even.map_or("nobody", |(name, _)| name);
        match frugal.as_slice() {
            [] => format!("{most_even} is the most even; all move keys beyond need when the last member comes or goes"),
            [one] => {
                format!(
                    "{most_even} is the most even; only {one} moves no key beyond need when the last member comes or goes"
                )
            }
            [others @ .., last] => {
                let others = others.join(", ");
                format!(
                    "{most_even} is the most even; {others} and {last} move no key beyond need when the last member comes or goes"
                )
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        let refused = self.algorithms.iter().filter_map(|candidate| candidate.refused.as_ref());
        refused.map(|rule| format!("Left out: {rule}.")).collect()
    }
}

/// For an algorithm that has no room for the fleet. Any other error is one of the command line.
fn why_so_many_do_not_fit(error: anyhow::Error) -> anyhow::Result<String> {
    let rule = error.downcast_ref::<FieldErrors>().and_then(|errors| match errors.0.as_slice() {
        [error] if error.path == "--members" => error.rule.split(';').next().map(str::to_owned),
        _ => None,
    });
    rule.ok_or(error)
}

fn name(algorithm: RingAlgorithm) -> &'static str {
    match algorithm {
        RingAlgorithm::Rendezvous => "Rendezvous",
        RingAlgorithm::Ketama => "Ketama",
        RingAlgorithm::Maglev => "Maglev",
        RingAlgorithm::Polynomial => "Polynomial",
    }
}

// === impl Figures ===

impl Figures {
    fn new(fleet: &Fleet, built: &Built, keys: &Keys, progress: &mut Progress) -> Self {
        let Built { ring, key_hash } = built;
        let algorithm = ring.spec().algorithm();
        let resized = |count: Option<u16>| {
            let mut other = fleet.clone();
            other.resize(count.filter(|count| *count > 0)?);
            Some(Change::between(ring, &other.build().ok()?.ring))
        };
        progress.begins(&format!("{algorithm}: moving"));
        let (adding, removing) = (resized(fleet.count().checked_add(1)), resized(fleet.count().checked_sub(1)));
        progress.begins(&format!("{algorithm}: looking up"));
        let (lookup, three) = (keys.lookup(ring, *key_hash, 1), keys.lookup(ring, *key_hash, 3));
        progress.begins(&format!("{algorithm}: building"));
        let build = median(Duration::from_millis(80), || {
            // It was built before, of the same.
            drop(std::hint::black_box(Ring::build(ring.spec().clone(), ring.members())));
        });
        progress.begins(&format!("{algorithm}: counting"));
        let spread = Shares::new(ring.clone()).share_to_fair();
        Self {
            ring: Shape::of(ring),
            key_hash: match key_hash {
                KeyHash::SipHash => "SipHash",
                KeyHash::Xxh3 => "Xxh3",
                KeyHash::Crc32 => "Crc32",
            },
            peak_to_fair: spread.peak,
            deviation: spread.deviation,
            adding,
            removing,
            lookup_nanoseconds: lookup,
            three_candidates_nanoseconds: three,
            build_nanoseconds: u64::try_from(build.as_nanos()).unwrap_or(u64::MAX),
            by_members: by_members(ring, fleet.count()),
        }
    }

    fn lookup(&self) -> [String; 2] {
        [self.lookup_nanoseconds, self.three_candidates_nanoseconds].map(|time| format!("{} ns", trimmed(time, 2)))
    }
}

/// As many equal members as there may be, up to the fleet's own number and some beyond.
fn by_members(ring: &Ring, count: u16) -> Vec<Evenness> {
    let end = POINTS.into_iter().find(|point| *point >= count.max(SHORTEST_LINE)).unwrap_or(u16::MAX);
    let mut points: Vec<u16> = POINTS.into_iter().filter(|point| *point <= end).collect();
    if (2..=end).contains(&count) && !points.contains(&count) {
        points.push(count);
        points.sort_unstable();
    }
    let evenness = |members: u16| {
        let equal: Vec<Member> = (0..members).map(|id| Member { id, weight: 1 }).collect();
        let ring = Ring::build(ring.spec().clone(), &equal).ok()?;
        Some(Evenness { members, peak_to_fair: Shares::new(ring).share_to_fair().peak })
    };
    points.into_iter().filter_map(evenness).collect()
}

impl Answer for Compare {
    fn text(&self, look: Look) -> String {
        let mut table = Table::default();
        let mut row = |name: &str, cell: &dyn Fn(&Figures) -> String| {
            table.row([name.to_owned()].into_iter().chain(self.measured().map(|(_, figures)| cell(figures))));
        };
        let share = |change: &Option<Change>, of: fn(&Change) -> f64| {
            change.as_ref().map_or_else(|| "–".to_owned(), |change| percent(of(change)))
        };
        row("", &|of| of.ring.algorithm.to_owned());
        row("table", &|of| of.ring.table());
        row("peak share/fair share", &|of| ratio(of.peak_to_fair));
        row("deviation", &|of| percent(of.deviation));
        row("one more member moves", &|of| share(&of.adding, |change| change.moved));
        row("  beyond need", &|of| share(&of.adding, |change| change.beyond_need));
        row("one member less moves", &|of| share(&of.removing, |change| change.moved));
        row("  beyond need", &|of| share(&of.removing, |change| change.beyond_need));
        row("lookup", &|of| of.lookup()[0].clone());
        row("  with two more candidates", &|of| of.lookup()[1].clone());
        row("  key hash", &|of| of.key_hash.to_owned());
        row("build", &|of| time(Duration::from_nanos(of.build_nanoseconds)));
        row("memory", &|of| bytes(of.ring.bytes));
        let notes: String = self.notes().iter().map(|note| format!("\n{note}\n")).collect();
        let (members, finding) = (counted(self.members, "member"), look.strong(&self.finding()));
        format!("{members}\n{finding}\n\n{}{notes}", table.write(look))
    }

    fn figure(&self) -> Figure {
        let share = |name: &str, of: fn(&Figures) -> Option<Change>| {
            self.bars(name, "", &|figures| {
                let beyond = of(figures).map(|change| change.beyond_need);
                (vec![beyond.unwrap_or(0.0)], beyond.map_or_else(|| "–".to_owned(), percent))
            })
        };
        let panels = [
            Some(self.lines()),
            Some(share("Moved beyond need by one more member", |figures| figures.adding)),
            (self.members > 1).then(|| share("Moved beyond need by one member less", |figures| figures.removing)),
            Some(self.bars("Lookup", "From a key to its member; pale: to two more candidates.", &|figures| {
                let (first, three) = (figures.lookup_nanoseconds, figures.three_candidates_nanoseconds);
                (vec![first, (three - first).max(0.0)], figures.lookup().join(" / "))
            })),
            Some(self.bars("Build", "", &|figures| {
                let build = Duration::from_nanos(figures.build_nanoseconds);
                (vec![build.as_secs_f64()], time(build))
            })),
            Some(self.bars("Memory", "", &|figures| (vec![figures.ring.bytes as f64], bytes(figures.ring.bytes)))),
        ];
        Figure {
            title: self.finding(),
            lead: format!("{}. Evenness and moves are counted, times measured.", counted(self.members, "member")),
            panels: panels.into_iter().flatten().collect(),
            notes: self.notes(),
        }
    }
}

// === pictures ===

impl Compare {
    fn bars(&self, heading: &str, remark: &str, of: &dyn Fn(&Figures) -> (Vec<f64>, String)) -> Panel {
        let rows = self.measured().map(|(name, figures)| {
            let (parts, value) = of(figures);
            let parts = parts.into_iter().map(|part| (part, colour(name))).collect();
            Bar { label: name.to_owned(), parts, mark: None, value }
        });
        let chart = Chart::Bars(Bars { rows: rows.collect(), mark: None });
        Panel { heading: heading.to_owned(), remark: remark.to_owned(), chart }
    }

    /// The excess, for algorithms lie orders of magnitude apart.
    fn lines(&self) -> Panel {
        let lines = self.measured().map(|(name, figures)| Line {
            name: name.to_owned(),
            colour: colour(name),
            points: figures.by_members.iter().map(|at| (f64::from(at.members), excess(at))).collect(),
        });
        let lines: Vec<Line> = lines.collect();
        let all = lines.iter().flat_map(|line| &line.points);
        let (least, most) = all.clone().fold((1.0, 1.0), |(least, most), (_, y)| (y.min(least), y.max(most)));
        let last = all.fold(2.0, |last, (x, _)| x.max(last));
        let decade = |number: f64| 10_f64.powf(number);
        let chart = Chart::Lines(Lines {
            x: Axis { scale: Scale::Log, range: (2.0, last), label: |tick| format!("{tick:.0}") },
            x_name: "members".to_owned(),
            y: Axis {
                scale: Scale::Log,
                range: (decade(least.log10().floor()), decade(most.log10().ceil())),
                label: |tick| format!("+{}", percent(tick)),
            },
            lines,
            mark: (self.members > 1).then(|| (self.members as f64, counted(self.members, "member"))),
        });
        Panel {
            heading: "What the busiest member gets above its fair share".to_owned(),
            remark: "By the number of members, which weigh the same here. Both axes are logarithmic.".to_owned(),
            chart,
        }
    }
}

/// What is drawn for a point; perfect evenness has no logarithm.
fn excess(at: &Evenness) -> f64 {
    const LEAST: f64 = 1e-5;
    (at.peak_to_fair - 1.0).max(LEAST)
}

fn colour(algorithm: &str) -> Colour {
    Colour::One(ALGORITHMS.iter().position(|known| name((*known).into()) == algorithm).unwrap_or_default())
}
