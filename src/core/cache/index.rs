//! What expires when, so that nobody has to list the store.
//!
//! Before a value is written it is noted: whoever writes a batch takes a number
//! (one increment) and writes a page of its own under it, so that no two
//! writers can lose each other's notes. The sweep, which one instance does at a
//! time, moves these notes to a page per hour of expiry, and works off the
//! hours that have passed (see [`sweep`](super::sweep)).
//!
//! Without counters notes go to the pages of the hours at once; two instances
//! that do so at the same moment may lose one, which is for the whole sweep
//! then.

use std::collections::{BTreeMap, BTreeSet};

use super::stamp::Stamp;
use super::store::Store;
use crate::core::ports::StoreError;

/// Keys on one page of an hour.
const PAGE: usize = 256;

/// Begins the keys of everything here.
pub(super) const PREFIX: &str = "cache-index:";

/// The counter that numbers batches.
pub(super) const BATCHES: &str = "cache-index";

/// Hours since the Unix epoch. What expires in one may be removed when it has
/// passed.
pub(super) type Hour = u64;

pub(super) fn hour_of(stamp: Stamp) -> Hour {
    stamp.unix().as_secs() / 3_600
}

pub(super) fn batch_key(number: u64) -> String {
    format!("{PREFIX}batch:{number}")
}

/// The number of the batch that lies under `key`.
pub(super) fn batch_number(key: &str) -> Option<u64> {
    let number = key.strip_prefix(PREFIX)?.strip_prefix("batch:")?;
    number.parse().ok()
}

/// Whether a page of an hour lies under `key`.
pub(super) fn is_hour(key: &str) -> bool {
    let rest = key.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.starts_with("hour:"))
}

/// The newest page of an hour.
pub(super) fn hour_key(hour: Hour) -> String {
    format!("{PREFIX}hour:{hour}")
}

fn full_key(hour: Hour, number: u32) -> String {
    format!("{PREFIX}hour:{hour}:{number}")
}

/// Notes when keys expire.
pub(super) async fn note(store: &Store, notes: &[(String, Stamp)]) -> Result<(), StoreError> {
    if notes.is_empty() {
        return Ok(());
    }
    if let Some(number) = store.increment(BATCHES, 1).await? {
        let lines: String = notes
            .iter()
            .map(|(key, until)| format!("{} {key}\n", hour_of(*until)))
            .collect();
        let key = batch_key(number.unsigned_abs());
        return store.set(&key, lines.as_bytes()).await;
    }
    let notes = notes
        .iter()
        .map(|(key, until)| (hour_of(*until), key.clone()));
    merge(store, by_hour(notes)).await
}

/// The notes of a batch. Lines that are none are left out.
pub(super) fn batch_notes(bytes: &[u8]) -> impl Iterator<Item = (Hour, String)> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let (hour, key) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        Some((hour.parse().ok()?, key.to_owned()))
    })
}

pub(super) fn by_hour(
    notes: impl IntoIterator<Item = (Hour, String)>,
) -> BTreeMap<Hour, BTreeSet<String>> {
    let mut hours: BTreeMap<Hour, BTreeSet<String>> = BTreeMap::new();
    for (hour, key) in notes {
        hours.entry(hour).or_default().insert(key);
    }
    hours
}

/// A page of an hour: how many full ones there are before it, and its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    full: u32,
    pub(super) keys: BTreeSet<String>,
}

impl Page {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut page = Self::default();
        for line in text.lines() {
            match line.strip_prefix('#') {
                Some(full) => page.full = full.parse().unwrap_or(0),
                None => {
                    page.keys.insert(line.to_owned());
                }
            }
        }
        page
    }

    fn text(&self) -> String {
        let mut text = match self.full {
            0 => String::new(),
            full => format!("#{full}\n"),
        };
        for key in &self.keys {
            text.push_str(key);
            text.push('\n');
        }
        text
    }
}

/// Adds keys to the pages of their hours. Who calls it is alone in doing so.
pub(super) async fn merge(
    store: &Store,
    hours: BTreeMap<Hour, BTreeSet<String>>,
) -> Result<(), StoreError> {
    for (hour, keys) in hours {
        let key = hour_key(hour);
        let page = store.get(&key).await?;
        let mut page = page.map_or_else(Page::default, |bytes| Page::parse(&bytes));
        for noted in keys {
            if page.keys.len() >= PAGE && !page.keys.contains(&noted) {
                page.full = page.full.saturating_add(1);
                let full = Page {
                    full: 0,
                    keys: std::mem::take(&mut page.keys),
                };
                let full_key = full_key(hour, page.full);
                store.set(&full_key, full.text().as_bytes()).await?;
            }
            page.keys.insert(noted);
        }
        store.set(&key, page.text().as_bytes()).await?;
    }
    Ok(())
}

/// The page of `hour` to work off next, with the key that it lies under.
pub(super) async fn next_page(
    store: &Store,
    hour: Hour,
) -> Result<Option<(String, Page)>, StoreError> {
    let key = hour_key(hour);
    let Some(newest) = store.get(&key).await? else {
        return Ok(None);
    };
    let newest = Page::parse(&newest);
    if newest.full > 0 {
        let full_key = full_key(hour, newest.full);
        if let Some(full) = store.get(&full_key).await? {
            return Ok(Some((full_key, Page::parse(&full))));
        }
        // Lost, or never written: the count is damaged. Looking for all that it
        // might mean could take for ever; the whole sweep finds what there is.
    }
    Ok(Some((key, newest)))
}

/// Puts back what is left of a page that [`next_page`] has given.
pub(super) async fn put_back(
    store: &Store,
    hour: Hour,
    key: &str,
    left: &Page,
) -> Result<(), StoreError> {
    if !left.keys.is_empty() {
        return store.set(key, left.text().as_bytes()).await;
    }
    let newest = hour_key(hour);
    if key != newest
        && let Some(bytes) = store.get(&newest).await?
    {
        let mut page = Page::parse(&bytes);
        page.full = page.full.saturating_sub(1);
        store.set(&newest, page.text().as_bytes()).await?;
    }
    store.delete(key).await
}
