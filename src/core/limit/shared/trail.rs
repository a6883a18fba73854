//! Counters that nobody will use any more.
//!
//! Their names tell when that is. Whoever first uses a period's counter notes
//! it under a plain key, and removes what was noted long enough ago. What a
//! race leaves behind is for the operator's sweep.

use super::Shared;

/// Counters that a note remembers, besides those that are kept for late clocks.
const KEPT: usize = 64;

/// Periods ahead of the present that are remembered as well. There are more only
/// where calls wait for a rate that is far too low for them.
const AHEAD: u64 = 256;

/// Notes that the counter of `period` of `series` is in use, and removes those
/// that ended `grace` periods before `present`. Best effort: the limits do not
/// depend on it.
pub(super) async fn begun(shared: &Shared, series: &str, period: u64, present: u64, grace: u64) {
    let is_past = |noted: &str| {
        let noted: Option<u64> = noted.parse().ok();
        noted.is_some_and(|noted| noted.saturating_add(grace) < present)
    };
    let (counter, more) = (period.to_string(), grace.saturating_add(AHEAD));
    note(shared, series, series, &counter, more, is_past).await;
}

/// Notes in `note` that `counter` of `series` is in use, and removes those noted
/// there that are past. Besides the present ones `more` may be in use.
pub(in crate::core::limit) async fn note(
    shared: &Shared,
    note: &str,
    series: &str,
    counter: &str,
    more: u64,
    is_past: impl Fn(&str) -> bool,
) {
    let key = key(note);
    let noted = read(shared, note).await;
    let noted = noted.split(',').filter(|noted| !noted.is_empty());
    let (past, mut recent): (Vec<&str>, Vec<&str>) = noted.partition(|noted| is_past(noted));
    for old in past {
        shared.remove(&format!("{series}:{old}")).await;
    }
    recent.push(counter);
    let kept = KEPT + usize::try_from(more).unwrap_or(0);
    let from = recent.len().saturating_sub(kept);
    shared.set(&key, recent[from..].join(",").as_bytes()).await;
}

/// Whether the counter of `period` is in use, by a plain read: asking the
/// counter itself would make one that nobody removes.
pub(super) async fn is_used(shared: &Shared, series: &str, period: u64) -> bool {
    let noted = read(shared, series).await;
    noted.split(',').any(|noted| noted.parse() == Ok(period))
}

/// The latest period of which the counter is in use.
pub(super) async fn latest(shared: &Shared, series: &str) -> Option<u64> {
    let noted = read(shared, series).await;
    noted
        .split(',')
        .filter_map(|noted| noted.parse().ok())
        .max()
}

fn key(note: &str) -> String {
    format!("limits:{note}")
}

async fn read(shared: &Shared, note: &str) -> String {
    let noted = shared.get(&key(note)).await.unwrap_or_default();
    String::from_utf8(noted).unwrap_or_default()
}

/// The period of `counter`, if it is one of `series`.
pub(super) fn period_of(series: &str, counter: &str) -> Option<u64> {
    let period = counter.strip_prefix(series)?.strip_prefix(':')?;
    period.parse().ok()
}

/// The counter of a period.
pub(super) fn name(series: &str, period: u64) -> String {
    format!("{series}:{period}")
}
