//! The figures as text for the terminal.

use std::fmt;

use super::{Cell, Machine, Report, Row, Table, Target};
use crate::args::Sizes;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, sizes, tables } = self;
        let Machine { cores, cpu, load_before, profile } = machine;
        let Sizes { rounds, turn_milliseconds, keys, ranges: _, requests } = sizes;
        writeln!(f, "\n{cores} cores, {cpu}, load before {load_before}; {profile}")?;
        writeln!(
            f,
            "Times: median (least – most) of {rounds} rounds, in each of which everybody has a turn, lookups of {turn_milliseconds} \
             ms at least; {keys} keys, {requests} requests a round"
        )?;
        tables.iter().try_for_each(|table| write!(f, "\n{table}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name: _, title, columns, rows, remarks } = self;
        let names = ["", ""].into_iter().chain(columns.iter().map(|column| column.name)).chain(["target"]);
        let mut lines = vec![names.map(str::to_owned).collect()];
        lines.extend(rows.iter().map(|row| self.line(row)));
        let widths: Vec<usize> = (0..columns.len() + 2)
            .map(|column| lines.iter().map(|line: &Vec<String>| line[column].chars().count()).max().unwrap_or_default())
            .collect();
        writeln!(f, "{title}")?;
        for line in &lines {
            let mut text = format!("  {:<name$}  {:<hash$}", line[0], line[1], name = widths[0], hash = widths[1]);
            for (cell, width) in line.iter().zip(&widths).skip(2) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            writeln!(f, "{}", format!("{text}  {}", line[widths.len()]).trim_end())?;
        }
        remarks.iter().try_for_each(|remark| writeln!(f, "  {remark}"))
    }
}

// === impl Table ===

impl Table {
    fn line(&self, row: &Row) -> Vec<String> {
        let Row { name, hash, cells, targets } = row;
        let cells = cells.iter().zip(&self.columns).map(|(cell, column)| match cell {
            Cell::Spread(spread) => {
                let (median, least, most, decimals) = (spread.median, spread.least, spread.most, column.decimals);
                format!("{median:.decimals$} ({least:.decimals$} – {most:.decimals$})")
            }
            Cell::Number(number) => format!("{number:.0$}", column.decimals),
            Cell::Text(text) => text.clone(),
            Cell::None => "–".to_owned(),
        });
        let verdicts: Vec<String> = targets.iter().map(|target| self.verdict(row, target)).collect();
        [name.clone(), (*hash).to_owned()].into_iter().chain(cells).chain([verdicts.join(", ")]).collect()
    }

    fn verdict(&self, row: &Row, target: &Target) -> String {
        let Target { column, at_most, is_reached } = target;
        let unit = self.columns.get(*column).map_or("", |column| column.name);
        let value = row.cells.get(*column).and_then(Cell::value).unwrap_or(f64::NAN);
        let outcome = if *is_reached {
            "reached".to_owned()
        } else if *at_most == 0.0 {
            "missed".to_owned()
        } else {
            format!("missed by {:.1} %", (value / at_most - 1.0) * 100.0)
        };
        format!("{unit} ≤ {at_most}: {outcome}")
    }
}
