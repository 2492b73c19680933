//! Lines: values that follow a number.

use std::fmt::Write;

use crate::figure::canvas::{Anchor, Canvas, LEFT, Number, RIGHT, width_of};
use crate::figure::colour::Colour;
use crate::figure::scale::Axis;

/// Lines over one axis.
#[derive(Debug, Clone)]
pub struct Lines {
    /// What the values follow.
    pub x: Axis,
    /// What that is.
    pub x_name: String,
    /// The values' own axis.
    pub y: Axis,
    /// In the order in which they cover each other.
    pub lines: Vec<Line>,
    /// A number on the x axis to point out, with its name.
    pub mark: Option<(f64, String)>,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whose; written at its end.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// Its points, from the left.
    pub points: Vec<(f64, f64)>,
}

const HEIGHT: f64 = 240.0;
/// From one name to the next.
const NAME: f64 = 15.0;

// === impl Lines ===

impl Lines {
    pub(super) fn draw(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let Self { x: x_axis, x_name, y: y_axis, lines, mark } = self;
        let widest =
            |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| width_of(text, "label")).fold(0.0, f64::max);
        let ticks: Vec<(f64, String)> = y_axis.ticks(6).into_iter().map(|tick| (tick, (y_axis.label)(tick))).collect();
        let left = LEFT + widest(&mut ticks.iter().map(|(_, text)| text.as_str())) + 6.0;
        let right = RIGHT - widest(&mut lines.iter().map(|line| line.name.as_str())) - 10.0;
        let top = if mark.is_some() { y + 22.0 } else { y + 8.0 };
        let bottom = top + HEIGHT;
        let place = |(x, y): (f64, f64)| (left + x_axis.place(x) * (right - left), bottom - y_axis.place(y) * HEIGHT);
        for (tick, text) in &ticks {
            let (_, at) = place((x_axis.range.0, *tick));
            canvas.text((left - 6.0, at + 4.2), Anchor::End, "label", text);
            canvas.line((left, at), (right, at), "rule");
        }
        for tick in x_axis.ticks(6) {
            let (at, _) = place((tick, y_axis.range.0));
            canvas.line((at, bottom), (at, bottom + 4.0), "axis");
            canvas.text((at, bottom + 17.0), Anchor::Middle, "label", &(x_axis.label)(tick));
        }
        canvas.line((left, bottom), (right, bottom), "axis");
        canvas.text(((left + right) / 2.0, bottom + 34.0), Anchor::Middle, "label", x_name);
        if let Some((at, name)) = mark {
            let (at, _) = place((*at, y_axis.range.0));
            canvas.line((at, top), (at, bottom), "mark");
            let half = width_of(name, "label") / 2.0;
            canvas.text((at.clamp(LEFT + half, RIGHT - half), top - 8.0), Anchor::Middle, "label", name);
        }
        for line in lines {
            canvas.hinted(&line.name, |canvas| {
                canvas.path(
                    &path(line.points.iter().map(|point| place(*point))),
                    &format!("curve {}", line.colour.class()),
                );
            });
        }
        self.name_lines(canvas, (top, bottom), place);
        bottom + 38.0
    }

    /// Writes each line's name at its end, with those that would cover each other moved apart.
    fn name_lines(&self, canvas: &mut Canvas, (top, bottom): (f64, f64), place: impl Fn((f64, f64)) -> (f64, f64)) {
        let ends = self.lines.iter().filter_map(|line| Some((line, place(*line.points.last()?))));
        let mut ends: Vec<(&Line, (f64, f64))> = ends.collect();
        ends.sort_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        let places = apart(ends.iter().map(|(_, (_, y))| *y).collect(), NAME, (top, bottom));
        let from = ends.iter().map(|(_, (x, _))| *x).fold(0.0, f64::max);
        for ((line, (x, y)), at) in ends.iter().zip(places) {
            let class = line.colour.class();
            canvas.dot((*x, *y), 3.5, &format!("area {class}"));
            // A line that ends early has its name beside its end.
            let beside = if from - x > 20.0 { *x } else { from };
            canvas.text((beside + 8.0, at + 4.2), Anchor::Start, "value", &line.name);
        }
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.enumerate() {
        // Writing to a string does not fail.
        let _ = write!(path, "{}{} {}", if index == 0 { 'M' } else { 'L' }, Number(x), Number(y));
    }
    path
}

/// Ascending places, moved so that they are that far apart, within the range.
pub(super) fn apart(mut places: Vec<f64>, distance: f64, (least, most): (f64, f64)) -> Vec<f64> {
    let mut above = least - distance;
    for place in &mut places {
        *place = place.max(above + distance);
        above = *place;
    }
    let mut below = most + distance;
    for place in places.iter_mut().rev() {
        *place = place.min(below - distance);
        below = *place;
    }
    places
}
