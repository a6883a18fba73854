//! Application variables: declared in the manifest, set by `SPIN_VARIABLE_*`
//! and, before that, by the caller.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;

/// What the manifest says about a variable: without a default it is required,
/// whether or not `required` says so.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Declared {
    default: Option<String>,
}

/// Every variable's value.
#[derive(Clone, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

/// The environment variable that sets `name`, as under Spin.
pub(crate) fn environment_name(name: &str) -> String {
    format!("SPIN_VARIABLE_{}", name.to_uppercase())
}

/// Whether Spin takes `name` for that of a variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl Variables {
    /// `explicit` wins over `environment`, which wins over the default.
    ///
    /// # Errors
    /// An explicit variable that is not declared, and a required one without a
    /// value, by name.
    pub(crate) fn new(
        declared: &BTreeMap<String, Declared>,
        environment: impl IntoIterator<Item = (String, String)>,
        mut explicit: BTreeMap<String, String>,
    ) -> Result<Self> {
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let mut values = BTreeMap::new();
        for (name, declared) in declared {
            let value = explicit
                .remove(name)
                .or_else(|| environment.get(&environment_name(name)).cloned())
                .or_else(|| declared.default.clone());
            match value {
                Some(value) => values.insert(name.clone(), value),
                None => bail!(
                    "the variable {name:?} is required: set {} or pass --variable {name}=…",
                    environment_name(name)
                ),
            };
        }
        if let Some(unknown) = explicit.keys().next() {
            bail!("the manifest declares no variable {unknown:?}");
        }
        Ok(Self(values))
    }

    /// `template` with each `{{ name }}` replaced.
    ///
    /// # Errors
    /// An unknown name, or braces that are not closed.
    pub(crate) fn fill_in(&self, template: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                bail!("{template:?} has no closing braces");
            };
            let name = name.trim();
            let Some(value) = self.0.get(name) else {
                bail!("{template:?} names the unknown variable {name:?}");
            };
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, Declared> {
        toml::from_str("key = { default = 'd', secret = true }\nmust = { required = true }")
            .unwrap()
    }

    fn values(environment: &[(&str, &str)], explicit: &[(&str, &str)]) -> Result<Variables> {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        Variables::new(
            &declared(),
            environment.iter().map(owned),
            explicit.iter().map(owned).collect(),
        )
    }

    #[test]
    fn explicit_wins_over_environment_over_default() {
        let must = ("must", "m");
        let environment = [("SPIN_VARIABLE_KEY", "e"), ("KEY", "x")];
        assert_eq!(values(&[], &[must]).unwrap().0["key"], "d");
        assert_eq!(values(&environment, &[must]).unwrap().0["key"], "e");
        let both = values(&environment, &[must, ("key", "x")]).unwrap();
        assert_eq!(both.0["key"], "x");
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let missing = values(&[], &[]).err().unwrap().to_string();
        assert!(missing.contains("SPIN_VARIABLE_MUST"), "{missing}");
        let unknown = values(&[], &[("must", ""), ("typo", "")]).err().unwrap();
        assert!(unknown.to_string().contains("typo"));
        let values = values(&[], &[("must", "m")]).unwrap();
        assert!(values.fill_in("{{ must").is_err());
        assert_eq!(values.fill_in("a{{must}}{{ key }}").unwrap(), "amd");
    }
}
