//! Reading a JSON value into a type, with every fault named at once.
//!
//! Plain serde stops at the first field of a wrong type. [`read`] runs the same
//! `Deserialize` implementation over a deserializer that notes a fault and goes
//! on with a stand-in (an empty string, 0, the first variant), so that the
//! fields after it are looked at as well. A required field that is absent ends
//! a pass; the next one knows that its type requires it, and puts a stand-in
//! wherever a value of that type lacks it. So no type needs anything special,
//! and what schemas are made from is what is read.
//!
//! A member that is `null` is as one that is left out: many clients write their
//! empty fields so.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::problem::FieldError;

/// More faults than a person would read.
pub(super) const MAX_FAULTS: usize = 50;

/// What [`read`] made of a document.
#[derive(Debug)]
pub(super) struct Read<T> {
    /// The value, if one could be made. With `faults` it holds stand-ins, and
    /// is good for checking the fields that have none.
    pub(super) value: Option<T>,
    /// What is wrong, by field. Empty when `value` is good.
    pub(super) faults: Vec<FieldError>,
}

/// Reads `document` as a `T`: in one pass, and one more for each required field
/// of `T` and the types in it that is found absent, however often it is.
pub(super) fn read<T: DeserializeOwned>(document: &Value) -> Read<T> {
    let notes = Notes::default();
    loop {
        notes.faults.borrow_mut().clear();
        let known = notes.required.borrow().len();
        let result = T::deserialize(Node {
            value: Some(document),
            path: &Path::Root,
            notes: &notes,
        });
        let again = result.is_err() && notes.required.borrow().len() > known;
        if !again || notes.is_full() {
            return Read {
                value: result.ok(),
                faults: notes.faults.into_inner(),
            };
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Notes {
    faults: RefCell<Vec<FieldError>>,
    /// Required fields that a pass found absent somewhere, by the type that
    /// requires them: a handful at most.
    required: RefCell<Vec<Required>>,
}

/// A type, by the name of its visitor, and one of its fields.
type Required = (&'static str, &'static str);

impl Notes {
    fn is_full(&self) -> bool {
        self.faults.borrow().len() >= MAX_FAULTS
    }

    fn note(&self, pointer: String, message: String) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MAX_FAULTS {
            faults.push(FieldError { pointer, message });
        }
    }

    fn require(&self, field: Required) {
        let mut required = self.required.borrow_mut();
        if !required.contains(&field) {
            required.push(field);
        }
    }
}

/// The way to a value, kept on the stack: most are never written out.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                write!(f, "{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// Why a pass ended.
#[derive(Debug)]
enum Fault {
    /// A required field is absent from the struct that reports it.
    Missing(&'static str),
    /// Something else that the value itself reports.
    Other(String),
    /// Already noted.
    Noted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "`{field}` is required"),
            Self::Other(message) => f.write_str(message),
            Self::Noted => f.write_str("not valid"),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// A value at its place. `None` stands in for one that was noted as faulty.
#[derive(Clone, Copy)]
struct Node<'v, 'p> {
    value: Option<&'v Value>,
    path: &'p Path<'p>,
    notes: &'p Notes,
}

impl<'v, 'p> Node<'v, 'p> {
    /// Picks what is expected out of the value; notes `expected` and gives
    /// `None` when it is something else.
    fn pick<T>(
        self,
        pick: impl FnOnce(&'v Value) -> Option<T>,
        expected: impl fmt::Display,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.value else {
            return Ok(None);
        };
        let picked = pick(value);
        if picked.is_none() {
            self.note(format!("must be {expected}"))?;
        }
        Ok(picked)
    }

    /// Notes a fault here. Ends the pass when there are enough.
    fn note(self, message: String) -> Result<(), Fault> {
        self.notes.note(self.path.to_string(), message);
        match self.notes.is_full() {
            true => Err(Fault::Noted),
            false => Ok(()),
        }
    }

    /// Notes what the type itself says about its value.
    fn told<T>(self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| {
            match fault {
                Fault::Noted => {}
                // A stand-in that its type refuses says nothing about the
                // document.
                _ if self.value.is_none() => {}
                Fault::Missing(field) => {
                    let pointer = Path::Key(self.path, field).to_string();
                    self.notes.note(pointer, "is required".into());
                }
                Fault::Other(message) => self.notes.note(self.path.to_string(), message),
            }
            Fault::Noted
        })
    }

    /// Notes the fields that `kind` is known to require and `object` lacks, and
    /// gives their names. Ends the pass when there are enough.
    fn lacking(
        self,
        kind: &'static str,
        fields: &'static [&'static str],
        object: &Map<String, Value>,
    ) -> Result<Vec<&'static str>, Fault> {
        let mut lacking = Vec::new();
        for (_, field) in self
            .notes
            .required
            .borrow()
            .iter()
            .filter(|(of, _)| *of == kind)
        {
            // A field that its visitor does not list is one that it would not
            // take from here.
            if fields.contains(field) && object.get(*field).is_none_or(Value::is_null) {
                let path = Path::Key(self.path, field);
                Node {
                    path: &path,
                    ..self
                }
                .note("is required".into())?;
                lacking.push(*field);
            }
        }
        Ok(lacking)
    }
}

/// A whole number that is written as JSON's other kind, such as `1.0` or `1e3`:
/// JSON and JSON Schema do not tell them apart.
fn whole_number(value: &Value) -> Option<i64> {
    // Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = value.as_f64()?;
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let pick = |value: &Value| -> Option<$type> {
                let signed = value.as_i64().or_else(|| whole_number(value));
                let signed = signed.and_then(|value| value.try_into().ok());
                signed.or_else(|| value.as_u64().and_then(|value| value.try_into().ok()))
            };
            let (min, max) = (<$type>::MIN, <$type>::MAX);
            let value = self.pick(pick, format_args!("a whole number from {min} to {max}"))?;
            self.told(visitor.$visit(value.unwrap_or_default()))
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'_, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None => visitor.visit_unit(),
            Some(value) => {
                let plain = value.clone().deserialize_any(visitor);
                self.told(plain.map_err(|error| Fault::Other(error.to_string())))
            }
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.pick(Value::as_f64, "a number")?;
        self.told(visitor.visit_f64(value.unwrap_or_default()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.pick(Value::as_bool, "true or false")?;
        self.told(visitor.visit_bool(value.unwrap_or_default()))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.pick(Value::as_str, "a string")?;
        self.told(visitor.visit_str(value.unwrap_or_default()))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None | Some(Value::Null) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let result = visitor.visit_newtype_struct(self);
        self.told(result)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let items = self.pick(Value::as_array, "an array")?;
        let result = visitor.visit_seq(Items {
            items: items.map_or(&[], Vec::as_slice),
            next: 0,
            parent: self,
        });
        self.told(result)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let object = self.pick(Value::as_object, "an object")?;
        let result = visitor.visit_map(Members {
            present: object.map(Map::iter),
            with_nulls: true,
            absent: Vec::new(),
            value: None,
            parent: self,
        });
        self.told(result)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let object = self.pick(Value::as_object, "an object")?;
        let kind = type_name::<V>();
        let result = visitor.visit_map(Members {
            present: object.map(Map::iter),
            with_nulls: false,
            absent: match object {
                Some(object) => self.lacking(kind, fields, object)?,
                None => fields.to_vec(),
            },
            value: None,
            parent: self,
        });
        if let Err(Fault::Missing(field)) = result {
            self.notes.require((kind, field));
        }
        self.told(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let known = |value: &Value| {
            let name = value.as_str()?;
            variants.iter().find(|variant| **variant == name).copied()
        };
        let list = format!("one of \"{}\"", variants.join("\", \""));
        let variant = self.pick(known, list)?;
        let variant = variant.or(variants.first().copied()).unwrap_or_default();
        self.told(visitor.visit_enum(variant.into_deserializer()))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct
    }
}

struct Items<'v, 'p> {
    items: &'v [Value],
    next: usize,
    parent: Node<'v, 'p>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some(item) = self.items.get(self.next) else {
            return Ok(None);
        };
        let path = Path::Index(self.parent.path, self.next);
        self.next += 1;
        let node = Node {
            value: Some(item),
            path: &path,
            notes: self.parent.notes,
        };
        seed.deserialize(node).map(Some)
    }
}

struct Members<'v, 'p> {
    present: Option<serde_json::map::Iter<'v>>,
    /// Whether members that are `null` are among those: in a map they may mean
    /// something.
    with_nulls: bool,
    absent: Vec<&'static str>,
    value: Option<(&'v str, Option<&'v Value>)>,
    parent: Node<'v, 'p>,
}

impl<'de> de::MapAccess<'de> for Members<'_, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let with_nulls = self.with_nulls;
        let counts = |(_, value): &(&String, &Value)| with_nulls || !value.is_null();
        let present = self.present.as_mut();
        let present = present.and_then(|members| members.find(counts));
        let member = match present {
            Some((key, value)) => (key.as_str(), Some(value)),
            None => match self.absent.pop() {
                Some(key) => (key, None),
                None => return Ok(None),
            },
        };
        self.value = Some(member);
        let key: de::value::StrDeserializer<'_, Fault> = member.0.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((key, value)) = self.value.take() else {
            return Err(Fault::Other("a value without its key".into()));
        };
        let path = Path::Key(self.parent.path, key);
        seed.deserialize(Node {
            value,
            path: &path,
            notes: self.parent.notes,
        })
    }
}

#[cfg(test)]
mod tests;
