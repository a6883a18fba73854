//! What calls leave in the log.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lastfm::Lastfm;
use super::spotify::{Access, Spotify};
use crate::testing::{Reply, Stage, nobody};
use serde_json::json;
use spinlane_core::log::{self, Record};
use spinlane_core::ports::HttpError;

/// What is logged while `work` runs.
fn logged<F: Future>(stage: &Stage, work: F) -> (F::Output, Vec<Record>) {
    log::install_for_tests();
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let sink: log::Sink = {
        let records = Arc::clone(&records);
        Arc::new(move |record: &Record| records.lock().unwrap().push(record.clone()))
    };
    let output = stage.world.run(log::with_sink(Some(sink), work));
    let records = records.lock().unwrap().clone();
    (output, records)
}

#[test]
fn calls_are_logged_with_what_they_were_for_and_how_long_they_took() {
    let stage = Stage::new(&[], |seen| match seen.host.as_str() {
        "accounts.spotify.com" => Reply::Json(200, json!({"access_token": "app-token"})),
        "api.spotify.com" => Reply::After(
            Duration::from_millis(250),
            Box::new(Reply::Json(
                503,
                json!({"error": {"message": "no app-token\n\u{7}http://me:pw@10.1.2.3/"}}),
            )),
        ),
        _ => Reply::Fail(HttpError::Denied),
    });
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let (answer, records) = logged(&stage, spotify.search_tracks("private words", 5, 0));
    // The user gets none of the service's words.
    let shown = format!("{:?}", answer.unwrap_err().object());
    assert!(
        !shown.contains("10.1.2.3") && !shown.contains("***"),
        "{shown}"
    );
    let [token, search, refused] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((token.level, search.level), ("info", "warn"));
    assert_eq!(refused.fields["reason"], "no *** http://***@10.1.2.3/");
    let field = |name: &str| search.fields[name].clone();
    assert_eq!(field("upstream"), "spotify");
    assert_eq!(field("call"), "search tracks");
    assert_eq!((field("status"), field("attempts")), (json!(503), json!(3)));
    assert!(field("duration_ms").as_u64().unwrap() >= 750);

    let lastfm = Lastfm::new(&stage.app, nobody()).unwrap();
    let (answer, more) = logged(&stage, lastfm.track("a", "private words"));
    assert!(answer.is_err());
    assert_eq!(more.len(), 1, "{more:?}");
    let text = format!("{records:?} {more:?}");
    for secret in ["private", "app-token", "client-secret", "lastfm-key"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}
