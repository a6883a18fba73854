//! What the kernel knows of a process and of those that it has started: `spin
//! up` serves in a child.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What `/proc/PID/stat` says, as far as it is needed.
struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// `None` for a process that has ended meanwhile.
    fn of(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, stat: &str) -> Option<Self> {
        // The fields follow the name, which may hold anything: state, parent;
        // the 12th and the 13th are the time as a user and in the kernel.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
        })
    }
}

/// The process and all that come from it.
fn family(pid: u32) -> Result<Vec<Stat>> {
    let mut others: Vec<Stat> = fs::read_dir("/proc")?
        .filter_map(|entry| Stat::of(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while !parents.is_empty() {
        let of_these = |stat: &mut Stat| parents.contains(&stat.parent);
        let children: Vec<Stat> = others.extract_if(.., of_these).collect();
        parents = children.iter().map(|stat| stat.pid).collect();
        found.extend(children);
    }
    found.push(Stat::of(pid).context("the host has ended")?);
    Ok(found)
}

/// The processor time that the process and its children have taken.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let ticks: u64 = family(pid)?.iter().map(|stat| stat.ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_nanos(ticks * (1_000_000_000 / per_second)))
}

/// The memory of the process and its children in KiB. Pages that several
/// processes map count in parts, and those that one maps often count once.
pub(crate) fn proportional_kib(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for stat in family(pid)? {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid))?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = pss.and_then(|pss| pss.trim().strip_suffix(" kB"));
        sum += kib.context("no Pss")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// Lets this process, and those that it starts, open as many files as the system
/// allows: hundreds of streams are two sockets each.
pub(crate) fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194304 1 2 3 4 50 6 7 8 20 0 1 0 100 1 1";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.ticks), (7, 3, 56));
    }

    #[test]
    fn this_process_has_memory_and_a_child() {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap();
        let family = family(std::process::id()).unwrap();
        assert!(family.iter().any(|stat| stat.pid == child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(proportional_kib(std::process::id()).unwrap() > 100);
        assert!(cpu(std::process::id()).unwrap() < Duration::from_secs(60));
    }
}
