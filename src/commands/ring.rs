//! `ringhold ring`: what a ring does, before anybody chooses it. Each question has one answer, which is a table, JSON or a
//! picture.

mod compare;
mod fleet;
mod measure;
mod moves;
mod numbers;
mod shape;
mod shares;
mod spread;
mod table;

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::args::{Algorithm, AlgorithmArgs, AnswerArgs, Output, RingArgs, RingCommand, SizeArgs};
use crate::figure::Figure;

use compare::Compare;
use fleet::Fleet;
use moves::Moves;
use shares::Shares;
use table::Look;

/// What was found, in every form; serialized it is the JSON that users get.
trait Answer: Serialize {
    /// For people who read text.
    fn text(&self, look: Look) -> String;
    /// For people who look at pictures.
    fn figure(&self) -> Figure;
}

/// Answers the question.
pub(super) fn run(args: RingArgs) -> anyhow::Result<()> {
    match args.command {
        RingCommand::Shares(args) => {
            let fleet = Fleet::new(&args.fleet, &args.ring, &args.weights, "--weight")?;
            publish(&Shares::new(fleet.build()?.ring), &args.answer)
        }
        RingCommand::Moves(args) => {
            let fleet = Fleet::new(&args.fleet, &args.ring, &args.weights, "--from-weight")?;
            publish(&Moves::new(&fleet.build()?, &fleet.build_changed(&args.change)?), &args.answer)
        }
        RingCommand::Compare(args) => {
            let any = AlgorithmArgs { algorithm: Algorithm::default(), size: SizeArgs::DEFAULT };
            let fleet = Fleet::new(&args.fleet, &any, &args.weights, "--weight")?;
            publish(&Compare::new(&fleet, &args.size)?, &args.answer)
        }
    }
}

fn publish(answer: &impl Answer, args: &AnswerArgs) -> anyhow::Result<()> {
    let AnswerArgs { output, svg } = args;
    let svg_takes_stdout = svg.as_deref() == Some(Path::new("-"));
    if svg_takes_stdout && *output == Output::Json {
        bail!("--svg: -: standard output has the JSON already; give a file");
    }
    if let Some(file) = svg {
        let picture = answer.figure().to_svg();
        if svg_takes_stdout {
            return print(&picture);
        }
        std::fs::write(file, picture).with_context(|| format!("--svg: {}: can't be written", file.display()))?;
    }
    match output {
        Output::Table => print(&answer.text(Look::of_stdout())),
        Output::Json => print(&(serde_json::to_string_pretty(answer)? + "\n")),
    }
}

/// Who closes standard output early, as `head` does, wants no more of it.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("can't write the answer"),
        _ => Ok(()),
    }
}
