//! From the schema that is derived from the types to the one that an API server gets.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::rules::{RULES, Rule};

/// Turns the spec's generated schema into the one that an API server gets.
pub(super) fn refine(schema: &mut Schema) {
    let Some(root) = schema.as_object_mut() else { return };
    let mut spec = Value::Object(std::mem::take(root));
    without_nulls(&mut spec);
    flow(&mut spec);
    union(&mut spec["properties"]["hashKey"]["items"]);
    for Rule { at, rule, message, field } in RULES {
        let mut entry = json!({"rule": rule, "message": message});
        if let Some(field) = field {
            entry["fieldPath"] = json!(field);
        }
        let rules = &mut place(&mut spec, at)["x-kubernetes-validations"];
        match rules {
            Value::Array(rules) => rules.push(entry),
            _ => *rules = json!([entry]),
        }
    }
    if let Value::Object(fields) = spec {
        *root = fields;
    }
}

fn place<'a>(spec: &'a mut Value, at: &str) -> &'a mut Value {
    at.split('.').filter(|name| !name.is_empty()).fold(spec, |schema, segment| {
        let name = segment.trim_end_matches("[]");
        let field = &mut schema["properties"][name];
        if name == segment { field } else { &mut field["items"] }
    })
}

/// An optional field may be left out; a null is no further way to say so. The API server then takes every null away,
/// and `has` means what it says.
fn without_nulls(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = &mut types[..] {
                    let only = only.take();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = &mut choices[..] {
                    let only = std::mem::take(only);
                    fields.remove("anyOf");
                    let said = std::mem::replace(fields, only);
                    fields.extend(said); // a field's own description tells more than its type's
                }
            }
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// For the status, about which the API server has nothing to check.
pub(super) fn reflow(schema: &mut Schema) {
    if let Some(fields) = schema.as_object_mut() {
        fields.values_mut().for_each(flow);
    }
}

/// Descriptions as a line each paragraph: whoever shows them breaks them anew.
fn flow(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                let paragraphs: Vec<String> = text.split("\n\n").map(|lines| lines.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            fields.values_mut().for_each(flow);
        }
        Value::Array(items) => items.iter_mut().for_each(flow),
        _ => {}
    }
}

/// One object with all variants as fields, in place of `oneOf`, whose error nobody understands; a rule says the rest.
fn union(schema: &mut Value) {
    let mut fields = Map::new();
    for variant in schema["oneOf"].as_array_mut().into_iter().flatten() {
        let about = variant["description"].take();
        for (name, field) in variant["properties"].as_object_mut().into_iter().flatten() {
            let mut field = field.take();
            field["description"] = about.clone();
            fields.insert(name.clone(), field);
        }
    }
    let about = schema["description"].take();
    *schema = json!({"type": "object", "description": about, "properties": fields});
}
