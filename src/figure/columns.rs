//! Columns: many values in a row, too many for a name each.

use std::fmt::Write;

use crate::figure::canvas::{Anchor, Canvas, LEFT, Number, RIGHT, width_of};
use crate::figure::colour::Colour;
use crate::figure::scale::{Axis, Scale};

/// Columns side by side, all measured alike, from 0.
#[derive(Debug, Clone)]
pub struct Columns {
    /// From left to right.
    pub columns: Vec<Column>,
    /// What the row of names is.
    pub names: String,
    /// What is written beside a tick of the height.
    pub label: fn(f64) -> String,
    /// A value that all can be held against, with its name.
    pub mark: Option<(f64, String)>,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Whose; may be empty.
    pub name: String,
    /// The column's parts, from the bottom up.
    pub parts: Vec<(f64, Colour)>,
    /// What it says where the pointer rests on it.
    pub hint: String,
}

const HEIGHT: f64 = 170.0;

// === impl Columns ===

impl Columns {
    pub(super) fn draw(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let Self { columns, names, label, mark } = self;
        let ends = columns.iter().map(Column::end).chain(mark.iter().map(|(at, _)| *at));
        let axis = Axis { scale: Scale::Linear, range: (0.0, ends.fold(0.0, f64::max)), label: *label };
        let ticks: Vec<(f64, String)> = axis.ticks(4).into_iter().map(|tick| (tick, label(tick))).collect();
        let left = LEFT + ticks.iter().map(|(_, text)| width_of(text, "label")).fold(0.0, f64::max) + 6.0;
        let (top, bottom) = (y + 20.0, y + 20.0 + HEIGHT);
        let place = |value: f64| bottom - axis.place(value) * HEIGHT;
        for (tick, text) in &ticks {
            canvas.text((left - 6.0, place(*tick) + 4.2), Anchor::End, "label", text);
            canvas.line((left, place(*tick)), (RIGHT, place(*tick)), "rule");
        }

        let step = (RIGHT - left) / columns.len().max(1) as f64;
        let gap = if step > 3.0 { (step * 0.2).min(3.0) } else { 0.0 };
        for (index, column) in columns.iter().enumerate() {
            let x = left + index as f64 * step + gap / 2.0;
            canvas.hinted(&column.hint, |canvas| {
                let mut begin = 0.0;
                for (size, colour) in column.parts.iter().filter(|(size, _)| *size > 0.0) {
                    let (from, to) = (place(begin), place(begin + size));
                    let mut path = String::new();
                    // Writing to a string does not fail.
                    let _ = write!(path, "M{} {}", Number(x), Number(from));
                    let _ = write!(path, "V{}h{}V{}z", Number(to), Number(step - gap), Number(from));
                    let kind = if gap > 0.0 { "area" } else { "area crisp" };
                    canvas.path(&path, &format!("{kind} {}", colour.class()));
                    begin += size;
                }
            });
        }
        for index in named(columns.len()).filter(|index| !columns[*index].name.is_empty()) {
            let middle = left + (index as f64 + 0.5) * step;
            canvas.line((middle, bottom), (middle, bottom + 4.0), "axis");
            canvas.text((middle, bottom + 17.0), Anchor::Middle, "label", &columns[index].name);
        }
        canvas.line((left, bottom), (RIGHT, bottom), "axis");
        canvas.text(((left + RIGHT) / 2.0, bottom + 34.0), Anchor::Middle, "label", names);
        if let Some((at, name)) = mark {
            canvas.line((left, place(*at)), (RIGHT, place(*at)), "mark");
            canvas.text((RIGHT, top - 7.0), Anchor::End, "label", name);
        }
        bottom + 38.0
    }
}

/// Which of so many columns have their name below them: a few, at equal distances.
fn named(count: usize) -> impl Iterator<Item = usize> {
    let step = [1, 2, 5, 10, 20, 25, 50, 100, 200].into_iter().find(|step| count / step <= 10).unwrap_or(500);
    (0..count).step_by(step)
}

// === impl Column ===

impl Column {
    fn end(&self) -> f64 {
        self.parts.iter().map(|(size, _)| size).sum()
    }
}
