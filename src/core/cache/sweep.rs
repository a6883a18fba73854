//! Removing what has expired.
//!
//! After its response a request looks whether a sweep is due (one read). One
//! instance at a time does it, a bounded piece of work each: the others see by
//! the state that it was done. Who dies at it has lost its turn after a minute.
//!
//! A sweep may remove what another instance has written anew at the same
//! moment: that is a miss later, and no more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::envelope::Header;
use super::index::{self, Hour, hour_of};
use super::stamp::Stamp;
use super::store::Store;
use crate::core::ports::StoreError;

/// Where the state lies.
const STATE: &str = "cache-index:state";

/// Begins the names of the counters that turns are taken by.
const TURNS: &str = "cache-sweep:";

/// Should a whole sweep die, the others go on after so long.
const WHOLE: Duration = Duration::from_secs(600);

/// A sweep is due so long after the last; where that one did
/// not get to the end, sooner.
const EVERY: Duration = Duration::from_secs(60);
const EVERY_WITH_MORE: Duration = Duration::from_secs(1);

/// How long a missing batch is waited for: its writer has its number, and may
/// still be on the way.
const LATE: Duration = Duration::from_secs(60);

/// The work of one sweep: what it sorts in and removes, and where it looks in
/// vain, which is much when the state was lost.
const NOTES: usize = 256;
const KEYS: usize = 64;
const LOOKS: usize = 256;

/// How far the sweep has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    turn: u64,
    /// When the last turn ended.
    at: Stamp,
    /// Whether it left something to do.
    more: bool,
    /// All hours before this one are worked off.
    hour: Hour,
    /// All batches up to this one are moved to the pages of their hours.
    batch: u64,
    /// A batch that is missing, since when, and up to which others may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<Missing>,
    /// Nobody sweeps until then: the whole sweep is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole_until: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    batch: u64,
    since: Stamp,
    upto: u64,
}

/// Does a piece of the sweep, if it is due and nobody else does it.
pub(super) async fn turn(store: &Store) -> Result<(), StoreError> {
    let now = Stamp::new(store.unix());
    let known = State::read(store).await?;
    if known.as_ref().is_some_and(|state| !state.is_due(now)) {
        return Ok(());
    }
    let number = known.as_ref().map_or(0, |state| state.turn);
    // A minute's counter: should its taker die, the next minute's is free.
    let claim = claim_name(number, now);
    if store
        .increment(&claim, 1)
        .await?
        .is_some_and(|claims| claims > 1)
    {
        return Ok(());
    }
    let head = store.increment(index::BATCHES, 0).await?;
    let head = head.map_or(0, i64::unsigned_abs);
    let mut state = known.unwrap_or_else(|| State::new(now));
    let result = state.work(store, now, head).await;
    state.turn = number.wrapping_add(1);
    state.at = Stamp::new(store.unix());
    store.set(STATE, &state.bytes()).await?;
    store.remove(&claim).await?;
    result
}

/// Keeps all others from sweeping, for the whole sweep.
pub(super) async fn hold(store: &Store) -> Result<Held, StoreError> {
    let mut tries = 0;
    loop {
        let now = Stamp::new(store.unix());
        let mut state = State::read(store).await?.unwrap_or_else(|| State::new(now));
        let claim = claim_name(state.turn, now);
        let claims = store.increment(&claim, 1).await?;
        tries += 1;
        // Whoever has the turn is through in far less than a second.
        if claims.is_some_and(|claims| claims > 1) && tries < 5 {
            store.clock.sleep(Duration::from_secs(1)).await;
            continue;
        }
        state.whole_until = Some(now.plus(WHOLE));
        store.set(STATE, &state.bytes()).await?;
        return Ok(Held { state, claim });
    }
}

/// See [`hold`].
pub(super) struct Held {
    state: State,
    claim: String,
}

impl Held {
    /// Batches up to this one are in the pages of the hours.
    pub(super) fn sorted_in(&self) -> u64 {
        self.state.batch
    }

    /// Lets the others sweep again; `done` when all that has expired is gone.
    pub(super) async fn release(mut self, store: &Store, done: bool) -> Result<(), StoreError> {
        self.state.turn = self.state.turn.wrapping_add(1);
        self.state.whole_until = None;
        if done {
            self.state.hour = hour_of(Stamp::new(store.unix()));
        }
        store.set(STATE, &self.state.bytes()).await?;
        store.remove(&self.claim).await
    }
}

/// Whether `name` is the counter of a turn that was taken long ago.
pub(super) fn is_over(name: &str, unix: Duration) -> bool {
    let minute = name
        .strip_prefix(TURNS)
        .and_then(|rest| rest.split_once(':'))
        .and_then(|(_, minute)| minute.parse::<u64>().ok());
    minute.is_some_and(|minute| minute.saturating_add(1) < unix.as_secs() / 60)
}

