//! What people look at. How it looks has to be looked at; here it is well formed, says the same numbers, and no words
//! cover each other.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};
use serde_json::Value;

use crate::printed;

fn picture(args: &[&str]) -> String {
    printed(&[args, &["--svg", "-"]].concat())
}

fn answer(args: &[&str]) -> Value {
    serde_json::from_str(&printed(&[args, &["--output", "json"]].concat())).unwrap()
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap_or_default().parse().unwrap_or_else(|_| panic!("{attribute} of {node:?}"))
}

/// How long the bars are, by what they say where the pointer rests on them.
fn bars<'a>(document: &'a Document<'_>) -> BTreeMap<&'a str, f64> {
    let groups = document.descendants().filter(|node| node.has_tag_name("g"));
    let bars = groups.filter_map(|group| {
        let hint = group.first_element_child()?.text()?;
        let rects: Vec<f64> =
            group.children().filter(|node| node.has_tag_name("rect")).map(|rect| number(rect, "width")).collect();
        (!rects.is_empty()).then(|| (hint, rects.iter().sum()))
    });
    bars.collect()
}

#[test]
fn bars_are_as_long_as_shares_are_large() {
    let args = ["shares", "--algorithm", "Polynomial"];
    let (picture, answer) = (picture(&args), answer(&args));
    let document = Document::parse(&picture).unwrap();
    let bars = bars(&document);
    assert_eq!(bars.keys().copied().collect::<Vec<&str>>(), ["0: 84.4 %", "1: 4.7 %", "2: 10.9 %"]);
    for (length, member) in bars.values().zip(answer["members"].as_array().unwrap()) {
        let expected = member["share"].as_f64().unwrap() / answer["share"]["peak"].as_f64().unwrap();
        assert!((length / bars["0: 84.4 %"] - expected).abs() < 1e-3, "{member}");
    }
}

#[test]
fn the_circle_shows_every_arc_of_a_small_ring() {
    // 512 key numbers, neighbours of one owner drawn as one.
    let picture = picture(&["shares", "--algorithm", "Polynomial"]);
    let document = Document::parse(&picture).unwrap();
    let angles = |of: &str| {
        let paths = document.descendants().filter(|node| node.has_tag_name("path"));
        let sectors = paths.filter(|node| node.attribute("class") == Some(of));
        sectors.map(|sector| angle(sector.attribute("d").unwrap())).sum::<f64>()
    };
    for (class, share) in [("area c0", 0.843_75), ("area c1", 0.046_875), ("area c2", 0.109_375)] {
        assert!((angles(class) - share).abs() < 2e-3, "{class}: {}", angles(class));
    }
}

/// How much of a turn a sector is, from its two outer corners.
fn angle(path: &str) -> f64 {
    let numbers: Vec<f64> = path
        .split(|letter: char| letter.is_ascii_alphabetic() || letter == ' ')
        .filter_map(|part| part.parse().ok())
        .collect();
    // M x y A r r rotation large sweep x y …
    let (x1, y1, radius, large, x2, y2) = (numbers[0], numbers[1], numbers[2], numbers[5], numbers[7], numbers[8]);
    let chord = ((x2 - x1).powi(2) + (y2 - y1).powi(2)).sqrt();
    let turn = (chord / 2.0 / radius).min(1.0).asin() / std::f64::consts::PI;
    if large == 1.0 { 1.0 - turn } else { turn }
}

#[test]
fn what_moves_is_drawn_as_large_as_it_is() {
    let args = ["moves", "--members", "10", "--to", "11", "--algorithm", "Maglev", "--slots", "1000"];
    let (picture, answer) = (picture(&args), answer(&args));
    let document = Document::parse(&picture).unwrap();
    let bars = bars(&document);
    let length = |label: &str| bars.iter().find(|(hint, _)| hint.starts_with(label)).unwrap().1;
    let share = |name: &str| answer[name].as_f64().unwrap();
    let stays = length("stay: ") / (1.0 - share("moved"));
    assert!((length("move, as they must: ") / stays - share("needed")).abs() < 1e-3);
    assert!((length("move beyond need: ") / stays - share("beyondNeed")).abs() < 1e-3);

    // Bands of flows end with the height of what they carry: "V…" after the upper edge.
    let (mut red, mut all) = (0.0, 0.0);
    for band in document.descendants().filter(|node| node.has_tag_name("path")) {
        let (class, path) = (band.attribute("class").unwrap(), band.attribute("d").unwrap());
        let Some((upper, lower)) = path.split_once('V').filter(|_| path.contains('C')) else { continue };
        let top: f64 = upper.rsplit(' ').next().unwrap().parse().unwrap();
        let bottom: f64 = lower.split('C').next().unwrap().parse().unwrap();
        all += bottom - top;
        red += if class.ends_with("alarm") { bottom - top } else { 0.0 };
    }
    assert!((red / all - share("beyondNeed")).abs() < 2e-3, "{} of {}", red / all, share("beyondNeed"));
}

