//! `openapi.json`, which a test holds to the types, and writes anew where it is told to.

use super::document::document;

/// The document is what the types say: word for word, and in the order in which it is
/// made.
#[test]
fn the_file_has_what_the_types_say() {
    let made = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/docs/openapi.json");
    if std::env::var_os("SPINLANE_WRITE_OPENAPI").is_some() {
        std::fs::write(file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap();
    let lines = kept.lines().zip(made.lines());
    let (mut other, kept_lines) = (lines.filter(|(a, b)| a != b), kept.lines().count());
    assert_eq!(
        other.next(),
        None,
        "SPINLANE_WRITE_OPENAPI=1 writes it anew"
    );
    assert_eq!(kept_lines, made.lines().count());
}
