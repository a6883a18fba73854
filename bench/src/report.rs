//! `BENCHMARKS.md`: words of people, and between two marks what was measured.

use std::path::Path;

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- begin: written by `cargo xtask bench --write` -->\n";
const END: &str = "<!-- end -->\n";

/// Puts `tables` in the place of those in `file`.
pub(crate) fn write(file: &Path, tables: &str) -> Result<()> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let text = replaced(&text, tables).with_context(|| format!("{name} has no marks"))?;
    std::fs::write(file, text).with_context(|| format!("cannot write {name}"))
}

fn replaced(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let tables = tables.trim();
    Some(format!("{before}{BEGIN}\n{tables}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("# A\n\n{BEGIN}\nold\n\n{END}\nB\n");
        let new = format!("# A\n\n{BEGIN}\nnew\n\n{END}\nB\n");
        assert_eq!(replaced(&text, "\nnew\n"), Some(new));
        assert_eq!(replaced("# A\n", "new"), None);
    }

    #[test]
    fn the_file_has_the_marks() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../BENCHMARKS.md");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(replaced(&text, "").is_some());
    }
}
