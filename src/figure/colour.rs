//! Colours, for light and dark pages. Neighbours in the row of ten differ in lightness, too, for those who see fewer.

use std::fmt::Write;

/// What a part of a chart is coloured as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// One of many; ten colours, over and over.
    One(usize),
    /// What matters.
    Accent,
    /// What should not be.
    Alarm,
    /// What is only there for comparison.
    Quiet,
    /// What is there no more.
    Pale,
}

/// Light and dark. Red is not among the many: it means alarm.
type Pair = (&'static str, &'static str);

const MANY: [Pair; 10] = [
    ("#4269d0", "#6b8df2"),
    ("#e5a50a", "#efb118"),
    ("#3fa48d", "#5fc3ab"),
    ("#9a5ae6", "#b384f7"),
    ("#7fb13d", "#9acb57"),
    ("#ef77a6", "#ff8ab7"),
    ("#6aa9ee", "#97c3f7"),
    ("#9c6b4e", "#bd8b6c"),
    ("#878c96", "#a3a9b3"),
    ("#1f7a99", "#3f9dbd"),
];

const PAPER: Pair = ("#ffffff", "#12161c");
const INK: Pair = ("#1b1f24", "#e8ecf1");
const SOFT_INK: Pair = ("#57606a", "#9ba5b1");
const RULE: Pair = ("#e3e7ec", "#2a313a");
const AXIS: Pair = ("#8c959f", "#6b7580");
const ALARM: Pair = ("#d1242f", "#ff5d62");

// === impl Colour ===

impl Colour {
    /// The class of what bears it.
    pub(super) fn class(self) -> String {
        match self {
            Self::One(number) => format!("c{}", number % MANY.len()),
            Self::Accent => "c0".to_owned(),
            Self::Alarm => "alarm".to_owned(),
            Self::Quiet => "quiet".to_owned(),
            Self::Pale => "quiet pale".to_owned(),
        }
    }
}

/// The rules of the style sheet.
pub(super) fn rules() -> String {
    let scheme = |choose: fn(&Pair) -> &'static str| {
        let mut rules = String::new();
        let mut rule = |selector: &str, property: &str, pair: &Pair| {
            // Writing to a string does not fail.
            let _ = writeln!(rules, "{selector}{{{property}:{}}}", choose(pair));
        };
        rule(".paper", "fill", &PAPER);
        rule(".title,.heading,.value,.figure", "fill", &INK);
        rule(".lead,.remark,.label", "fill", &SOFT_INK);
        rule(".rule", "stroke", &RULE);
        rule(".axis,.mark", "stroke", &AXIS);
        rule(".stroke", "stroke", &INK);
        rule(".alarm", "color", &ALARM);
        rule(".quiet", "color", &AXIS);
        for (number, pair) in MANY.iter().enumerate() {
            rule(&format!(".c{number}"), "color", pair);
        }
        rules
    };
    format!("{}@media(prefers-color-scheme:dark){{\n{}}}\n", scheme(|pair| pair.0), scheme(|pair| pair.1))
}
