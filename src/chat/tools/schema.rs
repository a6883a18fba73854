//! The schemas of the tools' inputs, and how an input is checked against the one
//! that the model was given.
//!
//! The part of JSON Schema that the tools use, and no other: a test sees to it
//! that no tool promises what is not checked here.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// Characters of an id, as models write them: addresses are ids as well.
const ID: RangeInclusive<usize> = 1..=200;

/// An input: these properties, and no others.
pub(super) fn input(required: &[&str], properties: Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
    });
    schema["properties"] = properties;
    schema
}

/// Text of so many characters.
pub(super) fn text(length: RangeInclusive<usize>, description: &str) -> Value {
    json!({
        "type": "string", "minLength": length.start(), "maxLength": length.end(),
        "description": description,
    })
}

/// A whole number.
pub(super) fn whole(range: RangeInclusive<u32>, description: &str) -> Value {
    json!({
        "type": "integer", "minimum": range.start(), "maximum": range.end(),
        "description": description,
    })
}

/// Between one and `most` names or ids.
pub(super) fn names(most: usize, description: &str) -> Value {
    json!({
        "type": "array", "minItems": 1, "maxItems": most,
        "items": {"type": "string", "minLength": ID.start(), "maxLength": ID.end()},
        "description": description,
    })
}

/// Ids of at most `most` tracks.
pub(super) fn track_ids(most: usize) -> Value {
    names(most, "Ids of tracks, as other tools give them.")
}

/// A playlist that must be named, or be the one that the request is about.
pub(super) fn playlist_id() -> Value {
    let description = "The playlist's id, URI or address; the playlist that the user has open if \
        left out.";
    text(ID, description)
}

/// More faults than a model needs to do better.
const MAX_FAULTS: usize = 5;

/// What is wrong with `input`, in words, each naming its place as a JSON
/// pointer. Empty when it fits `schema`.
pub(super) fn faults(schema: &Value, input: &Value) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    faults.value(schema, input, "");
    faults.0
}

struct Faults(Vec<String>);

impl Faults {
    fn note(&mut self, at: &str, what: impl std::fmt::Display) {
        if self.0.len() < MAX_FAULTS {
            let at = if at.is_empty() { "the input" } else { at };
            self.0.push(format!("{at} {what}"));
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        let wanted = schema["type"].as_str().unwrap_or_default();
        match (wanted, value) {
            ("object", Value::Object(object)) => self.object(schema, object, at),
            ("array", Value::Array(items)) => self.array(schema, items, at),
            ("string", Value::String(text)) => self.string(schema, text, at),
            // 3.0 is an integer, as JSON Schema has it.
            ("integer", Value::Number(number)) if number.as_f64().is_some_and(is_whole) => {
                self.number(schema, number, at);
            }
            ("number", Value::Number(number)) => self.number(schema, number, at),
            ("boolean", Value::Bool(_)) => {}
            (wanted, _) => {
                let article = if wanted.starts_with(['a', 'i', 'o']) {
                    "an"
                } else {
                    "a"
                };
                self.note(at, format_args!("must be {article} {wanted}"));
            }
        }
    }

    fn object(&mut self, schema: &Value, object: &Map<String, Value>, at: &str) {
        let properties = schema["properties"].as_object();
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !object.contains_key(name) {
                self.note(at, format_args!("lacks `{name}`"));
            }
        }
        for (name, value) in object {
            match properties.and_then(|properties| properties.get(name)) {
                Some(schema) => self.value(schema, value, &format!("{at}/{name}")),
                None if schema["additionalProperties"] == false => {
                    let name: String = name.chars().take(40).collect();
                    self.note(at, format_args!("has no field `{name}`"));
                }
                None => {}
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], at: &str) {
        self.size(schema, ["minItems", "maxItems"], items.len(), "items", at);
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{at}/{index}"));
        }
    }

    fn string(&mut self, schema: &Value, text: &str, at: &str) {
        let length = text.chars().count();
        self.size(schema, ["minLength", "maxLength"], length, "characters", at);
        if let Some(choices) = schema["enum"].as_array()
            && !choices.iter().any(|choice| choice == text)
        {
            let choices: Vec<_> = choices.iter().filter_map(Value::as_str).collect();
            self.note(at, format_args!("must be one of {}", choices.join(", ")));
        }
    }

