//! What the compiler does not hold of the direction of the arrows. That `core` knows
//! no host and nobody the application, it does: they are crates.

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

/// Lines in the folder `module` that name one of `words`, comments left out.
fn naming(module: &str, words: &[&str]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
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

/// Time, files and sockets come through ports, which makes every line but a host's
/// run natively and in virtual time.
const WORLD: [&str; 8] = [
    "time::Instant",
    "SystemTime",
    "thread::sleep",
    "std::fs",
    "std::net::Tcp",
    "std::env",
    "target_family",
    "target_arch",
];

#[test]
fn the_rules_reach_the_world_through_ports() {
    for folder in ["crates/core/src", "crates/client/src", "crates/http/src"] {
        assert_eq!(naming(folder, &WORLD), Vec::<String>::new());
    }
}

/// On wasm a host is in reach: only the export may take it.
#[test]
fn the_application_reaches_the_world_through_ports() {
    let words = [&["spinlane::"][..], &WORLD].concat();
    let mut found = naming("src", &words);
    found.retain(|line| !line.contains("src/component.rs:"));
    // A test, which keeps a file.
    found.retain(|line| !line.contains("src/api/docs/kept.rs:"));
    // The map says for which target the export is.
    found.retain(|line| !line.contains("src/lib.rs:") || !line.contains("target_family"));
    assert_eq!(found, Vec::<String>::new());
}

/// A route imports what it starts, and not the other way round.
#[test]
fn the_chat_does_not_know_its_route() {
    let found = naming("src/chat", &["crate::api", "super::api"]);
    assert_eq!(found, Vec::<String>::new());
}

/// The operator's sweep is told by a list what is the application's: what is
/// declared elsewhere would be missing there.
#[test]
fn what_the_application_stores_is_declared_in_one_place() {
    let mut declared = naming("src", &["Kind::new(", "Sessions::new(", "Signals::new("]);
    declared.retain(|line| !line.contains("src/stored.rs:"));
    assert_eq!(declared, Vec::<String>::new());
}
