//! The figures as text for the terminal.

use std::fmt;

use super::targets::Verdict;
use super::{Figures, Machine, Report, Table, best};
use crate::args::Sizes;
use crate::idle::Rest;
use crate::latency::{Latency, PARTS, Percentiles, Times};
use crate::rounds::{Series, Subject};
use crate::spread::Spread;

/// What others may use of the proxy's core before it is told, 0 to 1.
const MOST_FOREIGN: f64 = 0.05;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, versions, sizes, tables } = self;
        let Machine { cores, cpu, kernel, load_before, profile } = machine;
        let Sizes { rounds, turn_seconds, connections, warms_up: _ } = sizes;
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "\n{cores} cores, {cpu}, Linux {kernel}, load before {load_before}; {profile}")?;
        writeln!(f, "{}", versions.join(", "))?;
        writeln!(
            f,
            "Median (least – most) of {rounds} rounds, in each of which everybody has a turn of {turn_seconds} s; \
             {connections} connections"
        )?;
        tables.iter().try_for_each(|table| write!(f, "\n{table}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, figures, verdicts } = self;
        writeln!(f, "{}", scenario.title())?;
        match figures {
            Figures::Loop(series) => write_loop(f, series)?,
            Figures::Latency(latency) => write_latency(f, latency)?,
        }
        for Subject { name, void, left_out, .. } in figures.subjects() {
            if let Some(void) = void {
                writeln!(f, "  {name} IS VOID: {void}")?;
            }
            if let Some(why) = left_out {
                writeln!(f, "  {name} is left out: {why}")?;
            }
        }
        for Verdict { name, target, of_allowed, is_reached } in verdicts {
            let by = (of_allowed - 1.0).abs() * 100.0;
            let outcome = if *is_reached { "reached, with" } else { "missed by" };
            writeln!(f, "  {name}: {target}: {outcome} {by:.1} %{}", if *is_reached { " to spare" } else { "" })?;
        }
        Ok(())
    }
}

fn write_loop(f: &mut fmt::Formatter<'_>, series: &[Series]) -> fmt::Result {
    let names =
        ["", "CPU µs/request", "user", "system", "× best peer", "requests/s", "core used", "load's idle", "MiB (peak)"];
    let best = best(series, |_| true);
    let mut lines = vec![names.map(str::to_owned).to_vec()];
    lines.extend(series.iter().filter(|series| series.subject.counts()).map(|series| line(series, best)));
    write_lines(f, &lines)?;
    for series in series {
        let foreign = series.spread(|turn| turn.foreign).median;
        if foreign > MOST_FOREIGN && !series.subject.is_direct {
            let name = &series.subject.name;
            writeln!(f, "  others used {:.0} % of the core while {name} had its turns", foreign * 100.0)?;
        }
    }
    for Series { subject, rest, .. } in series {
        if let Some(Rest { connections, memory, cpu }) = rest.filter(|_| subject.counts()) {
            let name = &subject.name;
            writeln!(
                f,
                "  {connections} idle connections: {name} has {memory:.1} KiB for each, and uses {cpu:.2} ms of its core a second"
            )?;
        }
    }
    Ok(())
}

fn line(series: &Series, best: Option<&Series>) -> Vec<String> {
    let median = |spread: Spread, decimals: usize| format!("{:.decimals$}", spread.median);
    let percent = |spread: Spread| format!("{:.0} %", spread.median * 100.0);
    let mebibytes = |kibibytes: u64| format!("{:.1}", kibibytes as f64 / 1024.0);
    let (none, name) = (String::new, series.subject.name.clone());
    let rate = full(series.spread(|turn| turn.requests_per_second), 0);
    let idle = percent(series.spread(|turn| turn.load_idle));
    if series.subject.is_direct {
        return vec![name, none(), none(), none(), none(), rate, none(), idle, none()];
    }
    vec![
        name,
        full(series.spread(|turn| turn.cpu), 2),
        median(series.spread(|turn| turn.user), 2),
        median(series.spread(|turn| turn.system), 2),
        best.map_or_else(none, |best| full(series.ratio(best), 3)),
        rate,
        percent(series.spread(|turn| turn.used)),
        idle,
        format!("{} ({})", mebibytes(series.memory), mebibytes(series.peak_memory)),
    ]
}

fn write_latency(f: &mut fmt::Formatter<'_>, latency: &Latency) -> fmt::Result {
    let Latency { slowest, capacity, series } = latency;
    for (rate, part) in PARTS.iter().enumerate() {
        let per_second = capacity * part;
        writeln!(f, "  {per_second:.0} a second, {:.0} % of what {slowest} can; microseconds", part * 100.0)?;
        let mut lines = vec![["", "p50", "p99", "p99.9", "of p99, load's own"].map(str::to_owned).to_vec()];
        for Times { subject, rates } in series.iter().filter(|times| times.subject.counts()) {
            let Percentiles { p50, p99, p999, own_p99 } = rates[rate];
            let cells = [p50, p99, p999, own_p99].map(|spread| full(spread, 0));
            lines.push([subject.name.clone()].into_iter().chain(cells).collect());
        }
        write_lines(f, &lines)?;
    }
    Ok(())
}

fn full(spread: Spread, decimals: usize) -> String {
    let Spread { median, least, most } = spread;
    format!("{median:.decimals$} ({least:.decimals$} – {most:.decimals$})")
}

/// In columns, the first to the left.
fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    for line in lines {
        let cells = line.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("  {cell:<width$}", width = width(column)),
            _ => format!("  {cell:>width$}", width = width(column)),
        });
        writeln!(f, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(())
}