    fn size(&mut self, schema: &Value, names: [&str; 2], size: usize, unit: &str, at: &str) {
        let bound = |name: &str| schema[name].as_u64();
        let size = size as u64;
        if let Some(least) = bound(names[0])
            && size < least
        {
            self.note(at, format_args!("must have at least {least} {unit}"));
        }
        if let Some(most) = bound(names[1])
            && size > most
        {
            self.note(at, format_args!("must have at most {most} {unit}"));
        }
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number, at: &str) {
        let number = number.as_f64().unwrap_or(f64::NAN);
        if let Some(least) = schema["minimum"].as_f64()
            && number < least
        {
            self.note(at, format_args!("must be at least {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64()
            && number > most
        {
            self.note(at, format_args!("must be at most {most}"));
        }
    }
}

fn is_whole(number: f64) -> bool {
    number.fract() == 0.0
}

/// Every keyword in `schema` is one that [`faults`] looks at, and what it means
/// to be an object is said in full.
#[cfg(test)]
pub(super) fn assert_checked(schema: &Value) {
    const KNOWN: [&str; 13] = [
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "enum",
    ];
    const TYPES: [&str; 6] = ["object", "array", "string", "integer", "number", "boolean"];
    let keywords = schema.as_object().expect("a schema is an object");
    for keyword in keywords.keys() {
        assert!(KNOWN.contains(&keyword.as_str()), "{keyword}: {schema}");
    }
    assert!(TYPES.iter().any(|name| schema["type"] == *name), "{schema}");
    if schema["type"] == "object" {
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        let properties = schema["properties"].as_object().expect("properties");
        properties.values().for_each(assert_checked);
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(properties.contains_key(name.as_str().unwrap()), "{name}");
        }
    }
    if schema["type"] == "array" {
        assert_checked(&schema["items"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": 5},
                "limit": {"type": "integer", "minimum": 1, "maximum": 20},
                "bpm": {"type": "number", "minimum": 40},
                "ids": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
                "action": {"type": "string", "enum": ["add", "remove"]},
                "public": {"type": "boolean"},
            },
            "required": ["query"],
            "additionalProperties": false,
        })
    }

    #[test]
    fn what_fits_has_no_faults() {
        assert_checked(&schema());
        for input in [
            json!({"query": "åß"}),
            json!({"query": "x", "limit": 20, "bpm": 99.5, "ids": ["a", "b"]}),
            json!({"query": "x", "limit": 3.0, "action": "add", "public": true}),
        ] {
            assert_eq!(faults(&schema(), &input), [""; 0], "{input}");
        }
    }

    #[test]
    fn every_fault_names_its_place() {
        for (input, expected) in [
            (json!([]), "the input must be an object"),
            (json!({}), "the input lacks `query`"),
            (json!({"query": 7}), "/query must be a string"),
            (
                json!({"query": ""}),
                "/query must have at least 1 characters",
            ),
            (
                json!({"query": "ååååååå"}),
                "/query must have at most 5 characters",
            ),
            (
                json!({"query": "x", "limit": 0}),
                "/limit must be at least 1",
            ),
            (
                json!({"query": "x", "limit": 21}),
                "/limit must be at most 20",
            ),
            (
                json!({"query": "x", "limit": 1.5}),
                "/limit must be an integer",
            ),
            (
                json!({"query": "x", "limit": "1"}),
                "/limit must be an integer",
            ),
            (json!({"query": "x", "bpm": 1}), "/bpm must be at least 40"),
            (json!({"query": "x", "bpm": null}), "/bpm must be a number"),
            (
                json!({"query": "x", "ids": []}),
                "/ids must have at least 1 items",
            ),
            (
                json!({"query": "x", "ids": ["a", 1]}),
                "/ids/1 must be a string",
            ),
            (json!({"query": "x", "ids": "a"}), "/ids must be an array"),
            (
                json!({"query": "x", "action": "eat"}),
                "/action must be one of add, remove",
            ),
            (
                json!({"query": "x", "public": "yes"}),
                "/public must be a boolean",
            ),
            (json!({"query": "x", "q": 1}), "the input has no field `q`"),
        ] {
            assert_eq!(faults(&schema(), &input), [expected], "{input}");
        }
        let many = json!({"query": 1, "limit": 0, "bpm": 0, "ids": 0, "action": 0, "public": 0});
        assert_eq!(faults(&schema(), &many).len(), MAX_FAULTS);
    }
}
