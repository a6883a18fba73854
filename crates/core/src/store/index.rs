//! What expires when, so that nobody has to list the store.
//!
//! Entries lie in batches, by the stretch of time in which they end. Who writes
//! a batch takes a number of that stretch (one increment of a counter) and
//! writes a page of its own under it, once; nobody writes a page again. The
//! sweep knows by the counter how many there are, and deletes each when what it
//! names is gone.
//!
//! A stretch is short for what ends soon, and longer for what lives long: there
//! it does not matter when it goes, and entries share a batch.
//!
//! Without counters the next number is the first that is free. Two instances
//! that look at the same moment may take the same one: what is lost by that is
//! for the full sweep.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Store;
use super::period::{self, Period};
use crate::ports::StoreError;

/// Begins the keys of everything here. No namespace begins with a tilde.
pub(super) const PREFIX: &str = "~index:";

/// The counters of a stretch: of its batches, and of those that sweeps have
/// taken on. They are removed when the stretch is worked off, and noted nowhere.
const BATCHES: &str = "index";
const TURNS: &str = "swept";

/// Entries in a batch.
const BATCH: usize = 64;

/// Ends the entry that stands for all numbered keys of one prefix.
const FAMILY: char = '*';

/// Past its end a stretch is left in peace for so long: for clocks that are
/// late, and for those who have a number and are still writing.
const MARGIN: Duration = Duration::from_secs(120);

const HOUR: u64 = 3_600;

/// Two days, and the grace of a counter: a claim of a day and the next ends within.
const TWO_DAYS: u64 = 48 * HOUR + 120;

/// Stretches of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretches {
    seconds: u64,
}

/// A stretch of time, by its number since the epoch.
pub(super) type Stretch = u64;

/// For what ends within an hour, within two days, and later.
pub(super) const ALL: [Stretches; 3] = [
    Stretches { seconds: 600 },
    Stretches { seconds: 6 * HOUR },
    Stretches {
        seconds: 7 * 24 * HOUR,
    },
];

/// What is noted: a key, or a counter by its key in the store.
pub(super) type Entry = (String, Duration);

impl Stretches {
    /// Of what has so much time until it ends.
    fn for_life(life: Duration) -> Self {
        let [short, middle, long] = ALL;
        match life.as_secs() {
            0..=HOUR => short,
            secs if secs <= TWO_DAYS => middle,
            _ => long,
        }
    }

