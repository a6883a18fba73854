//! How large components are: what is deployed, loaded and compiled.

use std::fmt::Write as _;

use crate::programs::Programs;

/// The table.
pub(crate) fn table(programs: &Programs) -> String {
    let files = [
        (
            "Spinlane for Spin and the embedded host",
            Some(&programs.component),
        ),
        (
            "Spinlane for plain WASI hosts",
            programs.wasi_component.as_ref(),
        ),
        ("the bare component", Some(&programs.bare)),
    ];
    let mut table = "### Size of the component\n\n| | MB |\n| --- | --: |\n".to_owned();
    for (name, file) in files {
        let size = file.and_then(|file| std::fs::metadata(file).ok());
        let size = match size {
            Some(size) => format!("{:.3}", size.len() as f64 / 1e6),
            None => "NOT BUILT".into(),
        };
        // A `String` takes everything.
        let _ = writeln!(table, "| {name} | {size} |");
    }
    table
}
