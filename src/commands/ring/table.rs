//! Tables for people: columns as wide as they have to be, numbers under each other. In a terminal bars and colours help
//! the eye; elsewhere they would be noise.

use std::io::IsTerminal;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Text alone.
    Plain,
    /// With bars and colours.
    Vivid,
}

/// Rows of cells; the first row names the columns. All cells but those of the first column stand to the right.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    /// Behind the cells, in a terminal.
    bar: Option<Bar>,
}

/// Parts of one bar, from the left.
#[derive(Debug, Clone, Default)]
pub(super) struct Bar(pub(super) Vec<(f64, Ink)>);

/// What a part of a bar looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// What is there.
    Full,
    /// What has come.
    New,
    /// What has gone.
    Gone,
}

/// So many characters are 1.
const BAR: f64 = 32.0;

// === impl Look ===

impl Look {
    /// As standard output wants it.
    pub(super) fn of_stdout() -> Self {
        let is_vivid = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        if is_vivid { Self::Vivid } else { Self::Plain }
    }

    /// Makes a word stand out.
    pub(super) fn strong(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Vivid => format!("\x1b[1m{text}\x1b[0m"),
        }
    }
}

// === impl Table ===

impl Table {
    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(Row { cells: cells.into_iter().map(Into::into).collect(), bar: None });
    }

    pub(super) fn row_with_bar<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>, bar: Bar) {
        self.rows.push(Row { cells: cells.into_iter().map(Into::into).collect(), bar: Some(bar) });
    }

    /// Between groups of rows.
    pub(super) fn gap(&mut self) {
        self.row([""; 0]);
    }

    pub(super) fn write(&self, look: Look) -> String {
        let columns = self.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            let mut line = cells.collect::<Vec<String>>().join("  ");
            if look == Look::Vivid {
                if let Some(bar) = &row.bar {
                    line = format!("{line}  {}", bar.write());
                } else if index == 0 {
                    line = format!("\x1b[2m{line}\x1b[0m");
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

// === impl Bar, Ink ===

impl Bar {
    /// One part alone is exact to an eighth of a character; several are of whole ones, so that they meet.
    fn write(&self) -> String {
        if let [(size, Ink::Full)] = self.0[..] {
            let eighths = rounded(size * BAR * 8.0);
            let last = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
            return Ink::Full.coloured(&("█".repeat(eighths / 8) + last));
        }
        let (mut end, mut drawn) = (0.0, 0);
        let parts = self.0.iter().map(|(size, ink)| {
            end += size * BAR;
            let length = rounded(end).saturating_sub(drawn);
            drawn += length;
            ink.coloured(&ink.letter().repeat(length))
        });
        parts.collect()
    }
}

impl Ink {
    fn letter(self) -> &'static str {
        match self {
            Self::Full => "█",
            Self::New => "▓",
            Self::Gone => "░",
        }
    }

    fn coloured(self, text: &str) -> String {
        let colour = match self {
            _ if text.is_empty() => return String::new(),
            Self::Full => 36,
            Self::New => 32,
            Self::Gone => 2,
        };
        format!("\x1b[{colour}m{text}\x1b[0m")
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few characters")]
fn rounded(number: f64) -> usize {
    number.round().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        table.row(["member", "share"]);
        table.row_with_bar(["0", "84.4 %"], Bar(vec![(0.25, Ink::Full)]));
        table.gap();
        table.row(["peak", "9 %"]);
        table
    }

    #[test]
    fn numbers_stand_under_each_other() {
        assert_eq!(table().write(Look::Plain), "member   share\n0       84.4 %\n\npeak       9 %\n");
    }

    #[test]
    fn a_terminal_shows_bars() {
        let expected = "\x1b[2mmember   share\x1b[0m\n0       84.4 %  \x1b[36m████████\x1b[0m\n\npeak       9 %\n";
        assert_eq!(table().write(Look::Vivid), expected);
    }

    #[test]
    fn parts_of_a_bar_meet_and_one_alone_is_exact_to_an_eighth() {
        let bar = Bar(vec![(0.5, Ink::Full), (0.1, Ink::New), (0.4, Ink::Gone)]);
        let [kept, gone] = ["█".repeat(16), "░".repeat(13)];
        assert_eq!(bar.write(), format!("\x1b[36m{kept}\x1b[0m\x1b[32m▓▓▓\x1b[0m\x1b[2m{gone}\x1b[0m"));
        let bar = Bar(vec![(0.1, Ink::Full)]);
        assert_eq!(bar.write(), "\x1b[36m███▎\x1b[0m");
    }
}
