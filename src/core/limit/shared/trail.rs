//! Counters that nobody will use any more.
//!
//! Their names tell when that is. Whoever first uses a period's counter notes
//! it under a plain key, and removes what was noted long enough ago. What a
//! race leaves behind is for the operator's sweep.

use super::Shared;

/// Periods that are remembered.
const KEPT: usize = 8;

/// Notes that `period` of `series` has begun, and removes the counters of those
/// that ended `grace` periods ago. Best effort: the limits do not depend on it.
pub(super) async fn begun(shared: &Shared, series: &str, period: u64, grace: u64) {
    let key = format!("limits:{series}");
    let noted = shared.get(&key).await.unwrap_or_default();
    let noted = String::from_utf8(noted).unwrap_or_default();
    let noted = noted
        .split(',')
        .filter_map(|number| number.parse::<u64>().ok());
    let (past, mut recent): (Vec<u64>, Vec<u64>) =
        noted.partition(|noted: &u64| noted.saturating_add(grace) < period);
    for old in past {
        shared.remove(&name(series, old)).await;
    }
    recent.push(period);
    let from = recent.len().saturating_sub(KEPT);
    let recent: Vec<String> = recent[from..].iter().map(u64::to_string).collect();
    shared.set(&key, recent.join(",").as_bytes()).await;
}

/// The counter of a period.
pub(super) fn name(series: &str, period: u64) -> String {
    format!("{series}:{period}")
}
