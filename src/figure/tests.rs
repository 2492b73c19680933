//! What holds of every figure, whatever it shows.

use roxmltree::Document;

use super::canvas::{shortened, width_of, wrapped};
use super::*;

fn figure(chart: Chart) -> String {
    let panel = Panel { heading: "Heading".to_owned(), remark: String::new(), chart };
    Figure { title: "Title".to_owned(), lead: "Lead".to_owned(), panels: vec![panel], notes: vec![] }.to_svg()
}

#[test]
fn any_words_may_be_written() {
    let bar = Bar {
        label: "<a & \"b\">".to_owned(),
        parts: vec![(1.0, Colour::Alarm)],
        mark: None,
        value: "\u{1}1".to_owned(),
    };
    let svg = figure(Chart::Bars(Bars { rows: vec![bar], mark: None }));
    let document = Document::parse(&svg).expect("well formed");
    let texts: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()).collect();
    assert_eq!(texts, ["Title", "Lead", "Heading", "<a & \"b\">", " 1"]);
}

#[test]
fn charts_of_nothing_are_drawn() {
    let axis = Axis { scale: Scale::Linear, range: (0.0, 0.0), label: |number| number.to_string() };
    let nothing = Column { name: "0".to_owned(), parts: vec![(0.0, Colour::Accent)], hint: String::new() };
    let line = Line { name: "none".to_owned(), colour: Colour::One(0), points: vec![] };
    let charts = [
        Chart::Bars(Bars::default()),
        Chart::Columns(Columns { columns: vec![nothing], names: String::new(), label: axis.label, mark: None }),
        Chart::Lines(Lines { x: axis.clone(), x_name: String::new(), y: axis, lines: vec![line], mark: None }),
        Chart::Circle(Circle { slices: vec![], is_whole: true, centre: (String::new(), String::new()) }),
        Chart::Flows(Flows { names: (String::new(), String::new()), left: vec![], right: vec![], flows: vec![] }),
    ];
    for chart in charts {
        let svg = figure(chart);
        Document::parse(&svg).expect("well formed");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn lines_of_text_are_cut_between_words_but_not_before_a_unit() {
    let width = width_of("eats 0.24 %", "title");
    assert_eq!(wrapped("it eats 0.24 % of all", "title", width), ["it eats", "0.24 % of", "all"]);
    assert_eq!(wrapped("indivisible", "title", 1.0), ["indivisible"]);
}

#[test]
fn names_that_are_too_long_end_with_an_ellipsis() {
    assert_eq!(shortened("0 10.0.0.1", "label", 100.0), "0 10.0.0.1");
    let short = shortened("a-name-that-is-too-long", "label", 60.0);
    assert!(short.ends_with('…') && width_of(&short, "label") <= 60.0, "{short}");
}

#[test]
fn names_at_the_ends_of_lines_do_not_cover_each_other() {
    let apart = lines::apart(vec![3.0, 4.0, 50.0, 99.0, 99.5], 15.0, (0.0, 100.0));
    assert_eq!(apart, [3.0, 18.0, 50.0, 85.0, 100.0]);
}