fn claim_name(turn: u64, now: Stamp) -> String {
    format!("{TURNS}{turn}:{}", now.unix().as_secs() / 60)
}

impl State {
    /// The first state, or the one after a state that cannot be read.
    fn new(now: Stamp) -> Self {
        Self {
            turn: 0,
            at: now,
            more: false,
            hour: hour_of(now),
            batch: 0,
            missing: None,
            whole_until: None,
        }
    }

    /// What is written down; `None` where that cannot be read.
    async fn read(store: &Store) -> Result<Option<Self>, StoreError> {
        let bytes = store.get(STATE).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn bytes(&self) -> Vec<u8> {
        // Cannot fail: string keys only, and nothing with a fallible Serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn is_due(&self, now: Stamp) -> bool {
        let wait = if self.more { EVERY_WITH_MORE } else { EVERY };
        // A clock that was ahead must not stop the sweep for good.
        let due = now >= self.at.plus(wait) || now.plus(wait) < self.at;
        due && self.whole_until.is_none_or(|until| now >= until)
    }

    /// Sorts in what was noted, then removes what is due.
    async fn work(&mut self, store: &Store, now: Stamp, head: u64) -> Result<(), StoreError> {
        self.more = false;
        // A clock that was ahead, or damage, must not stop the sweep for good.
        self.hour = self.hour.min(hour_of(now));
        self.batch = self.batch.min(head);
        self.sort_in(store, now, head).await?;
        self.remove_due(store, now).await
    }

    /// Moves the notes of batches to the pages of their hours.
    async fn sort_in(&mut self, store: &Store, now: Stamp, head: u64) -> Result<(), StoreError> {
        let (mut notes, mut moved) = (Vec::new(), Vec::new());
        let (mut batch, mut looks) = (self.batch, 0);
        while batch < head {
            if notes.len() >= NOTES || looks >= LOOKS {
                self.more = true;
                break;
            }
            looks += 1;
            let key = index::batch_key(batch + 1);
            match store.get(&key).await? {
                Some(bytes) => {
                    notes.extend(index::batch_notes(&bytes));
                    moved.push(key);
                }
                None if self.may_skip(batch + 1, now, head) => {}
                None => break,
            }
            batch += 1;
        }
        // What was noted for an hour that is worked off comes with the next.
        let notes = notes
            .into_iter()
            .map(|(hour, key)| (hour.max(self.hour), key));
        index::merge(store, index::by_hour(notes)).await?;
        self.batch = batch;
        for key in moved {
            store.delete(&key).await?;
        }
        Ok(())
    }

    /// Whether `batch`, which is missing, was waited for long enough.
    fn may_skip(&mut self, batch: u64, now: Stamp, head: u64) -> bool {
        match self.missing {
            Some(missing) if missing.batch <= batch && batch <= missing.upto => {
                now >= missing.since.plus(LATE)
            }
            _ => {
                self.missing = Some(Missing {
                    batch,
                    since: now,
                    upto: head,
                });
                false
            }
        }
    }

    /// Removes what the hours that have passed hold, up to a bound.
    async fn remove_due(&mut self, store: &Store, now: Stamp) -> Result<(), StoreError> {
        let present = hour_of(now);
        let (mut looks, mut keys) = (0, 0);
        while self.hour < present {
            if looks >= LOOKS || keys >= KEYS {
                self.more = true;
                return Ok(());
            }
            looks += 1;
            let Some((page_key, mut page)) = index::next_page(store, self.hour).await? else {
                self.hour += 1;
                continue;
            };
            while keys < KEYS
                && let Some(key) = page.keys.pop_first()
            {
                remove_if_expired(store, &key, now).await?;
                keys += 1;
            }
            index::put_back(store, self.hour, &page_key, &page).await?;
        }
        Ok(())
    }
}

/// What became of a key that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    Removed,
    Live(Stamp),
    Gone,
    /// Not an envelope.
    Unreadable,
}

/// Removes `key` unless its value may still be served. What is noted and
/// cannot be read is of no use to anybody.
async fn remove_if_expired(store: &Store, key: &str, now: Stamp) -> Result<(), StoreError> {
    if look(store, key, now).await? == Looked::Unreadable {
        store.delete(key).await?;
    }
    Ok(())
}

pub(super) async fn look(store: &Store, key: &str, now: Stamp) -> Result<Looked, StoreError> {
    let Some(bytes) = store.get(key).await? else {
        return Ok(Looked::Gone);
    };
    let Some((header, _)) = Header::split(&bytes) else {
        return Ok(Looked::Unreadable);
    };
    if header.stale_until > now {
        return Ok(Looked::Live(header.stale_until));
    }
    store.delete(key).await?;
    Ok(Looked::Removed)
}
