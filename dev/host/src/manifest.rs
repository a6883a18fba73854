//! `spin.toml`, as far as an application with one HTTP component uses it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::outbound::AllowedHosts;
use crate::variables::{Declared, Variables};

/// The only route that this host knows: every path.
pub(crate) const ROUTE: &str = "/...";

/// The manifest's file, read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Manifest {
    spin_manifest_version: u32,
    #[serde(default)]
    variables: BTreeMap<String, Declared>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
    /// Where relative paths begin.
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
struct Triggers {
    http: Vec<HttpTrigger>,
}

#[derive(Clone, Debug, Deserialize)]
struct HttpTrigger {
    route: String,
    component: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Component {
    source: PathBuf,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

/// What a component may see and do, with every template filled in.
///
/// No `Debug`: variables hold secrets.
#[derive(Clone)]
pub(crate) struct Resolved {
    /// The component's file.
    pub(crate) source: PathBuf,
    /// Values by name, as the component asks for them.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where it may call.
    pub(crate) allowed_hosts: AllowedHosts,
    /// The stores that it may open.
    pub(crate) stores: Vec<String>,
}

impl Manifest {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a version 2 manifest with exactly one
    /// HTTP trigger, on the route [`ROUTE`].
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self::parse(&text, folder).with_context(|| path.display().to_string())
    }

    fn parse(text: &str, folder: PathBuf) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        if manifest.spin_manifest_version != 2 {
            bail!("this host reads version 2 manifests only");
        }
        match manifest.trigger.http.as_slice() {
            [one] if one.route == ROUTE => {}
            _ => bail!("this host runs one HTTP trigger, on the route {ROUTE:?}"),
        }
        Ok(Self { folder, ..manifest })
    }

    /// The variables that the application declares.
    pub(crate) fn declared(&self) -> &BTreeMap<String, Declared> {
        &self.variables
    }

    /// Fills in every template of the component.
    ///
    /// # Errors
    /// An unknown variable in a template, an outbound host that is none, or an
    /// unknown store.
    pub(crate) fn resolve(&self, values: &Variables) -> Result<Resolved> {
        let name = &self.trigger.http[0].component;
        let component = self
            .component
            .get(name)
            .with_context(|| format!("the trigger names an unknown component {name:?}"))?;
        // Spin knows no other without a runtime configuration.
        if let Some(label) = component.key_value_stores.iter().find(|l| *l != "default") {
            bail!("unknown key_value_stores label {label:?}: there is \"default\" only");
        }
        let mut variables = BTreeMap::new();
        for (name, template) in &component.variables {
            let value = values
                .fill_in(template)
                .with_context(|| format!("component variable {name:?}"))?;
            variables.insert(name.clone(), value);
        }
        let hosts = component
            .allowed_outbound_hosts
            .iter()
            .map(|template| values.fill_in(template))
            .collect::<Result<Vec<_>>>()
            .context("allowed_outbound_hosts")?;
        Ok(Resolved {
            source: self.folder.join(&component.source),
            variables,
            allowed_hosts: AllowedHosts::parse(&hosts)?,
            stores: component.key_value_stores.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "x"
        [variables]
        key = { default = "", secret = true }
        url = { default = "https://api.example" }
        [[trigger.http]]
        route = "/..."
        component = "x"
        [component.x]
        source = "target/x.wasm"
        key_value_stores = ["default"]
        allowed_outbound_hosts = ["{{ url }}", "http://127.0.0.1:*"]
        [component.x.variables]
        key = "{{ key }}"
        both = "{{url}} and {{ key }}"
    "#;

    fn resolve(text: &str, set: &[(&str, &str)]) -> Result<Resolved> {
        let manifest = Manifest::parse(text, "app".into())?;
        let explicit = set
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        let values = Variables::new(manifest.declared(), std::iter::empty(), explicit)?;
        manifest.resolve(&values)
    }

    #[test]
    fn templates_are_filled_in() {
        let resolved = resolve(TEXT, &[("key", "k")]).unwrap();
        assert_eq!(resolved.source, Path::new("app/target/x.wasm"));
        assert_eq!(resolved.variables["key"], "k");
        assert_eq!(resolved.variables["both"], "https://api.example and k");
        assert_eq!(resolved.stores, ["default"]);
        assert!(resolved.allowed_hosts.allow("https", "api.example", 443));
        assert!(resolved.allowed_hosts.allow("http", "127.0.0.1", 4711));
        assert!(!resolved.allowed_hosts.allow("https", "other.example", 443));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, complaint) in [
            (
                "{{ key }}\"\n        both",
                "{{ nokey }}\"\n        both",
                "nokey",
            ),
            ("manifest_version = 2", "manifest_version = 1", "version 2"),
            ("/...", "/x", "/..."),
            ("https://api.example", "https://api.example/v1", "path"),
            ("[\"default\"]", "[\"default\", \"cache\"]", "\"cache\""),
            ("component = \"x\"", "component = \"y\"", "\"y\""),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let error = resolve(&TEXT.replace(from, to), &[]).err().unwrap();
            let error = format!("{error:#}");
            assert!(error.contains(complaint), "{error}");
        }
    }
}