#[test]
fn a_line_for_each_algorithm_has_a_point_for_each_number_of_members() {
    let args = ["compare", "--members", "60", "--slots", "256"];
    let (picture, answer) = (picture(&args), answer(&args));
    let document = Document::parse(&picture).unwrap();
    let curves =
        document.descendants().filter(|node| node.attribute("class").is_some_and(|it| it.starts_with("curve")));
    let points: Vec<usize> = curves.map(|curve| curve.attribute("d").unwrap().matches(['M', 'L']).count()).collect();
    let algorithms = answer["algorithms"].as_array().unwrap().iter();
    let expected: Vec<usize> = algorithms.filter_map(|of| Some(of["byMembers"].as_array()?.len())).collect();
    assert_eq!((points.len(), &points), (3, &expected));
    assert!(picture.contains("Left out: a Polynomial ring seats at most 56 replicas"));
}

#[test]
fn a_picture_suits_light_and_dark_pages_and_says_what_it_is() {
    let picture = picture(&["shares"]);
    let document = Document::parse(&picture).unwrap();
    let root = document.root_element();
    let text = |tag: &str| root.children().find(|node| node.has_tag_name(tag)).and_then(|node| node.text()).unwrap();
    assert_eq!(root.attribute("aria-label"), Some("The busiest of 3 members gets 0.24 % more than its fair share"));
    assert_eq!(root.attribute("aria-label"), Some(text("title")));
    assert!(text("style").contains("@media(prefers-color-scheme:dark)"));
}

#[test]
fn a_file_gets_what_standard_output_would() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ring.svg");
    let table = printed(&["shares", "--svg", file.to_str().unwrap()]);
    assert_eq!(table, printed(&["shares"]));
    assert_eq!(std::fs::read_to_string(file).unwrap(), picture(&["shares"]));
}

#[test]
fn no_words_cover_each_other_or_leave_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.yaml");
    let sample = std::fs::read_to_string("deploy/samples/web.yaml").unwrap();
    let ring = "replicas: 3\n  ring: {algorithm: Ketama, members: [{ordinal: 0, name: a-very-long-name-of-a-server.with-a-domain.example:8080}]}";
    std::fs::write(&file, sample.replace("replicas: 3", ring)).unwrap();
    let named = file.to_str().unwrap();
    let mut questions = vec![
        vec!["shares", "--file", named],
        vec!["moves", "--file", named, "--to", "4"],
        vec!["moves", "--members", "60", "--remove", "3", "--weight", "5=40", "--slots", "512"],
        vec!["moves", "--members", "5", "--to-algorithm", "Ketama"],
        vec!["moves", "--members", "14", "--from-weight", "0=1000", "--to", "13"],
    ];
    let sizes = ["1", "2", "3", "10", "14", "20", "21", "100", "230", "1000"];
    for size in sizes {
        questions.push(vec!["shares", "--members", size, "--slots", "1024"]);
        questions.push(vec![
            "moves",
            "--members",
            size,
            "--algorithm",
            "Maglev",
            "--slots",
            "1024",
            "--remove",
            "0",
            "--to",
            "1020",
        ]);
    }
    for size in ["1", "3", "12", "100", "300"] {
        questions.push(vec!["compare", "--members", size, "--slots", "512"]);
    }
    for question in questions {
        let picture = picture(&question);
        let document = Document::parse(&picture).unwrap();
        let boxes = boxes(&document);
        let root = document.root_element();
        let (width, height) = (number(root, "width"), number(root, "height"));
        for (index, one) in boxes.iter().enumerate() {
            let inside = one.left >= 0.0 && one.right <= width && one.top >= 0.0 && one.bottom <= height;
            assert!(inside, "{question:?}: {one:?} leaves the page");
            for other in &boxes[index + 1..] {
                let apart = one.right <= other.left
                    || other.right <= one.left
                    || one.bottom <= other.top
                    || other.bottom <= one.top;
                assert!(apart, "{question:?}: {one:?} covers {other:?}");
            }
        }
    }
}

/// About where the words stand, in a wide font.
#[derive(Debug)]
#[expect(dead_code, reason = "the text is shown when the test fails")]
struct Words<'a> {
    text: &'a str,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

fn boxes<'a>(document: &'a Document<'_>) -> Vec<Words<'a>> {
    let style = document.descendants().find(|node| node.has_tag_name("style")).unwrap().text().unwrap();
    let size = |class: &str| -> f64 {
        let (_, rest) = style.split_once(&format!(".{class}{{font-size:")).unwrap();
        rest.split_once("px").unwrap().0.parse().unwrap()
    };
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let words = texts.map(|node| {
        let (x, y, text) = (number(node, "x"), number(node, "y"), node.text().unwrap());
        let size = size(node.attribute("class").unwrap());
        let narrow = |letter: &char| " .,:;|/ilrtfjI'()".contains(*letter);
        let (narrow, wide) =
            (text.chars().filter(narrow).count(), text.chars().filter(|letter| !narrow(letter)).count());
        let width = (narrow as f64 * 0.35 + wide as f64 * 0.62) * size;
        let left = match node.attribute("text-anchor") {
            None => x,
            Some("middle") => x - width / 2.0,
            Some(_) => x - width,
        };
        Words { text, left, right: left + width, top: y - size * 0.75, bottom: y + size * 0.2 }
    });
    words.collect()
}
