//! Removing what has expired, a piece at a time.
//!
//! Many instances may sweep at once: each takes batches by a counter, so that no
//! two work on the same one. Whoever dies at it leaves its batches, which are
//! taken on once more when all others are done. A sweep may remove what another
//! instance has written anew at the same moment: that is a miss later, and no
//! more.

use std::time::Duration;

use super::index::{self, Stretch, Stretches};
use super::{Header, READER, Store, Timestamp};
use crate::ports::{COUNTER_PREFIX, StoreError};

/// Stretches that one sweep looks at, and of these that it works on. After a quiet
/// time there are many: of the shortest a day has 144.
const LOOKS: usize = 256;
const WORKS: usize = 8;

/// How often each batch is taken on.
const PASSES: u64 = 2;

/// What a batch is assumed to hold; and how many a sweep takes at once.
const GUESS: usize = 8;
const MOST_AT_ONCE: usize = 16;

/// Works off `entries` of what is due, or a few more.
pub(super) async fn sweep(store: &Store, entries: usize) -> Result<(), StoreError> {
    for of in index::ALL {
        work_off(store, of, entries).await?;
    }
    Ok(())
}

async fn work_off(store: &Store, of: Stretches, entries: usize) -> Result<(), StoreError> {
    let (now, begin_key) = (store.unix(), of.begin_key());
    let known = store.get(&begin_key).await?;
    let known = known.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
    // Nothing is known, or what a clock has written that was ahead. Those who
    // began a moment ago may have noted something just before the present.
    let present = of.at(now);
    let Some(begin) = known.filter(|begin| *begin <= present) else {
        let begin = present.saturating_sub(1).to_string();
        return store.set(&begin_key, begin.as_bytes()).await;
    };
    let (mut stretch, mut left): (Stretch, _) = (begin, entries);
    let mut works = WORKS;
    for _ in 0..LOOKS {
        if !of.is_due(stretch, now) {
            break;
        }
        if store.get(&of.mark_key(stretch)).await?.is_some() {
            if left == 0 || works == 0 || !work_on(store, of, stretch, &mut left).await? {
                break;
            }
            store.delete(&of.mark_key(stretch)).await?;
            works -= 1;
        }
        stretch += 1;
    }
    match stretch == begin {
        true => Ok(()),
        false => store.set(&begin_key, stretch.to_string().as_bytes()).await,
    }
}

/// Works on a stretch that is due. Whether nothing is left of it.
async fn work_on(
    store: &Store,
    of: Stretches,
    stretch: Stretch,
    left: &mut usize,
) -> Result<bool, StoreError> {
    if !store.has_counters() {
        return work_alone(store, of, stretch, left).await;
    }
    let mut known = index::last_number(store, of, stretch).await?;
    while *left > 0 {
        let take = left.div_ceil(GUESS).min(MOST_AT_ONCE) as u64;
        let turns = of.turns(stretch);
        let turns = store.increment(&turns, take.cast_signed()).await?;
        let turns = turns.unsigned_abs();
        // After that, and each time: another may have come to the end meanwhile.
        // What we have taken on is ours all the same, and nobody else's.
        let last = index::last_number(store, of, stretch).await?;
        let is_over = last == 0;
        known = if is_over { known } else { last };
        for turn in turns.saturating_sub(take)..turns.min(PASSES * known) {
            let key = of.batch_key(stretch, turn % known + 1);
            remove_batch(store, &key, left).await?;
        }
        if is_over || turns >= PASSES * known {
            // In this order: who takes turns after it finds no batches, and comes
            // to the end itself.
            store.remove(&of.batches(stretch)).await?;
            store.remove(&of.turns(stretch)).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same without counters: from the last batch to the first, so that the others
/// can still be found. Two that do so at once do the same.
async fn work_alone(
    store: &Store,
    of: Stretches,
    stretch: Stretch,
    left: &mut usize,
) -> Result<bool, StoreError> {
    let last = index::last_number(store, of, stretch).await?;
    for number in (1..=last).rev() {
        if *left == 0 {
            return Ok(false);
        }
        remove_batch(store, &of.batch_key(stretch, number), left).await?;
    }
    Ok(true)
}

/// Removes what a batch names, and then the batch.
async fn remove_batch(store: &Store, key: &str, left: &mut usize) -> Result<(), StoreError> {
    let Some(batch) = store.get(key).await? else {
        *left = left.saturating_sub(1);
        return Ok(());
    };
    for entry in index::keys_of(&batch) {
        *left = left.saturating_sub(1);
        if let Some(prefix) = index::family_prefix(entry) {
            remove_family(store, prefix).await?;
            continue;
        }
        match entry.strip_prefix(COUNTER_PREFIX) {
            Some(counter) => store.remove(counter).await?,
            // What is noted and cannot be read is of no use to anybody.
            None if look(store, entry, store.unix()).await? == Looked::Unreadable => {
                store.delete(entry).await?;
            }
            None => {}
        }
    }
    store.delete(key).await
}

/// Removes the keys that `prefix` begins, from the last to the first: should it break
/// off, the others can still be found.
async fn remove_family(store: &Store, prefix: &str) -> Result<(), StoreError> {
    let key = |number: u64| format!("{prefix}{}", number - 1);
    let last = index::last_there(store, key).await?;
    store.delete(&format!("{prefix}{READER}")).await?;
    for number in (1..=last).rev() {
        if look(store, &key(number), store.unix()).await? == Looked::Unreadable {
            store.delete(&key(number)).await?;
        }
    }
    Ok(())
}

/// What became of a key that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    Removed,
    Live(Timestamp),
    Gone,
    /// Not a value of ours.
    Unreadable,
}

/// Removes the value under `key` if it has expired.
pub(super) async fn look(store: &Store, key: &str, now: Duration) -> Result<Looked, StoreError> {
    let Some(bytes) = store.get(key).await? else {
        return Ok(Looked::Gone);
    };
    let Some((header, _)) = Header::split(&bytes) else {
        return Ok(Looked::Unreadable);
    };
    if header.stale_until > Timestamp::new(now) {
        return Ok(Looked::Live(header.stale_until));
    }
    store.delete(key).await?;
    Ok(Looked::Removed)
}