    const fn length(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(super) fn at(self, unix: Duration) -> Stretch {
        unix.as_secs() / self.seconds
    }

    /// Whether all that ends in `stretch` may be removed.
    pub(super) fn is_due(self, stretch: Stretch, unix: Duration) -> bool {
        let end = stretch.saturating_add(1).saturating_mul(self.seconds);
        Duration::from_secs(end).saturating_add(MARGIN) <= unix
    }

    /// Where it is written which stretches are worked off: all before a number.
    pub(super) fn begin_key(self) -> String {
        format!("{PREFIX}{}", self.seconds)
    }

    /// The counter of the batches of `stretch`.
    pub(super) fn batches(self, stretch: Stretch) -> String {
        period::name(BATCHES, self.length(), stretch)
    }

    /// The counter of the batches that sweeps have taken on.
    pub(super) fn turns(self, stretch: Stretch) -> String {
        period::name(TURNS, self.length(), stretch)
    }

    /// Says that `stretch` has, or is about to have, batches: after a quiet time
    /// there are many that have none, and a look costs a read.
    pub(super) fn mark_key(self, stretch: Stretch) -> String {
        format!("{PREFIX}{}:{stretch}", self.seconds)
    }

    pub(super) fn batch_key(self, stretch: Stretch, number: u64) -> String {
        format!("{PREFIX}{}:{stretch}:{number}", self.seconds)
    }
}

/// The stretch of the batch, or of the mark, that lies under `key`.
pub(super) fn stretch_of(key: &str) -> Option<(Stretches, Stretch)> {
    let mut parts = key.strip_prefix(PREFIX)?.split(':');
    let seconds: u64 = parts.next()?.parse().ok()?;
    let stretch = parts.next()?.parse().ok()?;
    let known = ALL.into_iter().find(|known| known.seconds == seconds)?;
    Some((known, stretch))
}

/// The stretch that a counter is of, if it is one of the index.
pub(super) fn counter_of(counter: Period<'_>) -> Option<(Stretches, Stretch)> {
    let known = ALL.into_iter().find(|of| of.length() == counter.length)?;
    [BATCHES, TURNS]
        .contains(&counter.series)
        .then_some((known, counter.period))
}

/// The entry for all keys that `prefix` (with its colon) begins: those numbered from 0
/// on without a gap, and `reader`.
pub(super) fn family(prefix: &str) -> String {
    format!("{prefix}{FAMILY}")
}

/// The family that `key` would belong to.
pub(super) fn family_of(key: &str) -> Option<String> {
    let (prefix, _) = key.rsplit_once(':')?;
    Some(family(&format!("{prefix}:")))
}

/// The prefix of the keys that `entry` stands for, where it is a family's.
pub(super) fn family_prefix(entry: &str) -> Option<&str> {
    let prefix = entry.strip_suffix(FAMILY)?;
    prefix.ends_with(':').then_some(prefix)
}

/// Notes when something ends.
pub(super) async fn note(
    store: &Store,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<(), StoreError> {
    let now = store.unix();
    let mut stretches: BTreeMap<(Stretches, Stretch), Vec<String>> = BTreeMap::new();
    for (key, until) in entries {
        let of = Stretches::for_life(until.saturating_sub(now));
        // What has ended goes with what ends now: earlier ones may be swept.
        let stretch = of.at(until.max(now));
        stretches.entry((of, stretch)).or_default().push(key);
    }
    for ((of, stretch), keys) in stretches {
        let batches = keys.chunks(BATCH);
        store.set(&of.mark_key(stretch), b"").await?;
        let first = take_numbers(store, of, stretch, batches.len() as u64).await?;
        for (number, keys) in (first..).zip(batches) {
            let key = of.batch_key(stretch, number);
            store.set(&key, keys.join("\n").as_bytes()).await?;
        }
        store.added(keys.len());
    }
    Ok(())
}

/// The keys of a batch. Lines that are none are left out.
pub(super) fn keys_of(batch: &[u8]) -> impl Iterator<Item = &str> {
    let lines = batch.split(|byte| *byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok().filter(|key| !key.is_empty()))
}

/// The first of so many numbers that nobody else has.
async fn take_numbers(
    store: &Store,
    of: Stretches,
    stretch: Stretch,
    count: u64,
) -> Result<u64, StoreError> {
    if !store.has_counters() {
        return Ok(last_number(store, of, stretch).await? + 1);
    }
    let delta = i64::try_from(count).unwrap_or(i64::MAX);
    let last = store.increment(&of.batches(stretch), delta).await?;
    Ok(last.unsigned_abs().saturating_sub(count) + 1)
}

/// How many batches a stretch has or had: all are numbered up to this.
pub(super) async fn last_number(
    store: &Store,
    of: Stretches,
    stretch: Stretch,
) -> Result<u64, StoreError> {
    if store.has_counters() {
        let last = store.increment(&of.batches(stretch), 0).await?;
        return Ok(last.unsigned_abs());
    }
    last_there(store, |number| of.batch_key(stretch, number)).await
}

/// The last number, from 1 on, under whose `key` there is something, where there is
/// none beyond one that is missing; 0 where there is nothing. Found by doubling, then
/// halving.
pub(super) async fn last_there(
    store: &Store,
    key: impl Fn(u64) -> String,
) -> Result<u64, StoreError> {
    let mut missing = 1;
    while store.get(&key(missing)).await?.is_some() {
        missing *= 2;
    }
    let mut there = missing / 2;
    while missing - there > 1 {
        let half = there + (missing - there) / 2;
        match store.get(&key(half)).await? {
            Some(_) => there = half,
            None => missing = half,
        }
    }
    Ok(there)
}
