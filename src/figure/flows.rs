//! Flows: what goes from where to where, and what stays.

use crate::figure::canvas::{Anchor, Canvas, LEFT, Number, RIGHT, shortened, width_of};
use crate::figure::colour::Colour;

/// Two rows of nodes, with what flows between them.
#[derive(Debug, Clone)]
pub struct Flows {
    /// What the left and the right row are.
    pub names: (String, String),
    /// Those before, from the top.
    pub left: Vec<Node>,
    /// Those after, from the top.
    pub right: Vec<Node>,
    /// In the order of their `from`, then of their `to`.
    pub flows: Vec<Flow>,
}

/// One end of flows.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub label: String,
    /// What is written beside it.
    pub value: String,
    /// Its size, in the unit of the flows.
    pub size: f64,
    /// Its colour.
    pub colour: Colour,
}

/// One flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// Index of the node on the left.
    pub from: usize,
    /// Index of the node on the right.
    pub to: usize,
    /// How much.
    pub size: f64,
    /// Its colour; `None`: it only stays, and is drawn faintly as what it comes from.
    pub colour: Option<Colour>,
}

const HEIGHT: f64 = 250.0;
/// Between nodes, so that their names have room.
const GAP: f64 = 15.0;
const THICK: f64 = 9.0;
const HAIRLINE: f64 = 0.75;
const LABELS: f64 = 92.0;

// === impl Flows ===

impl Flows {
    pub(super) fn draw(&self, canvas: &mut Canvas, y: f64) -> f64 {
        let Self { names, left, right, flows } = self;
        let rows = left.len().max(right.len()).max(1);
        let height = HEIGHT + (rows - 1) as f64 * GAP;
        let top = y + 24.0;
        let (from, to) = (LEFT + LABELS, RIGHT - LABELS);
        canvas.text((from + THICK, top - 12.0), Anchor::End, "label", &names.0);
        canvas.text((to - THICK, top - 12.0), Anchor::Start, "label", &names.1);

        let (mut leaving, mut arriving) = (tops(left, top, height), tops(right, top, height));
        let (left_tops, right_tops) = (leaving.clone(), arriving.clone());
        let scale = |size: f64, nodes: &[Node]| {
            let total: f64 = nodes.iter().map(|node| node.size).sum();
            if total > 0.0 { size / total * HEIGHT } else { 0.0 }
        };
        let mut ribbons: Vec<(Flow, f64, f64, f64)> = Vec::new();
        // Places follow the order of the nodes on the other side.
        for flow in flows {
            let thick = scale(flow.size, left);
            ribbons.push((*flow, leaving[flow.from], 0.0, thick));
            leaving[flow.from] += thick;
        }
        let mut by_target: Vec<usize> = (0..flows.len()).collect();
        by_target.sort_by_key(|index| (flows[*index].to, flows[*index].from));
        for index in by_target {
            let (flow, _, arrival, thick) = &mut ribbons[index];
            *arrival = arriving[flow.to];
            arriving[flow.to] += *thick;
        }
        // What stays lies below.
        ribbons.sort_by_key(|(flow, ..)| flow.colour.is_some());
        for (flow, departure, arrival, thick) in ribbons {
            let class = match flow.colour {
                // However thin, it can be seen.
                Some(colour) if thick < HAIRLINE => format!("soft hairline {}", colour.class()),
                Some(colour) => format!("soft {}", colour.class()),
                None => format!("faded {}", left[flow.from].colour.class()),
            };
            let hint = format!("{} → {}", left[flow.from].label, right[flow.to].label);
            canvas.hinted(&hint, |canvas| {
                canvas.path(&ribbon((from + THICK, departure), (to - THICK, arrival), thick), &class);
            });
        }
        let mut draw = |nodes: &[Node], tops: &[f64], x: f64, text: f64, anchor: Anchor| {
            for (node, top) in nodes.iter().zip(tops) {
                let thick = scale(node.size, nodes).max(1.0);
                canvas.rect((x, *top), (THICK, thick), &format!("area {}", node.colour.class()));
                let room = LABELS - 16.0 - width_of(&node.value, "value");
                let label = format!("{}: {}", shortened(&node.label, "value", room), node.value);
                canvas.text((text, top + thick / 2.0 + 4.2), anchor, "value", &label);
            }
        };
        draw(left, &left_tops, from, from - 7.0, Anchor::End);
        draw(right, &right_tops, to - THICK, to + 7.0, Anchor::Start);
        top + height
    }
}

/// Where each node begins; the shorter row stands in the middle.
fn tops(nodes: &[Node], top: f64, height: f64) -> Vec<f64> {
    let own = HEIGHT + nodes.len().saturating_sub(1) as f64 * GAP;
    let total: f64 = nodes.iter().map(|node| node.size).sum();
    let mut next = top + (height - own) / 2.0;
    let place = |node: &Node| {
        let at = next;
        next += GAP + if total > 0.0 { node.size / total * HEIGHT } else { 0.0 };
        at
    };
    nodes.iter().map(place).collect()
}

/// A band that bends from one height to another.
fn ribbon((x1, y1): (f64, f64), (x2, y2): (f64, f64), thick: f64) -> String {
    let [a, b, middle] = [x1, x2, (x1 + x2) / 2.0].map(Number);
    let [from, to, from_end, to_end] = [y1, y2, y1 + thick, y2 + thick].map(Number);
    format!(
        "M{a} {from}C{middle} {from} {middle} {to} {b} {to}V{to_end}C{middle} {to_end} {middle} {from_end} {a} {from_end}z"
    )
}
