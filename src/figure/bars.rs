//! Bars: few values, each in a row with its name.

use crate::figure::canvas::{Anchor, Canvas, LEFT, RIGHT, shortened, width_of};
use crate::figure::colour::Colour;

/// Rows of bars, all measured alike, from 0.
#[derive(Debug, Clone, Default)]
pub struct Bars {
    /// From top to bottom.
    pub rows: Vec<Bar>,
    /// A value that all can be held against, with its name.
    pub mark: Option<(f64, String)>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Whose.
    pub label: String,
    /// The bar's parts, from the left; the first is drawn full, the others softer.
    pub parts: Vec<(f64, Colour)>,
    /// A value that this one can be held against.
    pub mark: Option<f64>,
    /// What is written behind it.
    pub value: String,
}

const ROW: f64 = 23.0;
const THICK: f64 = 14.0;
const LONGEST_LABEL: f64 = 140.0;
/// Between label, bar and value.
const SPACE: f64 = 8.0;

// === impl Bars ===

impl Bars {
    pub(super) fn draw(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let Self { rows, mark } = self;
        let labels: Vec<String> = rows.iter().map(|row| shortened(&row.label, "label", LONGEST_LABEL)).collect();
        let widest = |texts: &mut dyn Iterator<Item = &str>, class: &str| {
            texts.map(|text| width_of(text, class)).fold(0.0, f64::max)
        };
        let left = LEFT + widest(&mut labels.iter().map(String::as_str), "label") + SPACE;
        let right = RIGHT - widest(&mut rows.iter().map(|row| row.value.as_str()), "value") - SPACE;
        let marks = rows.iter().filter_map(|row| row.mark).chain(mark.iter().map(|(at, _)| *at));
        let ends = rows.iter().map(Bar::end).chain(marks);
        let most = ends.fold(0.0, f64::max);
        let place = |value: f64| if most > 0.0 { left + value / most * (right - left) } else { left };

        let top = if mark.is_some() { y + 16.0 } else { y };
        for (index, (row, label)) in rows.iter().zip(&labels).enumerate() {
            let middle = top + (index as f64 + 0.5) * ROW;
            canvas.text((left - SPACE, middle + 4.2), Anchor::End, "label", label);
            canvas.hinted(&format!("{}: {}", row.label, row.value), |canvas| {
                let mut begin = 0.0;
                for (part, (size, colour)) in row.parts.iter().enumerate().filter(|(_, (size, _))| *size > 0.0) {
                    let kind = if part == 0 { "area" } else { "soft" };
                    let (from, to) = (place(begin), place(begin + size));
                    let class = format!("{kind} {}", colour.class());
                    canvas.rect((from, middle - THICK / 2.0), ((to - from).max(0.75), THICK), &class);
                    begin += size;
                }
            });
            if let Some(at) = row.mark {
                canvas.line((place(at), middle - ROW / 2.0 + 1.5), (place(at), middle + ROW / 2.0 - 1.5), "stroke");
            }
            canvas.text((RIGHT, middle + 4.2), Anchor::End, "value", &row.value);
        }
        let bottom = top + rows.len() as f64 * ROW;
        if let Some((at, name)) = mark {
            let half = width_of(name, "label") / 2.0;
            let middle = place(*at).clamp(LEFT + half, RIGHT - half);
            canvas.text((middle, top - 5.0), Anchor::Middle, "label", name);
            canvas.line((place(*at), top), (place(*at), bottom), "mark");
        }
        bottom
    }
}

// === impl Bar ===

impl Bar {
    fn end(&self) -> f64 {
        self.parts.iter().map(|(size, _)| size).sum()
    }
}
