//! On what was measured: the machine, and the versions of what ran there.

use std::fs;
use std::path::Path;

use crate::programs::{Programs, said};

/// A list in Markdown. What is not known is left out.
pub(crate) fn describe(programs: &Programs) -> String {
    let lock = fs::read_to_string(programs.root.join("Cargo.lock")).unwrap_or_default();
    let locked = |name: &str| Some(format!("{name} {}", version(&lock, name)?));
    let crates = ["wasmtime", "axum", "hyper", "reqwest"].map(locked);
    let crates = crates.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let spin = programs.spin.as_ref();
    let wasmtime = programs.wasmtime.as_ref();
    let workerd = programs.workerd();
    let line = |what: &str, text: Option<String>| Some(format!("- {what}: {}\n", text?));
    let lines = [
        line("measured", said("date", &["-u", "+%F"])),
        line("commit", commit(&programs.root)),
        line("processor", Some(processor())),
        line("memory", memory()),
        line("kernel", said("uname", &["-sr"])),
        line("load before", load()),
        line("compiler", said("rustc", &["--version"])),
        line("embedded host, axum, client and upstream", Some(crates)),
        line("Spin", spin.and_then(|spin| said(spin, &["--version"]))),
        line(
            "wasmtime",
            wasmtime.and_then(|wasmtime| said(wasmtime, &["--version"])),
        ),
        line(
            "workerd",
            workerd.and_then(|workerd| said(workerd, &["--version"])),
        ),
        line("Hono", programs.peers.as_deref().and_then(hono)),
    ];
    lines.into_iter().flatten().collect()
}

fn commit(root: &Path) -> Option<String> {
    let root = root.to_str()?;
    let commit = said("git", &["-C", root, "rev-parse", "--short", "HEAD"])?;
    let changed = said("git", &["-C", root, "status", "--porcelain", "-uno"]).is_some();
    Some(match changed {
        true => format!("{commit}, with changes"),
        false => commit,
    })
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.and_then(|name| name.split_once(": "));
    let name = name.map_or("unknown", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} of its threads")
}

fn memory() -> Option<String> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let total = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{} GiB", (kib >> 19).div_ceil(2)))
}

/// The one-minute average: of a machine that is at rest it is near 0.
fn load() -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    Some(load.split_whitespace().next()?.to_owned())
}

/// What `Cargo.lock` names; the newest where there are several.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.rsplit_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0)
}

fn hono(peers: &Path) -> Option<String> {
    let text = fs::read_to_string(peers.join("package.json")).ok()?;
    let package: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(package["devDependencies"]["hono"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock() {
        let lock = "[[package]]\nname = \"axum\"\nversion = \"0.7.1\"\n\n\
                    [[package]]\nname = \"axum\"\nversion = \"0.8.9\"\nsource = \"x\"\n";
        assert_eq!(version(lock, "axum"), Some("0.8.9"));
        assert_eq!(version(lock, "axu"), None);
    }
}
