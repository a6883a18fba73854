//! `THIRD-PARTY-NOTICES.txt`: what the component contains that others have written,
//! and their terms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, Package};

use super::{metadata, terms};
use crate::build::{DJ, TARGET};
use crate::steps::{cargo, root};

const FILE: &str = "THIRD-PARTY-NOTICES.txt";

const HEAD: &str = "\
Third-party notices
===================

The component contains these packages, each under the licence that follows its
name (where a package offers several, the one that is taken). It also contains the
Rust standard library (Apache-2.0, https://github.com/rust-lang/rust) and, by way
of it, wasi-libc (Apache-2.0 WITH LLVM-exception,
https://github.com/WebAssembly/wasi-libc). The source of every package is in
the public registry of Rust packages, under its name and version.

This file is made by `cargo xtask notices`; `cargo xtask lint` checks that it is
what that makes.

";

/// Our own terms, which some packages have as well: their text is in `LICENSE`.
const OWN: &str = "Apache-2.0 WITH LLVM-exception";
const APACHE: &str = "Apache-2.0";

const RULE: &str =
    "--------------------------------------------------------------------------------";

/// Writes the file anew.
pub(crate) fn write() -> Result<()> {
    std::fs::write(path(), made(&metadata()?)?)?;
    println!("{}", path().display());
    Ok(())
}

/// Checks that the file is as it would be written.
pub(super) fn check(metadata: &Metadata) -> Result<()> {
    let kept = std::fs::read_to_string(path()).unwrap_or_default();
    if kept != made(metadata)? {
        bail!("{FILE} is not that of the component: run `cargo xtask notices`");
    }
    Ok(())
}

fn path() -> PathBuf {
    root().join(FILE)
}

/// Names and versions of what is compiled into the component, ours left out. Macros
/// are not: they run when it is compiled.
fn contained() -> Result<BTreeSet<(String, String)>> {
    let output = cargo()
        .args(["tree", "--locked", "--package", DJ])
        .args(["--target", TARGET, "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p}"])
        .output()
        .context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    // `NAME vVERSION`, and for ours the folder.
    let package = |line: &str| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        let ours = words.next().is_some_and(|word| word.starts_with("(/"));
        (!ours).then(|| (name.to_owned(), version.to_owned()))
    };
    Ok(text.lines().filter_map(package).collect())
}

fn made(metadata: &Metadata) -> Result<String> {
    let mut list = String::new();
    // Texts, and whose they are.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut apache = None;
    for (name, version) in contained()? {
        let is = |package: &&Package| {
            package.name.as_str() == name && package.version.to_string() == version
        };
        let package = metadata.packages.iter().find(is);
        let package = package.with_context(|| format!("{name} {version} is not known"))?;
        let taken: Vec<String> = terms::accepted(package)?
            .iter()
            .map(ToString::to_string)
            .collect();
        list += &format!("{name} {version}: {}\n", taken.join(" AND "));
        let folder = package.manifest_path.parent().context("a folder")?;
        let common = taken
            .iter()
            .all(|licence| [OWN, APACHE].contains(&&**licence));
        let mut found = 0;
        for file in files(folder.as_std_path())? {
            let tag = tag(&file);
            if tag == Some(APACHE) && apache.is_none() {
                apache = Some(text(folder.as_std_path(), &file)?);
            }
            let included = match tag {
                Some(licence) => licence != APACHE && taken.iter().any(|taken| taken == licence),
                None => !common || speaks_of_others(&file),
            };
            if included {
                found += 1;
                let text = text(folder.as_std_path(), &file)?;
                texts
                    .entry(text)
                    .or_default()
                    .push(format!("{name} {version}"));
            }
        }
        if !common && found == 0 {
            bail!("{name} {version} comes without the text of its licence");
        }
    }
    let mut all = format!("{HEAD}{list}");
    let own = text(&root(), "LICENSE")?;
    let apache = apache.context("no package has the text of Apache-2.0")?;
    let mut add = |whose: &str, text: &str| all += &format!("\n{RULE}\n{whose}\n{RULE}\n\n{text}");
    add(APACHE, &apache);
    add(OWN, &own);
    // In the order of the packages, not of their texts.
    let mut texts: Vec<_> = texts
        .into_iter()
        .map(|(text, whose)| (whose, text))
        .collect();
    texts.sort();
    for (whose, text) in texts {
        add(&whose.join("\n"), &text);
    }
    Ok(all)
}

/// Files of a package that speak of its terms, by name.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let names = std::fs::read_dir(folder)
        .with_context(|| format!("{} is missing: run `cargo fetch`", folder.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let begins = |name: &String| {
        let name = name.to_ascii_uppercase();
        ["LICENSE", "LICENCE", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|word| name.starts_with(word))
    };
    Ok(names.filter(begins).collect())
}

/// The licence that a file holds, by its name. `None`: whatever the package has.
fn tag(file: &str) -> Option<&'static str> {
    let file = file.to_ascii_uppercase();
    let known = [
        ("LLVM", OWN),
        ("APACHE", APACHE),
        ("UNLICENSE", "Unlicense"),
        ("UNICODE", "Unicode-3.0"),
        ("BOOST", "BSL-1.0"),
        ("ZLIB", "Zlib"),
        ("MIT", "MIT"),
    ];
    let known = known.into_iter().find(|(word, _)| file.contains(word));
    known.map(|(_, licence)| licence)
}

/// Whether a file is needed whatever licence is taken.
fn speaks_of_others(file: &str) -> bool {
    let file = file.to_ascii_uppercase();
    file.contains("THIRD-PARTY") || file.starts_with("NOTICE")
}

/// A text, its lines without what is invisible at their ends.
fn text(folder: &Path, file: &str) -> Result<String> {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().map(str::trim_end);
    let text = lines.collect::<Vec<_>>().join("\n");
    Ok(format!("{}\n", text.trim_matches('\n')))
}
