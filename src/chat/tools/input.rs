//! The inputs of tools. Each is a type that says all that there is to say of it: what
//! the model is told of its fields, and what is checked.
//!
//! Their JSON Schemas are derived in tests, which hold `told.json` to them: a component
//! that derived them itself would be larger by a twentieth.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::LazyLock;

use garde::Validate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
#[cfg(test)]
use serde_json::value::to_raw_value;

use spinlane_http::json;

/// The input of a tool: an object that has its fields, and no others.
#[cfg(not(test))]
pub(super) trait Input: DeserializeOwned + Validate<Context = ()> + Send {}

#[cfg(not(test))]
impl<T: DeserializeOwned + Validate<Context = ()> + Send> Input for T {}

#[cfg(test)]
pub(super) use derived::Input;

// An id or a name, as models write them: addresses are ids as well. (Not in the words
// of a doc comment, which the model would be told at each of its places.)
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[garde(transparent)]
pub(super) struct Name(#[garde(length(chars, min = 1, max = 200))] pub(super) String);

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// What the model is told of each tool: `told.json` without its line breaks, from
/// `build.rs`.
pub(super) const TOLD: &str = include_str!(concat!(env!("OUT_DIR"), "/told.json"));

/// A JSON Schema as it is written: most runs only pass it on.
pub(super) type Schema = Cow<'static, RawValue>;

/// JSON Schema of `I`, the input of the tool that is called `name`.
pub(super) fn schema<I: Input>(name: &str) -> Schema {
    #[cfg(test)]
    return Cow::Owned(to_raw_value(&derived::schema::<I>(name)).unwrap());
    #[cfg(not(test))]
    told(name)
}

/// What stands in [`TOLD`]; a tool that was not there would have no input that fits.
pub(super) fn told(name: &str) -> Schema {
    #[derive(Deserialize)]
    struct Told {
        name: &'static str,
        #[serde(borrow)]
        input_schema: &'static RawValue,
    }
    static ALL: LazyLock<Vec<Told>> =
        LazyLock::new(|| serde_json::from_str(TOLD).unwrap_or_default());
    let told = ALL.iter().find(|told| told.name == name);
    Cow::Borrowed(told.map_or(RawValue::NULL, |told| told.input_schema))
}

/// More faults than a model needs to do better.
const MAX_FAULTS: usize = 5;

/// The longest name of a field that is told back, in characters.
const MAX_NAME: usize = 40;

/// Reads `input`, which the model has made by `schema`.
///
/// # Errors
/// What is wrong with it, in words, each fault naming its place as a JSON pointer.
pub(super) fn read<I: Input>(schema: &Value, input: &Value) -> Result<I, String> {
    let (mut known, mut odd) = (input.clone(), Vec::new());
    // One that is unknown would end the reading, and `null` be as good as left out.
    if let Some(members) = known.as_object_mut() {
        members.retain(|name, value| {
            let is_known = schema["properties"].get(name).is_some();
            if !is_known {
                let name: String = name.chars().take(MAX_NAME).collect();
                odd.push(format!("the input has no field `{name}`"));
            } else if value.is_null() {
                odd.push(format!("/{name} must not be null: leave it out"));
            }
            is_known
        });
    }
    let (read, faults) = match json::fit::<I>(&known) {
        Ok(input) => (Some(input), Vec::new()),
        Err(faults) => (None, faults),
    };
    let faults = faults.iter().map(|fault| match fault.pointer.as_str() {
        "" => format!("the input {}", fault.message),
        at => format!("{at} {}", fault.message),
    });
    let faults: Vec<_> = faults.chain(odd).take(MAX_FAULTS).collect();
    read.filter(|_| faults.is_empty())
        .ok_or_else(|| faults.join("; "))
}

/// What [`TOLD`] is held to.
#[cfg(test)]
mod derived {
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::{DeserializeOwned, Validate, Value};

    pub(in super::super) trait Input:
        DeserializeOwned + Validate<Context = ()> + JsonSchema + Send
    {
    }

    impl<T: DeserializeOwned + Validate<Context = ()> + JsonSchema + Send> Input for T {}

    /// The schema in one piece. What may be left out is left out, and never `null`.
    pub(super) fn schema<I: Input>(_: &str) -> Value {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let mut schema = I::json_schema(&mut settings.into_generator()).to_value();
        let properties = schema["properties"].as_object_mut();
        let properties = properties.into_iter().flat_map(|all| all.values_mut());
        for keywords in properties.filter_map(Value::as_object_mut) {
            if let Some(kind) = keywords.get("type").and_then(|kinds| kinds.get(0)) {
                let kind = kind.clone();
                keywords.insert("type".into(), kind);
            }
            if let Some(Value::Array(choices)) = keywords.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            // How many bits a number has here tells a model nothing; of what is used for a
            // field that is left out, its description tells.
            keywords.retain(|keyword, _| !["format", "default"].contains(&keyword.as_str()));
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, Validate, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[garde(allow_unvalidated)]
    #[expect(dead_code, reason = "only its schema and its faults are looked at")]
    struct Example {
        /// What to look for.
        #[garde(length(chars, min = 1, max = 5))]
        query: String,
        #[serde(default = "ten")]
        #[garde(range(min = 1, max = 20))]
        at_most: u32,
        #[garde(range(min = 40.0, max = 250.0))]
        bpm: Option<f32>,
        #[garde(length(min = 1, max = 2), dive)]
        ids: Option<Vec<Name>>,
        action: Option<Action>,
        public: Option<bool>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Action {
        Add,
        Remove,
    }

    fn ten() -> u32 {
        10
    }

    fn faults(input: &Value) -> String {
        let read = read::<Example>(&derived::schema::<Example>(""), input);
        read.map_or_else(|faults| faults, |_| String::new())
    }

    #[test]
    fn a_schema_says_what_is_checked() {
        let item = json!({"type": "string", "minLength": 1, "maxLength": 200});
        let expected = json!({
            "type": "object",
            "properties": {
                "query": {
                    "type": "string", "minLength": 1, "maxLength": 5,
                    "description": "What to look for.",
                },
                "atMost": {"type": "integer", "minimum": 1, "maximum": 20},
                "bpm": {"type": "number", "minimum": 40.0, "maximum": 250.0},
                "ids": {"type": "array", "items": item, "minItems": 1, "maxItems": 2},
                "action": {"type": "string", "enum": ["add", "remove"]},
                "public": {"type": "boolean"},
            },
            "required": ["query"],
            "additionalProperties": false,
        });
        assert_eq!(derived::schema::<Example>(""), expected);
    }

    #[test]
    fn what_fits_has_no_faults() {
        for input in [
            json!({"query": "åß"}),
            json!({"query": "x", "atMost": 20, "bpm": 99.5, "ids": ["a", "b"]}),
            json!({"query": "x", "atMost": 3.0, "action": "add", "public": true}),
        ] {
            assert_eq!(faults(&input), "", "{input}");
        }
    }

    #[test]
    fn every_fault_names_its_place() {
        for (input, expected) in [
            (json!([]), "the input must be an object"),
            (json!({}), "/query is required"),
            (json!({"query": 7}), "/query must be a string"),
            (json!({"query": ""}), "/query length is lower than 1"),
            (
                json!({"query": "ååååååå"}),
                "/query length is greater than 5",
            ),
            (json!({"query": "x", "atMost": 0}), "/atMost lower than 1"),
            (
                json!({"query": "x", "atMost": 21}),
                "/atMost greater than 20",
            ),
            (
                json!({"query": "x", "atMost": 1.5}),
                "/atMost must be a whole number from 0 to 4294967295",
            ),
            (
                json!({"query": "x", "atMost": "1"}),
                "/atMost must be a whole number from 0 to 4294967295",
            ),
            (json!({"query": "x", "bpm": 1}), "/bpm lower than 40"),
            (json!({"query": "x", "bpm": "1"}), "/bpm must be a number"),
            (
                json!({"query": "x", "bpm": null}),
                "/bpm must not be null: leave it out",
            ),
            (
                json!({"query": "x", "ids": []}),
                "/ids length is lower than 1",
            ),
            (
                json!({"query": "x", "ids": ["a", 1]}),
                "/ids/1 must be a string",
            ),
            (
                json!({"query": "x", "ids": ["a", ""]}),
                "/ids/1 length is lower than 1",
            ),
            (json!({"query": "x", "ids": "a"}), "/ids must be an array"),
            (
                json!({"query": "x", "action": "eat"}),
                "/action must be one of \"add\", \"remove\"",
            ),
            (
                json!({"query": "x", "public": "yes"}),
                "/public must be true or false",
            ),
            (json!({"query": "x", "q": 1}), "the input has no field `q`"),
        ] {
            assert_eq!(faults(&input), expected, "{input}");
        }
        let many = json!({"query": 1, "atMost": "", "bpm": "", "ids": 0, "action": 0, "public": 0});
        assert_eq!(faults(&many).split("; ").count(), MAX_FAULTS);
    }
}
