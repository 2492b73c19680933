//! Our ring beside the rings of other crates. `make bench-ring` runs it; benches/README.md says what it measures and what
//! came out.
//!
//! Nothing here is a test: a missed target is told, not failed. But a ring that leaves a member without keys is no ring,
//! and ends the run: its figures would mean nothing. What is compared is measured in the same run with the same keys, in
//! turns.

mod added;
mod args;
mod bounded;
mod builds;
mod evenness;
mod keys;
mod lookups;
mod memory;
mod moved;
mod report;
mod rings;
mod turns;

use std::io::{self, Write};

use clap::Parser;

use args::{Args, Output};
use keys::Keys;
use report::{Machine, Report};

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let report = run(&args)?;
    let text = match args.output {
        Output::Table => report.to_string(),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn run(args: &Args) -> anyhow::Result<Report> {
    let machine = Machine::this();
    let sizes = args.sizes();
    let keys = Keys::new(sizes.keys);
    let mut tables = Vec::new();
    progress("lookups");
    tables.push(lookups::owners(&sizes, &keys)?);
    progress("the owner and two more");
    tables.push(lookups::candidates(&sizes, &keys)?);
    progress("building");
    tables.push(builds::measure(&sizes)?);
    progress("one member more");
    tables.push(added::measure(&sizes)?);
    progress("how even they are");
    tables.push(evenness::measure(&sizes, &keys)?);
    progress("one member less");
    tables.push(moved::measure(&keys)?);
    progress("bounded load");
    tables.push(bounded::measure(&sizes)?);
    Ok(Report { machine, sizes, tables })
}

/// What happens right now, for people who wait.
fn progress(what: &str) {
    // Nobody may read it; the figures come on the other stream.
    drop(writeln!(io::stderr(), "bench-ring: {what}"));
}
