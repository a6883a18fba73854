//! The direction of the arrows between the modules, which makes every line but
//! `host` run natively: `core` imports nothing of the rest, `dj` imports `core`
//! only, `host` imports `core` only.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Lines of `module` that name one of `words`, comments left out.
fn naming(module: &str, words: &[&str]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(module);
    let files = sources(&folder);
    assert!(!files.is_empty(), "nothing in {}", folder.display());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    found
}

/// What only a host may know.
const HOST: [&str; 7] = [
    "crate::host",
    "spin_sdk",
    "wasip2",
    "wit_bindgen",
    "wstd",
    "target_family",
    "target_arch",
];

/// Time, files and sockets come through ports.
const WORLD: [&str; 7] = [
    "time::Instant",
    "SystemTime",
    "thread::sleep",
    "std::fs",
    "std::net::Tcp",
    "std::env",
    "tokio",
];

/// What only the application may know, and the feature that brings it.
const APPLICATION: [&str; 6] = [
    "crate::dj",
    "axum",
    "garde",
    "tower",
    "utoipa",
    "feature = \"app\"",
];

#[test]
fn core_imports_nothing_of_the_rest() {
    let words = [&HOST[..], &WORLD, &APPLICATION].concat();
    assert_eq!(naming("core", &words), Vec::<String>::new());
}

#[test]
fn the_application_reaches_the_world_through_core() {
    let words = [&HOST[..], &WORLD].concat();
    assert_eq!(naming("dj", &words), Vec::<String>::new());
}

/// A route imports what it starts, and not the other way round.
#[test]
fn the_chat_does_not_know_its_route() {
    let found = naming("dj/chat", &["dj::api", "super::api"]);
    assert_eq!(found, Vec::<String>::new());
}

/// The operator's sweep is told by a list what is the application's: what is
/// declared elsewhere would be missing there.
#[test]
fn what_the_application_stores_is_declared_in_one_place() {
    let mut declared = naming("dj", &["Kind::new(", "Sessions::new(", "Flags::new("]);
    declared.retain(|line| !line.contains("src/dj/stored.rs:"));
    assert_eq!(declared, Vec::<String>::new());
}

#[test]
fn the_host_does_not_know_the_application() {
    assert_eq!(naming("host", &["crate::dj"]), Vec::<String>::new());
}

/// Only the crate's root may know both: nothing else lies beside them.
#[test]
fn nothing_lies_beside_the_modules() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut names: Vec<_> = fs::read_dir(source)
        .expect("the sources")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["component.rs", "core", "dj", "host", "lib.rs"]);
}
