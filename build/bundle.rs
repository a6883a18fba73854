//! Makes one script of a module and of all that it imports.
//!
//! Each file costs a visitor a request and the host an instance. The sources stay
//! modules of their own, in the browser's own language; what they may use of it is
//! what is read here: `import { a, b } from '/assets/FILE';` on a line, and
//! `export` before a function, a class or a constant. Anything else fails the
//! build.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{PREFIX, VENDOR};

/// `name` and what it imports, the imported before those who import. `source`
/// gives the text of a file. Files of others stay files.
pub(crate) fn bundle<'a>(name: &str, source: &dyn Fn(&str) -> &'a str) -> String {
    let mut bundle = Bundle {
        source,
        seen: BTreeSet::new(),
        others: String::new(),
        text: String::new(),
    };
    let root = bundle.body(name, &mut vec![name.to_owned()]);
    format!("{}{}{}", bundle.others, bundle.text, root.text)
}

/// The files that `text` imports by lines of its own, and so become part of it.
pub(crate) fn imports(text: &str) -> impl Iterator<Item = &str> {
    let files = text
        .lines()
        .filter_map(|line| import(line).map(|(_, file)| file));
    files.filter(|file| !file.starts_with(VENDOR))
}

struct Bundle<'s, 'a> {
    source: &'s dyn Fn(&str) -> &'a str,
    seen: BTreeSet<String>,
    /// Imports of files that stay files.
    others: String,
    text: String,
}

/// A module's text without its imports, and what it exports.
struct Body {
    text: String,
    exports: Vec<String>,
}

impl Bundle<'_, '_> {
    /// A module that is imported, as a constant that has its exports.
    fn module(&mut self, name: &str, within: &mut Vec<String>) {
        assert!(
            !within.iter().any(|outer| outer == name),
            "web/{name} imports itself through {within:?}"
        );
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        within.push(name.to_owned());
        let Body { text, exports } = self.body(name, within);
        within.pop();
        let (constant, exports) = (constant(name), exports.join(", "));
        let text = text.replace("\nexport ", "\n");
        writeln!(
            self.text,
            "const {constant} = (() => {{\n{text}\nreturn {{ {exports} }};\n}})();"
        )
        .expect("writing to a string cannot fail");
    }

    fn body(&mut self, name: &str, within: &mut Vec<String>) -> Body {
        // So that a first line, too, stands behind the end of one.
        let mut text = String::from("\n");
        let mut exports = Vec::new();
        for line in (self.source)(name).lines() {
            assert!(
                !line.starts_with("import ") || import(line).is_some(),
                "web/{name}: not an import that can be bundled: {line}"
            );
            let line = match import(line) {
                Some((_, file)) if file.starts_with(VENDOR) => {
                    self.others += line;
                    self.others.push('\n');
                    continue;
                }
                Some((names, file)) => {
                    self.module(file, within);
                    format!("const {{{names}}} = {};", constant(file))
                }
                None => line.to_owned(),
            };
            if let Some(rest) = line.strip_prefix("export ") {
                exports.push(exported(name, rest));
            }
            text += &line;
            text.push('\n');
        }
        Body { text, exports }
    }
}

/// What a line imports: the names, and the file.
fn import(line: &str) -> Option<(&str, &str)> {
    let (names, file) = line.strip_prefix("import {")?.split_once("} from '")?;
    Some((names, file.strip_suffix("';")?.strip_prefix(PREFIX)?))
}

/// The name behind `export`.
fn exported(file: &str, rest: &str) -> String {
    let kinds = ["const ", "class ", "function* ", "function "];
    let rest = rest.strip_prefix("async ").unwrap_or(rest);
    let name = kinds.iter().find_map(|kind| rest.strip_prefix(kind));
    let name =
        name.unwrap_or_else(|| panic!("web/{file}: not an export that can be bundled: {rest}"));
    let end = name.find(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    name[..end.unwrap_or(name.len())].to_owned()
}

/// What a module is called within the bundle.
fn constant(file: &str) -> String {
    let stem = file.strip_suffix(".js").unwrap_or(file);
    format!("${}", stem.replace(['/', '-', '.'], "_"))
}
