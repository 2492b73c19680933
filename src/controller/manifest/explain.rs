//! The parsers' words, said with path, value and the way out, for whoever has to mend the file.

use serde_json::{Error, Value};
use serde_path_to_error::Segment;

use crate::controller::validate::FieldError;

/// The parser's message on one line, without its advice to programmers.
pub(super) fn syntax(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.split_once(", set DuplicateKeyPolicy") {
        Some((duplicate, _)) => format!("{duplicate}; leave one"),
        None => line.to_owned(),
    }
}

/// A field that nobody reads. `path` is in the form of `serde_ignored`: with `?` inside an `Option`, with an index as
/// one segment more, and without the one key of an enum's map.
pub(super) fn unknown(document: &Value, path: &str) -> String {
    let mut shown = String::new();
    let mut place = Some(document);
    for segment in path.split('.').filter(|segment| *segment != "?") {
        if let Some((key, value)) = place.and_then(only_field).filter(|(_, value)| value.get(segment).is_some()) {
            push(&mut shown, key);
            place = Some(value);
        }
        place = match place {
            Some(Value::Array(items)) => {
                shown.push_str(&format!("[{segment}]"));
                segment.parse().ok().and_then(|index: usize| items.get(index))
            }
            other => {
                push(&mut shown, segment);
                other.and_then(|value| value.get(segment))
            }
        };
    }
    format!("{shown}: no such field; check its spelling and place, or remove it")
}

/// A value that is not what its field takes, or a field that is missing. `document` is what was read, and stands at
/// `place` in the resource; the resource itself stands at no place.
pub(in crate::controller) fn mismatch(
    document: &Value,
    place: &str,
    error: &serde_path_to_error::Error<Error>,
) -> FieldError {
    let mut path = place.to_owned();
    if error.path().iter().len() > 0 {
        push(&mut path, &error.path().to_string());
    }
    let message = error.inner().to_string();
    let say = |path, value, rule: &str| FieldError { path, value, rule: rule.to_owned() };
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        push(&mut path, field);
        return say(path, String::new(), "missing: add it");
    }
    let found = error.path().iter().try_fold(document, |place, segment| match segment {
        Segment::Seq { index } => place.get(index),
        Segment::Map { key } => place.get(key),
        Segment::Enum { variant } => Some(place.get(variant).unwrap_or(place)),
        Segment::Unknown => None,
    });
    let (Some(found), Some((_, expected))) = (found, message.split_once(", expected ")) else {
        return say(path, String::new(), &message);
    };
    let is_too_large = message.starts_with("invalid value: integer");
    say(path, offending(found, &message), &way_out(expected, found, is_too_large))
}

/// What stands there, as it may be written; something longer by its kind.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a group of fields".to_owned(),
        Value::String(text) => text.clone(),
        scalar => scalar.to_string(),
    }
}

/// For an unknown choice its name alone; elsewhere text keeps its quotes, for they may be what is wrong.
fn offending(found: &Value, message: &str) -> String {
    match (message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')), found) {
        (Some((name, _)), _) => name.to_owned(),
        (None, Value::String(_)) => found.to_string(),
        (None, _) => value(found),
    }
}

/// What to write instead of `found`, where Rust's types or serde's words were `expected`.
fn way_out(expected: &str, found: &Value, is_too_large: bool) -> String {
    let wanted = match expected {
        _ if is_too_large => "a smaller whole number",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" if found.is_string() => {
            "a whole number, without quotes"
        }
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string or map" if found.is_number() || found.is_boolean() => "text: put it in quotes",
        "a string" | "string or map" => "text",
        "a sequence" => "a list, such as [a, b]",
        "IntOrString" => "a whole number, or text",
        "Quantity" => "a quantity such as 500m or 1Gi",
        "map with a single key" => "exactly one source: header, cookie, query, path, sourceIp or random",
        "newtype variant" => return "write {} behind it, or its fields".to_owned(),
        _ if expected.starts_with("struct ") || expected == "a map" || is_type(expected) => {
            return "use fields, indented below it; for the defaults remove it".to_owned();
        }
        _ => return format!("use {}", expected.replace('`', "")),
    };
    format!("use {wanted}")
}

/// Kubernetes' types are called by their bare names: `PodSpec`.
fn is_type(expected: &str) -> bool {
    expected.starts_with(|first: char| first.is_ascii_uppercase())
        && expected.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn only_field(value: &Value) -> Option<(&String, &Value)> {
    value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next())
}

fn push(path: &mut String, segment: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(segment);
}
