//! Where the packages come from that this is built of, and on what terms.

mod notices;
mod terms;

use anyhow::{Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::steps::root;

pub(crate) use notices::write as write_notices;

/// What `cargo metadata` says of everything that is built here, tools and tests
/// included.
fn metadata() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.current_dir(root());
    command.other_options(["--locked".to_owned()]);
    Ok(command.exec()?)
}

/// Checks that every package comes from the registry, on terms that are accepted,
/// and that the notices are those of what the component contains.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata()?;
    let mut faults = Vec::new();
    for package in &metadata.packages {
        faults.extend(source(package));
        if package.source.is_some()
            && let Err(error) = terms::accepted(package)
        {
            faults.push(error.to_string());
        }
    }
    if let Err(error) = notices::check(&metadata) {
        faults.push(error.to_string());
    }
    match faults.is_empty() {
        true => Ok(()),
        false => bail!("{}", faults.join("\n")),
    }
}

/// What is wrong with where `package` comes from.
fn source(package: &Package) -> Option<String> {
    match &package.source {
        None => None,
        Some(source) if source.is_crates_io() => None,
        Some(source) => Some(format!(
            "{} {} comes from {source}, not from the registry",
            package.name, package.version
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_from_where_and_on_terms_that_it_may() {
        check().unwrap();
    }

    #[test]
    fn another_source_is_found() {
        let metadata = metadata().unwrap();
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == "serde");
        let mut package = package.unwrap().clone();
        assert_eq!(source(&package), None);
        let elsewhere = "\"git+https://example.com/serde#0000000\"";
        package.source = Some(serde_json::from_str(elsewhere).unwrap());
        let fault = source(&package).unwrap();
        assert!(fault.contains("git+https://example.com"), "{fault}");
    }
}
