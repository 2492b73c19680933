//! What came out, for people and for programs.

mod picture;

use std::fmt;

use serde::Serialize;

use crate::accounts::{Claim, Counts};
use crate::churn::Happened;
use crate::ringhold::Has;
use crate::samples::Sample;

/// So many cases are told.
const SOME: usize = 10;

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) seconds: u64,
    pub(crate) happened: Happened,
    pub(crate) counts: Counts,
    pub(crate) claims: Vec<Claim>,
    pub(crate) before: Has,
    pub(crate) samples: Vec<Sample>,
}

/// The first of them, and how many more there are.
pub(crate) fn some(mut cases: Vec<String>) -> Vec<String> {
    let more = cases.len().saturating_sub(SOME);
    cases.truncate(SOME);
    if more > 0 {
        cases.push(format!("and {more} more"));
    }
    cases
}

// === impl Report ===

impl Report {
    pub(crate) fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    /// Requests a second, over all.
    fn rate(&self) -> f64 {
        self.counts.lines as f64 / self.samples.last().map_or(1.0, |last| last.seconds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, happened, counts, claims, before, samples } = self;
        writeln!(f, "{seconds} s, {:.0} requests a second\n", self.rate())?;
        for (what, times) in happened {
            writeln!(f, "{times:>10}  {what}")?;
        }
        let Counts { begun, cut, whole, own, broken, left, withdrawn, unanswered, unread, excused, reasons, .. } =
            counts;
        writeln!(f)?;
        for (count, what) in [
            (begun, "heads begun by clients"),
            (cut, "cut before their end: no requests"),
            (whole, "answered by replicas"),
            (own, "answered by Ringhold"),
            (broken, "broken off"),
            (left, "left by their clients"),
            (withdrawn, "withdrawn"),
            (unanswered, "unanswered"),
            (unread, "of the withdrawn and unanswered: never read"),
        ] {
            writeln!(f, "{count:>10}  {what}")?;
        }
        for (reason, count) in reasons {
            writeln!(f, "{count:>10}  answered with {reason}")?;
        }
        for (reason, count) in excused {
            writeln!(f, "{count:>10}  GETs that failed and may: {reason}")?;
        }
        writeln!(f, "\n   seconds  requests/s  memory MiB  descriptors  threads")?;
        writeln!(f, "    before{:>12}{}", "", Row(*before))?;
        for sample in samples.iter().step_by((samples.len() / 20).max(1)) {
            writeln!(f, "{:>10.0}{:>12.0}{}", sample.seconds, sample.rate, Row(sample.has))?;
        }
        writeln!(f)?;
        for Claim { says, holds, examples } in claims {
            writeln!(f, "{}  {says}", if *holds { "ok   " } else { "WRONG" })?;
            for example in examples {
                writeln!(f, "         {example}")?;
            }
        }
        Ok(())
    }
}

/// The end of a row.
struct Row(Has);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Has { memory, descriptors, threads } = self.0;
        write!(f, "{:>12.1}{descriptors:>13}{threads:>9}", memory as f64 / 1024.0)
    }
}
