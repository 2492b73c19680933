//! The figures as text for the terminal.

use std::fmt;

use super::{Machine, Report, Table};
use crate::args::Sizes;
use crate::rounds::Series;
use crate::spread::Spread;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, versions, sizes, tables } = self;
        let Machine { cores, cpu, kernel, load_before, profile } = machine;
        let Sizes { rounds, turn_seconds, connections } = sizes;
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "\n{cores} cores, {cpu}, Linux {kernel}, load before {load_before}; {profile}")?;
        writeln!(f, "{}", versions.join(", "))?;
        writeln!(
            f,
            "Median (least – most) of {rounds} rounds, in each of which everybody has a turn of {turn_seconds} s; {connections} connections"
        )?;
        tables.iter().try_for_each(|table| write!(f, "\n{table}"))
    }
}

const COLUMNS: [&str; 9] =
    ["", "CPU µs/request", "user", "system", "× best peer", "requests/s", "core used", "load's idle", "MiB"];

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, series } = self;
        writeln!(f, "{}", scenario.title())?;
        let mut lines = vec![COLUMNS.map(str::to_owned)];
        lines.extend(series.iter().filter(|series| series.void.is_none()).map(|series| self.line(series)));
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
            .collect();
        for line in &lines {
            let mut text = format!("  {:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        for series in series {
            if let Some(void) = &series.void {
                writeln!(f, "  {} is void: {void}", series.name)?;
            }
        }
        Ok(())
    }
}

// === impl Table ===

impl Table {
    fn line(&self, series: &Series) -> [String; 9] {
        let full = |spread: Spread, decimals: usize| {
            let Spread { median, least, most } = spread;
            format!("{median:.decimals$} ({least:.decimals$} – {most:.decimals$})")
        };
        let median = |spread: Spread, decimals: usize| format!("{:.decimals$}", spread.median);
        let percent = |spread: Spread| format!("{:.0} %", spread.median * 100.0);
        let rate = full(series.spread(|turn| turn.requests_per_second), 0);
        let idle = percent(series.spread(|turn| turn.load_idle));
        if series.is_direct {
            let none = String::new;
            return [series.name.clone(), none(), none(), none(), none(), rate, none(), idle, none()];
        }
        [
            series.name.clone(),
            full(series.spread(|turn| turn.cpu), 2),
            median(series.spread(|turn| turn.user), 2),
            median(series.spread(|turn| turn.system), 2),
            self.best_peer().map_or_else(String::new, |best| full(series.ratio(best), 3)),
            rate,
            percent(series.spread(|turn| turn.used)),
            idle,
            format!("{:.1}", series.memory as f64 / 1024.0),
        ]
    }
}
