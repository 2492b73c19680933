//! `ringhold ring`: which ring is looked at, what is to become of it, and what form the answer takes.
//!
//! No environment variables here: what was set for a server should not change the answer to a question.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::RangedI64ValueParser;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};

/// `ringhold ring`.
#[derive(Debug, ClapArgs)]
pub struct RingArgs {
    /// The question.
    #[command(subcommand)]
    pub command: RingCommand,
}

/// What can be asked about a ring.
#[derive(Debug, Subcommand)]
pub enum RingCommand {
    /// Show how evenly a ring spreads the keys over its members
    ///
    /// Counted over the whole space of hashes, not sampled. A member's fair share follows from its weight.
    Shares(SharesArgs),
    /// Show what a change would move, and the least that any ring could
    ///
    /// Counted over the whole space of hashes, not sampled. What has to move for the members to have the shares that
    /// they have then is needed; the rest is beyond need.
    Moves(MovesArgs),
    /// Show all algorithms side by side for the same members
    ///
    /// Evenness and moves are counted, times are measured on this machine, now.
    Compare(CompareArgs),
}

/// `ringhold ring shares`.
#[derive(Debug, ClapArgs)]
pub struct SharesArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub fleet: FleetArgs,

    /// An ordinal's weight, such as 0=2; may be repeated [default: 1 each]
    #[arg(
        long = "weight",
        value_name = "ORDINAL=WEIGHT",
        value_delimiter = ',',
        conflicts_with = "file",
        help_heading = "Fleet"
    )]
    pub weights: Vec<MemberWeight>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub ring: AlgorithmArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub answer: AnswerArgs,
}

/// `ringhold ring moves`.
#[derive(Debug, ClapArgs)]
pub struct MovesArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub change: ChangeArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub fleet: FleetArgs,

    /// An ordinal's weight before the change, such as 0=2; may be repeated [default: 1 each]
    #[arg(
        long = "from-weight",
        value_name = "ORDINAL=WEIGHT",
        value_delimiter = ',',
        conflicts_with = "file",
        help_heading = "Fleet"
    )]
    pub weights: Vec<MemberWeight>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub ring: AlgorithmArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub answer: AnswerArgs,
}

/// `ringhold ring compare`.
#[derive(Debug, ClapArgs)]
pub struct CompareArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub fleet: FleetArgs,

    /// An ordinal's weight, such as 0=2; may be repeated [default: 1 each]
    #[arg(
        long = "weight",
        value_name = "ORDINAL=WEIGHT",
        value_delimiter = ',',
        conflicts_with = "file",
        help_heading = "Fleet"
    )]
    pub weights: Vec<MemberWeight>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub size: SizeArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub answer: AnswerArgs,
}

/// Whose ring it is.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Fleet")]
pub struct FleetArgs {
    /// File with LoadBalancers in YAML, of which one's ring is taken; - reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Which LoadBalancer of the file: NAME or NAMESPACE/NAME [default: the only one]
    #[arg(long, value_name = "NAME", requires = "file")]
    pub name: Option<String>,

    /// How many members there are, without a file
    #[arg(long, value_name = "N", default_value = "3", value_parser = members(), conflicts_with = "file")]
    pub members: u16,
}

/// Which ring it is, without a file.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Fleet")]
pub struct AlgorithmArgs {
    /// How keys are spread over the members, without a file
    #[arg(long, value_enum, ignore_case = true, default_value_t, conflicts_with = "file")]
    pub algorithm: Algorithm,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub size: SizeArgs,
}

/// How large the ring is, without a file.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Fleet")]
pub struct SizeArgs {
    /// Slots of the table: for Rendezvous a power of two, for Maglev any number [default: 65536]
    #[arg(long, value_name = "N", value_parser = size(), conflicts_with = "file")]
    pub slots: Option<i32>,

    /// Points of a member on the circle of Ketama, for each unit of weight [default: 160]
    #[arg(long, value_name = "N", value_parser = size(), conflicts_with = "file")]
    pub points: Option<i32>,
}

/// What is to become of it; at least one thing.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Change")]
#[group(required = true, multiple = true)]
pub struct ChangeArgs {
    /// How many members there are then; the highest ordinals come and go
    #[arg(long, value_name = "N", value_parser = members())]
    pub to: Option<u16>,

    /// An ordinal that leaves without a successor; may be repeated
    #[arg(long, value_name = "ORDINAL", value_delimiter = ',')]
    pub remove: Vec<u16>,

    /// An ordinal's weight then, such as 0=2; may be repeated
    #[arg(long = "weight", value_name = "ORDINAL=WEIGHT", value_delimiter = ',')]
    pub to_weights: Vec<MemberWeight>,

    /// The algorithm then, of its default size unless --to-slots or --to-points say another
    #[arg(long, value_enum, ignore_case = true, value_name = "ALGORITHM")]
    pub to_algorithm: Option<Algorithm>,

    /// Slots of the table then
    #[arg(long, value_name = "N", value_parser = size())]
    pub to_slots: Option<i32>,

    /// Points of a member on the circle of Ketama then
    #[arg(long, value_name = "N", value_parser = size())]
    pub to_points: Option<i32>,
}

/// What form the answer takes.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Answer")]
pub struct AnswerArgs {
    /// What is written to standard output
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// Draws the answer, too: an SVG file for light and dark pages; - writes it to standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// The algorithms, called as in the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Algorithm {
    /// Even, and no key moves that need not.
    #[default]
    #[value(name = "Rendezvous")]
    Rendezvous,
    /// The circle of nginx's `hash ... consistent`.
    #[value(name = "Ketama")]
    Ketama,
    /// The most even, but a few keys more than need be move.
    #[value(name = "Maglev")]
    Maglev,
    /// The classic 512-slot ring, for demonstration.
    #[value(name = "Polynomial")]
    Polynomial,
}

/// What is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// A table for people; with bars and colours in a terminal, unless NO_COLOR is set.
    #[default]
    Table,
    /// One JSON object: shares as fractions of 1, not rounded.
    Json,
}

/// `0=2`: the weight of an ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after what they are")]
pub struct MemberWeight {
    pub ordinal: u16,
    pub weight: u16,
}

fn members() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

/// No ring is larger; what its algorithm allows is for the resource's rules to say.
fn size() -> RangedI64ValueParser<i32> {
    clap::value_parser!(i32).range(0..=1 << 20)
}

// === impl SizeArgs, MemberWeight ===

impl SizeArgs {
    /// None is given.
    pub const DEFAULT: Self = Self { slots: None, points: None };
}

impl FromStr for MemberWeight {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts =
            text.split_once('=').and_then(|(ordinal, weight)| Some((ordinal.parse().ok()?, weight.parse().ok()?)));
        match parts {
            Some((ordinal, weight @ 1..=1000)) => Ok(Self { ordinal, weight }),
            _ => Err("use an ordinal and a weight from 1 to 1000, such as 0=2"),
        }
    }
}

impl fmt::Display for MemberWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.ordinal, self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_an_ordinal_and_a_number_from_1_to_1000() {
        assert_eq!("7=1000".parse(), Ok(MemberWeight { ordinal: 7, weight: 1000 }));
        for wrong in ["", "7", "7=", "=2", "7=0", "7=1001", "-1=2", "65536=2", "7=2=1"] {
            assert!(wrong.parse::<MemberWeight>().is_err(), "{wrong}");
        }
    }
}
