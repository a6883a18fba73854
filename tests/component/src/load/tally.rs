//! Numbers, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often what has happened.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    longest: Mutex<BTreeMap<&'static str, Duration>>,
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `what`, of a group.
    pub fn count(&self, group: &'static str, what: impl Into<String>) {
        *self.counts().entry((group, what.into())).or_default() += 1;
    }

    /// Notes how long something took, if nothing of the kind took longer.
    pub fn took(&self, what: &'static str, time: Duration) {
        let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = longest.entry(what).or_default();
        *known = time.max(*known);
    }

    /// How often `what` has happened.
    pub fn times(&self, group: &'static str, what: &str) -> u64 {
        let counts = self.counts();
        counts.get(&(group, what.to_owned())).copied().unwrap_or(0)
    }

    /// How often anything of a group has.
    pub fn all(&self, group: &str) -> u64 {
        let counts = self.counts();
        let of_group = counts.iter().filter(|((known, _), _)| *known == group);
        of_group.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        let counts = self.counts().clone();
        for ((group, what), count) in &counts {
            if *group != before {
                writeln!(f, "{group}: {}", self.all(group))?;
                before = group;
            }
            writeln!(f, "  {count:>6}  {what}")?;
        }
        let longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, time) in longest.iter() {
            writeln!(f, "longest {what}: {time:.2?}")?;
        }
        Ok(())
    }
}
