//! Counters that nobody will use any more.
//!
//! Their names tell when that is. Whoever first uses a period's counter notes
//! it under a plain key, and removes what was noted long enough ago. What a
//! race leaves behind is for the operator's sweep.

use super::Shared;

/// Periods that are remembered. More than that can only be ahead of the present
/// where calls wait for a rate that is far too low for them.
const KEPT: usize = 64;

/// Notes that the counter of `period` of `series` is in use, and removes those
/// that ended `grace` periods before `present`. Best effort: the limits do not
/// depend on it.
pub(super) async fn begun(shared: &Shared, series: &str, period: u64, present: u64, grace: u64) {
    let key = key(series);
    let (past, mut recent): (Vec<u64>, Vec<u64>) = noted(shared, series)
        .await
        .partition(|noted: &u64| noted.saturating_add(grace) < present);
    for old in past {
        shared.remove(&name(series, old)).await;
    }
    recent.push(period);
    let from = recent.len().saturating_sub(KEPT);
    let recent: Vec<String> = recent[from..].iter().map(u64::to_string).collect();
    shared.set(&key, recent.join(",").as_bytes()).await;
}

/// Whether the counter of `period` is in use, by a plain read: asking the
/// counter itself would make one that nobody removes.
pub(super) async fn is_used(shared: &Shared, series: &str, period: u64) -> bool {
    noted(shared, series).await.any(|noted| noted == period)
}

fn key(series: &str) -> String {
    format!("limits:{series}")
}

async fn noted(shared: &Shared, series: &str) -> impl Iterator<Item = u64> {
    let noted = shared.get(&key(series)).await.unwrap_or_default();
    let noted = String::from_utf8(noted).unwrap_or_default();
    let numbers: Vec<u64> = noted.split(',').filter_map(|n| n.parse().ok()).collect();
    numbers.into_iter()
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
