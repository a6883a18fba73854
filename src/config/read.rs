//! Reading variables, and remembering what was wrong with them.

use std::fmt;

use super::Source;
use super::parse::Parsed;

/// One variable that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableError {
    /// The variable's name.
    pub name: &'static str,
    /// What is expected instead. Never holds the value.
    pub expected: String,
}

/// The variables, of those that were read, that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Each of them; there is one at least.
    pub variables: Vec<VariableError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, VariableError { name, expected }) in self.variables.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}`{name}` {expected}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What was read of a group.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) errors: Vec<VariableError>,
}

/// Reads what `load` names.
pub(super) fn read<T>(source: &Source, load: fn(&mut Reader<'_>) -> T) -> Read<T> {
    let errors = Vec::new();
    let mut reader = Reader { source, errors };
    let value = load(&mut reader);
    let errors = reader.errors;
    Read { value, errors }
}

/// Reads variables and remembers what was wrong with them.
pub(super) struct Reader<'a> {
    source: &'a Source,
    errors: Vec<VariableError>,
}

impl Reader<'_> {
    /// The text of `name`, where it is set.
    fn text(&self, name: &str) -> Option<String> {
        let text = (self.source)(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The value of `name`, where it has a good one.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let value = parse(&self.text(name)?);
        value.map_err(|expected| self.note(name, expected)).ok()
    }

    /// The same, or what `default` comes to.
    pub(super) fn or<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        let mut text = self.text(name);
        loop {
            match parse(text.as_deref().unwrap_or(default)) {
                Ok(value) => return value,
                Err(expected) if text.is_some() => self.note(name, expected),
                // Defaults are the table's own, and a test reads each of them.
                Err(expected) => unreachable!("the default of `{name}` {expected}"),
            }
            text = None;
        }
    }

    fn note(&mut self, name: &'static str, expected: String) {
        self.errors.push(VariableError { name, expected });
    }
}
