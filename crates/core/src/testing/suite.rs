//! What every implementation of a port must do, whatever it stands on.
//!
//! The stores' own tests call these: natively in memory, in a component on
//! Spin's store (SQLite and Redis) and on that of plain WASI.

use crate::ports::{COUNTER_PREFIX, Counters, KeyValue, StoreError};

/// Fails with the sentence that does not hold.
macro_rules! holds {
    ($condition:expr, $sentence:literal) => {
        if !$condition {
            return Err(format!("it does not hold that {}", $sentence));
        }
    };
}

/// What a [`KeyValue`] promises. Uses keys that begin with `suite:`, and leaves
/// none.
///
/// # Errors
/// The first promise that is not kept.
pub async fn key_value(store: &dyn KeyValue) -> Result<(), String> {
    let failed = |error: StoreError| error.to_string();
    holds!(
        store.get("suite:a").await.map_err(failed)?.is_none(),
        "a key that was never written has no value"
    );
    // Bytes of every value, nothing at all, and much.
    let all: Vec<u8> = (0..=255).collect();
    for value in [all.as_slice(), b"", &vec![7; 300_000], b"last"] {
        store.set("suite:a", value).await.map_err(failed)?;
        holds!(
            store.get("suite:a").await.map_err(failed)?.as_deref() == Some(value),
            "what is read is what was written last"
        );
    }
    store
        .set("suite:ä / ?\u{1f3b5}", b"b")
        .await
        .map_err(failed)?;
    holds!(
        store
            .get("suite:ä / ?\u{1f3b5}")
            .await
            .map_err(failed)?
            .as_deref()
            == Some(b"b"),
        "a key may have any characters"
    );
    holds!(
        store.get("suite:A").await.map_err(failed)?.is_none(),
        "keys are told apart by case"
    );
    let mut keys = store.keys().await.map_err(failed)?;
    keys.retain(|key| key.starts_with("suite:"));
    keys.sort();
    holds!(
        keys == ["suite:a", "suite:ä / ?\u{1f3b5}"],
        "all keys are listed, each once"
    );
    for key in keys {
        store.delete(&key).await.map_err(failed)?;
        store.delete(&key).await.map_err(failed)?;
        holds!(
            store.get(&key).await.map_err(failed)?.is_none(),
            "a key that was removed has no value, and may be removed again"
        );
    }
    let counter = format!("{COUNTER_PREFIX}suite");
    let refused = [
        store.get(&counter).await.map(|_| ()),
        store.set(&counter, b"1").await,
        store.delete(&counter).await,
    ];
    holds!(
        refused
            .iter()
            .all(|answer| matches!(answer, Err(StoreError::Refused(_)))),
        "the keys of counters are refused"
    );
    Ok(())
}

/// What [`Counters`] in the same store promise. Uses names that begin with
/// `suite:`, and leaves none.
///
/// # Errors
/// The first promise that is not kept.
pub async fn counters(counters: &dyn Counters, store: &dyn KeyValue) -> Result<(), String> {
    let failed = |error: StoreError| error.to_string();
    let mut values = Vec::new();
    for delta in [1, 2, -5, 0, 1 << 40] {
        values.push(counters.increment("suite:n", delta).await.map_err(failed)?);
    }
    holds!(
        values == [1, 3, -2, -2, (1 << 40) - 2],
        "an increment adds, and answers the new value"
    );
    let names = counters.names().await.map_err(failed)?;
    let ours = names.iter().filter(|name| name.starts_with("suite:"));
    holds!(ours.eq(["suite:n"]), "counters are listed by their names");
    let keys = store.keys().await.map_err(failed)?;
    holds!(
        keys.iter().all(|key| !key.starts_with(COUNTER_PREFIX)),
        "counters are no keys"
    );
    counters.remove("suite:n").await.map_err(failed)?;
    counters.remove("suite:n").await.map_err(failed)?;
    let again = counters.increment("suite:n", 1).await.map_err(failed)?;
    holds!(again == 1, "a counter that was removed begins anew");
    counters.remove("suite:n").await.map_err(failed)
}
