//! A circle: what belongs to whom around it, and who comes next.

use std::f64::consts::TAU;

use crate::figure::canvas::{Anchor, Canvas, Number, WIDTH};
use crate::figure::colour::Colour;

/// Slices around a circle, from the top, clockwise.
#[derive(Debug, Clone)]
pub struct Circle {
    /// In order.
    pub slices: Vec<Slice>,
    /// Whether they are the whole of it; else the circle stays open at the top.
    pub is_whole: bool,
    /// What is written in its middle, large, and below that.
    pub centre: (String, String),
}

/// One slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// Relative to the others.
    pub size: f64,
    /// Whose it is.
    pub owner: Colour,
    /// Whose it would be without the owner.
    pub next: Option<Colour>,
}

const OUTER: (f64, f64) = (122.0, 160.0);
const INNER: (f64, f64) = (106.0, 118.0);
/// What stays open of a circle that shows a part, in turns.
const OPEN: f64 = 0.03;

// === impl Circle ===

impl Circle {
    pub(super) fn draw(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let Self { slices, is_whole, centre: (figure, caption) } = self;
        let centre = (WIDTH / 2.0, y + OUTER.1 + 4.0);
        let (first, turn) = if *is_whole { (0.0, 1.0) } else { (OPEN / 2.0, 1.0 - OPEN) };
        let total: f64 = slices.iter().map(|slice| slice.size).sum();
        let mut draw = |radii: (f64, f64), colour: &dyn Fn(&Slice) -> Option<Colour>, kind: &str| {
            for (begin, end, colour) in runs(slices, colour) {
                let at = |size: f64| first + size / total * turn;
                if let Some(colour) = colour {
                    canvas.path(&sector(centre, radii, (at(begin), at(end))), &format!("{kind} {}", colour.class()));
                }
            }
        };
        draw(OUTER, &|slice| Some(slice.owner), "area");
        draw(INNER, &|slice| slice.next, "soft");
        canvas.text((centre.0, centre.1 + 6.0), Anchor::Middle, "figure", figure);
        canvas.text((centre.0, centre.1 + 28.0), Anchor::Middle, "lead", caption);
        centre.1 + OUTER.1 + 6.0
    }
}

/// Neighbours of one colour as one.
fn runs(slices: &[Slice], colour: &dyn Fn(&Slice) -> Option<Colour>) -> Vec<(f64, f64, Option<Colour>)> {
    let mut runs: Vec<(f64, f64, Option<Colour>)> = Vec::new();
    let mut begin = 0.0;
    for slice in slices {
        let end = begin + slice.size;
        match runs.last_mut() {
            Some(run) if run.2 == colour(slice) => run.1 = end,
            _ => runs.push((begin, end, colour(slice))),
        }
        begin = end;
    }
    runs
}

/// A part of a ring between two angles, in turns.
fn sector((x, y): (f64, f64), (inner, outer): (f64, f64), (begin, end): (f64, f64)) -> String {
    // An arc of a whole turn would be none.
    let end = end.min(begin + 0.9999);
    let at = |radius: f64, turn: f64| {
        let (sin, cos) = (turn * TAU).sin_cos();
        format!("{} {}", Number(x + radius * sin), Number(y - radius * cos))
    };
    let large = u8::from(end - begin > 0.5);
    format!(
        "M{}A{outer} {outer} 0 {large} 1 {}L{}A{inner} {inner} 0 {large} 0 {}z",
        at(outer, begin),
        at(outer, end),
        at(inner, end),
        at(inner, begin)
    )
}
