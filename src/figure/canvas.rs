//! What a figure is written on: elements of SVG with their classes, and how wide words are.

use std::fmt::{self, Write};

use crate::figure::colour;

pub(super) const WIDTH: f64 = 480.0;
/// Between these everything stands.
pub(super) const LEFT: f64 = 20.0;
pub(super) const RIGHT: f64 = WIDTH - 20.0;

/// Elements, in the order in which they cover each other.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    elements: String,
}

/// Which part of a text stands where it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A place: from the left, from the top.
pub(super) type Point = (f64, f64);

/// A coordinate, in hundredths.
#[derive(Clone, Copy)]
pub(super) struct Number(pub(super) f64);

/// Text as XML has it.
struct Escaped<'text>(&'text str);

/// Class, size in pixels and whether it is bold.
const FONTS: &[(&str, f64, bool)] = &[
    ("title", 20.0, true),
    ("lead", 13.0, false),
    ("heading", 14.0, true),
    ("remark", 12.0, false),
    ("label", 12.0, false),
    ("value", 12.0, false),
    ("figure", 34.0, true),
];

// === impl Canvas ===

impl Canvas {
    /// Several lines of one text, the first with its top at `y`; returns where they end.
    pub(super) fn lines(&mut self, y: f64, lines: &[String], class: &str, height: f64) -> f64 {
        let mut y = y;
        for line in lines {
            self.text((LEFT, y + height * 0.7), Anchor::Start, class, line);
            y += height;
        }
        y
    }

    pub(super) fn text(&mut self, (x, y): Point, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let (x, y, text) = (Number(x), Number(y), Escaped(text));
        self.write(format_args!(r#"<text x="{x}" y="{y}" class="{class}"{anchor}>{text}</text>"#));
    }

    pub(super) fn line(&mut self, (x1, y1): Point, (x2, y2): Point, class: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(Number);
        self.write(format_args!(r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{class}"/>"#));
    }

    pub(super) fn rect(&mut self, (x, y): Point, (width, height): (f64, f64), class: &str) {
        let radius = Number((width / 2.0).min(height / 2.0).min(2.0));
        let [x, y, width, height] = [x, y, width, height].map(Number);
        self.write(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" class="{class}"/>"#
        ));
    }

    pub(super) fn dot(&mut self, (x, y): Point, radius: f64, class: &str) {
        let [x, y, radius] = [x, y, radius].map(Number);
        self.write(format_args!(r#"<circle cx="{x}" cy="{y}" r="{radius}" class="{class}"/>"#));
    }

    pub(super) fn path(&mut self, path: &str, class: &str) {
        self.write(format_args!(r#"<path d="{path}" class="{class}"/>"#));
    }

    /// What `draw` draws says this where the pointer rests on it.
    pub(super) fn hinted(&mut self, hint: &str, draw: impl FnOnce(&mut Self)) {
        self.write(format_args!("<g><title>{}</title>", Escaped(hint)));
        draw(self);
        self.write(format_args!("</g>"));
    }

    /// The whole file, with what is told to those who don't see it.
    pub(super) fn into_svg(self, title: &str, lead: &str, height: f64) -> String {
        let (width, height, title, lead) = (Number(WIDTH), Number(height.ceil()), Escaped(title), Escaped(lead));
        let (style, elements) = (style(), self.elements);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}">
<title>{title}</title>
<desc>{lead}</desc>
<style>{style}</style>
<rect width="{width}" height="{height}" rx="10" class="paper"/>
{elements}</svg>
"#
        )
    }

    fn write(&mut self, element: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.elements, "{element}");
    }
}

/// Sizes of letters and colours of everything.
fn style() -> String {
    let mut style = String::from(
        "\nsvg{max-width:100%;height:auto}\ntext{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"DejaVu Sans\",sans-serif}\n",
    );
    for (class, size, is_bold) in FONTS {
        let weight = if *is_bold { ";font-weight:650" } else { "" };
        let _ = writeln!(style, ".{class}{{font-size:{size}px{weight}}}");
    }
    style.push_str(".value{font-variant-numeric:tabular-nums}\n.area,.soft,.faded{fill:currentColor}\n.soft{fill-opacity:.55}\n.faded{fill-opacity:.2}\n.curve{fill:none;stroke:currentColor;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}\n.mark{stroke-dasharray:4 3}\n.pale{fill-opacity:.3}\n.hairline{stroke:currentColor;stroke-width:.5;stroke-opacity:.45}\n.crisp{shape-rendering:crispEdges}\n");
    style.push_str(&colour::rules());
    style
}

/// The text in lines that are no wider, cut between words, but not before a unit.
pub(super) fn wrapped(text: &str, class: &str, width: f64) -> Vec<String> {
    const TOGETHER: &str = "\u{a0}%";
    let mut lines: Vec<String> = Vec::new();
    for word in text.replace(" %", TOGETHER).split(' ') {
        match lines.last_mut() {
            Some(line) if width_of(&format!("{line} {word}"), class) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| line.replace(TOGETHER, " %")).collect()
}

/// The text, cut with an ellipsis where it is too wide.
pub(super) fn shortened(text: &str, class: &str, width: f64) -> String {
    if width_of(text, class) <= width {
        return text.to_owned();
    }
    let mut short = text.to_owned();
    while short.pop().is_some() && width_of(&format!("{short}…"), class) > width {}
    format!("{}…", short.trim_end())
}

/// How wide a text is at most, in a usual font without serifs.
pub(super) fn width_of(text: &str, class: &str) -> f64 {
    let (size, is_bold) = FONTS.iter().find(|font| font.0 == class).map_or((12.0, false), |font| (font.1, font.2));
    let width = |letter: char| match letter {
        'i' | 'j' | 'l' | 't' | 'f' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' => 0.36,
        ' ' => 0.32,
        'm' | 'w' | 'M' | 'W' | '%' | '→' | '—' => 0.95,
        'A'..='Z' => 0.72,
        _ => 0.61,
    };
    text.chars().map(width).sum::<f64>() * size * if is_bold { 1.12 } else { 1.0 }
}

// === impl Number, Escaped ===

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0 * 100.0).round() / 100.0;
        write!(f, "{}", if hundredths == 0.0 { 0.0 } else { hundredths })
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // XML has no place for them.
                control if control.is_control() => f.write_char(' ')?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}
