//! The run over time.

use ringhold::figure::{Axis, Chart, Colour, Figure, Line, Lines, Panel, Scale};

use super::Report;
use crate::samples::{Sample, memory};

// === impl Report ===

impl Report {
    pub(crate) fn picture(&self) -> Figure {
        let counts = &self.counts;
        let (second, last, _) = memory(&self.samples);
        Figure {
            title: format!(
                "{} requests in {} s, each accounted for; memory {:.1} MiB in the second quarter and {:.1} in the last",
                counts.lines,
                self.seconds,
                second / 1024.0,
                last / 1024.0
            ),
            lead: "While replicas are killed, fleets change and clients leave in the middle".to_owned(),
            panels: vec![
                self.panel("Requests a second", |sample| sample.rate),
                self.panel("Memory of Ringhold, MiB", |sample| sample.has.memory as f64 / 1024.0),
                self.panel("File descriptors of Ringhold", |sample| sample.has.descriptors as f64),
            ],
            notes: vec![format!(
                "Before the first request: {:.1} MiB, {} descriptors.",
                self.before.memory as f64 / 1024.0,
                self.before.descriptors
            )],
        }
    }

    fn panel(&self, heading: &str, value: impl Fn(&Sample) -> f64) -> Panel {
        let points: Vec<(f64, f64)> = self.samples.iter().map(|sample| (sample.seconds, value(sample))).collect();
        let most = points.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        let axis = |most| Axis { scale: Scale::Linear, range: (0.0, most), label: |number| format!("{number:.0}") };
        let line = Line { name: String::new(), colour: Colour::Accent, points };
        let chart = Lines {
            x: axis(self.seconds as f64),
            x_name: "seconds".to_owned(),
            y: axis(most * 1.1),
            lines: vec![line],
            mark: None,
        };
        Panel { heading: heading.to_owned(), remark: String::new(), chart: Chart::Lines(chart) }
    }
}
