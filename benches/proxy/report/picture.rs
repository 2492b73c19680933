//! The figures as a picture.

use ringhold::figure::{Bar, Bars, Chart, Colour, Figure, Panel};

use super::{Figures, Report, Table, best};
use crate::latency::{JUDGED, Latency, PARTS};
use crate::rounds::{Series, Subject};
use crate::scenarios::Scenario;

// === impl Report ===

impl Report {
    pub(crate) fn picture(&self) -> Figure {
        let (machine, sizes) = (&self.machine, &self.sizes);
        let versions: Vec<String> = self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let panels = self.tables.iter().filter(|table| table.is_drawn()).map(Table::panel).collect();
        Figure {
            title: self.finding(),
            lead: "µs of CPU time for each request: in the proxy itself and, softer, in the kernel. Dashed: the best of the others"
                .to_owned(),
            panels,
            notes: vec![
                format!(
                    "Each proxy has one core and one worker, unless told otherwise; load and replicas have the other core. \
                     Medians of {} rounds in turns, {} connections.",
                    sizes.rounds, sizes.connections
                ),
                format!("{}; {}, Linux {}.", versions.join(", "), machine.cpu, machine.kernel),
            ],
        }
    }

    fn finding(&self) -> String {
        let small = self.tables.iter().find(|table| table.scenario == Scenario::Small);
        let Some(Figures::Loop(series)) = small.map(|table| &table.figures) else {
            return "What a request costs, and how long it takes".to_owned();
        };
        let ours = series.iter().find(|series| series.subject.is_ringhold && series.subject.counts());
        match (ours, best(series, |_| true)) {
            (Some(ours), Some(best)) => format!(
                "A small request costs Ringhold {:.1} µs of CPU time, {:.2} × what it costs {}, the best of the others",
                ours.cpu(),
                ours.cpu() / best.cpu(),
                best.subject.name
            ),
            _ => "What a small request costs".to_owned(),
        }
    }
}

// === impl Table ===

impl Table {
    fn is_drawn(&self) -> bool {
        self.figures.subjects().into_iter().any(is_drawn)
    }

    fn panel(&self) -> Panel {
        let title = self.scenario.title();
        match &self.figures {
            Figures::Loop(series) => Panel {
                heading: title.to_owned(),
                remark: String::new(),
                chart: Chart::Bars(Bars {
                    rows: series.iter().filter(|series| is_drawn(&series.subject)).map(Series::bar).collect(),
                    mark: best(series, |_| true).map(|best| (best.cpu(), best.subject.name.clone())),
                }),
            },
            Figures::Latency(latency) => Panel {
                heading: format!("{title}: until the answer is there"),
                remark: format!(
                    "µs: p50, and softer up to p99; {:.0} a second, {:.0} % of what {} can",
                    latency.capacity * PARTS[JUDGED],
                    PARTS[JUDGED] * 100.0,
                    latency.slowest
                ),
                chart: Chart::Bars(Bars { rows: latency.bars(), mark: None }),
            },
        }
    }
}

// === impl Series ===

impl Series {
    fn bar(&self) -> Bar {
        let colour = colour(&self.subject);
        let (user, system) = (self.spread(|turn| turn.user).median, self.spread(|turn| turn.system).median);
        let (label, value) = (self.subject.name.clone(), format!("{:.1}", self.cpu()));
        Bar { label, parts: vec![(user, colour), (system, colour)], mark: None, value }
    }
}

// === impl Latency ===

impl Latency {
    fn bars(&self) -> Vec<Bar> {
        let drawn = self.series.iter().filter(|times| is_drawn(&times.subject));
        let bars = drawn.map(|times| {
            let (p50, p99) = (times.rates[JUDGED].p50.median, times.rates[JUDGED].p99.median);
            let colour = colour(&times.subject);
            let (label, value) = (times.subject.name.clone(), format!("{p50:.0} … {p99:.0}"));
            Bar { label, parts: vec![(p50, colour), (p99 - p50, colour)], mark: None, value }
        });
        bars.collect()
    }
}

fn is_drawn(subject: &Subject) -> bool {
    subject.counts() && !subject.is_direct
}

fn colour(subject: &Subject) -> Colour {
    if subject.is_ringhold { Colour::Accent } else { Colour::Quiet }
}
