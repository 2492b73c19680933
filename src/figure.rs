//! Figures: charts as SVG, for whoever has numbers to show. Knows nothing of what the numbers mean.
//!
//! A figure says what was found in its title, and below it shows from what, panel by panel. It is 480 wide, so that it can
//! be read on a phone, needs no font or script, and is light or dark as the reader prefers.

mod bars;
mod canvas;
mod circle;
mod colour;
mod columns;
mod flows;
mod lines;
mod scale;
#[cfg(test)]
mod tests;

pub use bars::{Bar, Bars};
pub use circle::{Circle, Slice};
pub use colour::Colour;
pub use columns::{Column, Columns};
pub use flows::{Flow, Flows, Node};
pub use lines::{Line, Lines};
pub use scale::{Axis, Scale};

use canvas::{Canvas, LEFT, RIGHT, wrapped};

/// One picture.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was found, in a sentence.
    pub title: String,
    /// Where it was found: what the numbers are of.
    pub lead: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
    /// What else has to be known to read it.
    pub notes: Vec<String>,
}

/// One chart of a figure.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What is shown, with its unit.
    pub heading: String,
    /// How to read it; may be empty.
    pub remark: String,
    /// The chart.
    pub chart: Chart,
}

/// What there is to draw with.
#[derive(Debug, Clone)]
pub enum Chart {
    /// Few values, each with a name.
    Bars(Bars),
    /// Many values in a row.
    Columns(Columns),
    /// Values that follow a number.
    Lines(Lines),
    /// What belongs to whom around a circle.
    Circle(Circle),
    /// What goes from where to where.
    Flows(Flows),
}

/// Below a title, a panel or a note.
const GAP: f64 = 22.0;

// === impl Figure ===

impl Figure {
    /// The whole file.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let Self { title, lead, panels, notes } = self;
        let mut canvas = Canvas::default();
        let mut y = canvas.lines(26.0, &wrapped(title, "title", RIGHT - LEFT), "title", 25.0);
        y = canvas.lines(y + 5.0, &wrapped(lead, "lead", RIGHT - LEFT), "lead", 18.0);
        for panel in panels {
            y = panel.draw(&mut canvas, y + GAP);
        }
        for (index, note) in notes.iter().enumerate() {
            let above = if index == 0 { GAP } else { 4.0 };
            y = canvas.lines(y + above, &wrapped(note, "remark", RIGHT - LEFT), "remark", 16.0);
        }
        canvas.into_svg(title, lead, y + 18.0)
    }
}

// === impl Panel ===

impl Panel {
    /// Draws from `y` down and returns where it ends.
    fn draw(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let Self { heading, remark, chart } = self;
        canvas.line((LEFT, y - 8.0), (RIGHT, y - 8.0), "rule");
        let mut y = canvas.lines(y + 6.0, &wrapped(heading, "heading", RIGHT - LEFT), "heading", 18.0);
        if !remark.is_empty() {
            y = canvas.lines(y, &wrapped(remark, "remark", RIGHT - LEFT), "remark", 16.0);
        }
        match chart {
            Chart::Bars(bars) => bars.draw(canvas, y + 6.0),
            Chart::Columns(columns) => columns.draw(canvas, y + 6.0),
            Chart::Lines(lines) => lines.draw(canvas, y + 6.0),
            Chart::Circle(circle) => circle.draw(canvas, y + 6.0),
            Chart::Flows(flows) => flows.draw(canvas, y + 6.0),
        }
    }
}
