//! What Spotify, Deezer and Last.fm really send: refusals with a reason, pauses
//! of a day, other tracks than the one that was asked for, JSON that is none.

use serde_json::{Value, json};
use spinlane_component_tests::browser::{Browser, location, tool_end, use_tool};
use spinlane_component_tests::{Dj, PATIENCE};
use spinlane_upstreams::Fault;

/// Refusals of Spotify's: media type, body, our code, a word of our sentence.
const REFUSALS: [(&str, &str, &str, &str); 5] = [
    (
        "text/plain",
        "User not registered in the Developer Dashboard",
        "account_not_registered",
        "developer dashboard",
    ),
    (
        "application/json",
        r#"{"error":{"status":403,"message":"User not registered in the Developer Dashboard"}}"#,
        "account_not_registered",
        "developer dashboard",
    ),
    (
        "application/json",
        r#"{"error":{"status":403,"message":"Active premium subscription required for the owner of the app."}}"#,
        "owner_not_premium",
        "Premium",
    ),
    (
        "application/json",
        r#"{"error":{"status":403,"message":"Insufficient client scope"}}"#,
        "missing_scope",
        "log out",
    ),
    (
        "text/html",
        "<html>blocked by 10.1.2.3</html>",
        "upstream_rejected",
        "does not allow",
    ),
];

/// Waits for the operator's log to say `words`.
async fn logged(dj: &Dj, words: &str) {
    let line = dj.host.wait_for_log(PATIENCE, words).await;
    assert!(line.is_some(), "{words} is not in the log");
}

/// What the tool of a run has failed with, the run's frames as well.
async fn failed_search(browser: &mut Browser<'_>) -> (Value, String) {
    let prompt = json!({"message": "hello"});
    let frames = use_tool(browser, &prompt, "search_tracks", json!({"query": "x"})).await;
    let ended = tool_end(&frames);
    assert_eq!(ended["error"], true, "{ended}");
    (ended["result"].clone(), format!("{frames:?}"))
}

fn words(error: &Value) -> &str {
    error["message"].as_str().expect("a message")
}

#[tokio::test]
async fn refusals_of_spotify_tell_the_user_what_to_do_and_the_operator_why() {
    for (media_type, body, code, word) in REFUSALS {
        let dj = Dj::start_public(&[]).await;
        let refused = Fault::status(403).saying(media_type, body);
        // A gateway's page is logged without its markup.
        let reason = match body.split_once("\"message\":\"") {
            Some((_, message)) => message.trim_end_matches("\"}}"),
            None => body
                .trim_start_matches("<html>")
                .trim_end_matches("</html>"),
        };
        let mut browser = Browser::new(&dj);
        browser.log_in().await;
        dj.upstreams
            .spotify()
            .push(refused.clone().on("/v1/search"));
        let (error, shown) = failed_search(&mut browser).await;
        assert_eq!(
            (&error["code"], &error["status"]),
            (&code.into(), &403.into())
        );
        assert!(words(&error).contains(word), "{error}");
        assert!(!shown.contains("10.1.2.3"), "{shown}");
        logged(&dj, reason).await;

        // A login that can do nothing ends with the reason.
        let mut other = Browser::new(&dj);
        dj.upstreams.spotify().fault(refused.on("/v1/me"));
        let back = other.consent("/api/auth/login", "agree").await;
        let answer = other.get(&back).await;
        let status = answer.status();
        let problem: Value = answer.json().await.expect("JSON");
        assert_eq!(problem["code"], code, "{status}");
        assert!(words(&problem).contains(word), "{problem}");
        let session = other.get("/api/auth/session").await;
        let session: Value = session.json().await.expect("JSON");
        assert_eq!(session["connected"], false, "{session}");
    }
}

#[tokio::test]
async fn a_page_on_another_origin_is_told_why_a_login_ended() {
    let dj = Dj::start_public(&[("frontend_url", "http://127.0.0.1:9")]).await;
    let (media_type, body, code, _) = REFUSALS[0];
    let refused = Fault::status(403).saying(media_type, body);
    dj.upstreams.spotify().fault(refused.on("/v1/me"));
    let mut browser = Browser::new(&dj);
    let back = browser.consent("/api/auth/login", "agree").await;
    let page = location(&browser.get(&back).await);
    assert_eq!(page, format!("http://127.0.0.1:9/#auth_error={code}"));
}

#[tokio::test]
async fn an_upstreams_own_words_are_for_the_operator() {
    let dj = Dj::start(&[]).await;
    let mut browser = Browser::new(&dj);
    let inside = |number: u8| format!("no route to internal host 10.1.2.3, rule {number}");
    for (number, media_type, body) in [
        (
            1,
            "application/json",
            json!({"error": {"status": 400, "message": inside(1)}}).to_string(),
        ),
        (
            2,
            "application/json",
            json!({"detail": inside(2)}).to_string(),
        ),
        (3, "application/json", json!(inside(3)).to_string()),
        (4, "text/plain", inside(4) + "\u{7}" + &"x".repeat(100_000)),
    ] {
        let fault = Fault::status(400).saying(media_type, &body);
        dj.upstreams.spotify().push(fault.on("/v1/search"));
        let (error, shown) = failed_search(&mut browser).await;
        assert_eq!(error["code"], "upstream_rejected", "{error}");
        assert!(!shown.contains("10.1.2.3"), "{shown}");
        let line = dj.host.wait_for_log(PATIENCE, &inside(number)).await;
        let line = line.expect("the operator can read why");
        assert!(line.len() < 1_500, "{line}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_about_what_was_asked() {
    let dj = Dj::start(&[]).await;
    let mut browser = Browser::new(&dj);
    dj.upstreams
        .spotify()
        .push(Fault::status(404).on("/v1/search"));
    let (error, _) = failed_search(&mut browser).await;
    assert_eq!(error["code"], "upstream_rejected");
    assert!(!words(&error).contains("playlist"), "{error}");
}

/// Deezer takes no key: there is none to check.
#[tokio::test]
async fn deezer_that_refuses_is_no_question_of_a_key() {
    for fault in [
        Fault::status(403),
        Fault::status(401),
        Fault::code(200),
        Fault::code(300),
    ] {
        let dj = Dj::start(&[]).await;
        dj.upstreams.deezer().fault(fault);
        let result = enrich(&dj, &json!([{"title": "a", "artist": "b"}])).await;
        let note = &result["notes"][0];
        assert_eq!(note["context"]["upstream"], "deezer", "{note}");
        assert_eq!(note["code"], "upstream_rejected");
        assert!(words(note).contains("this server's address"), "{note}");
        assert!(!words(note).contains("key"), "{note}");
    }
}

/// An enrichment, as one document.
async fn enrich(dj: &Dj, tracks: &Value) -> Value {
    let request = reqwest::Client::new()
        .post(dj.host.url("/api/enrich"))
        .header("accept", "application/json")
        .json(&json!({"tracks": tracks}));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.json().await.expect("JSON")
}

const ADMIN: &str = "an-operators-token-of-some-length";

/// A pause of nearly a day is told as such, keeps nobody from logging in, and
/// ends when the operator says so.
#[tokio::test]
async fn a_pause_of_a_day_is_told_and_can_be_ended() {
    let dj = Dj::start_public(&[("admin_token", ADMIN)]).await;
    let mut browser = Browser::new(&dj);
    let asked = 79_892;
    let paused = Fault::status(429).retry_after(asked).on("/v1/search");
    dj.upstreams.spotify().push(paused);
    for _ in 0..2 {
        let (error, _) = failed_search(&mut browser).await;
        assert_eq!(error["code"], "rate_limited", "{error}");
        let millis = error["retryAfterMs"].as_u64().expect("a time");
        // It runs while the test does.
        let longest = asked * 1_000 + 1_000;
        assert!((longest - 120_000..=longest).contains(&millis), "{error}");
        assert!(words(&error).contains("22 h 1"), "{error}");
    }
    // Nobody is called meanwhile, and the accounts service has a lane of its own.
    assert_eq!(dj.upstreams.spotify().counts().started, 1);
    browser.log_in().await;
    let status: Value = reqwest::get(dj.host.url("/api/status"))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let lanes = &status["limits"]["lanes"];
    assert_eq!(lanes["spotify-accounts"]["limit"], 3, "{lanes}");
    assert!(
        lanes["spotify-accounts"]["pausedForMs"].is_null(),
        "{lanes}"
    );
    assert!(
        lanes["spotify"]["pausedForMs"].as_u64() > Some(79_000_000),
        "{lanes}"
    );

    let sweep = reqwest::Client::new().post(dj.host.url("/api/admin/sweep"));
    let swept = sweep.header("x-admin-token", ADMIN).send().await;
    let swept: Value = swept.expect("an answer").json().await.expect("JSON");
    assert_eq!(swept["pausesEnded"], 1, "{swept}");
    let prompt = json!({"message": "hello"});
    let frames = use_tool(
        &mut browser,
        &prompt,
        "search_tracks",
        json!({"query": "rain"}),
    )
    .await;
    assert_ne!(tool_end(&frames)["error"], true);
}

/// A track as Deezer has it.
fn on_deezer(artist: &str, title: &str, seconds: u64) -> Value {
    json!({"id": 7, "title": title, "title_version": "", "duration": seconds, "bpm": 123.0,
        "artist": {"name": artist}, "contributors": [{"name": artist}]})
}

/// What Deezer finds is taken only if it is the track that was asked for: by
/// ISRC, by search, and under the id that the search has given.
#[tokio::test]
async fn the_tempo_of_another_track_is_not_taken() {
    let json = |value: &Value| Fault::raw("application/json", &value.to_string());
    let asked = |title: &str, isrc: Option<&str>| json!({"title": title, "artist": "Nena Rossi", "isrc": isrc, "durationMs": 200_000});
    let (luce, two) = ("Luce", "Luce (Remix of Two)");
    let by_isrc = [
        (luce, on_deezer("Somebody", "Else", 300), false),
        (luce, on_deezer("Nena Rossi", luce, 216), false),
        (luce, on_deezer("Nena Rossi", luce, 185), true),
        (luce, on_deezer("Nena Rossi", "Light", 200), true),
        (luce, on_deezer("Somebody", luce, 200), true),
        (
            luce,
            on_deezer("Nena Rossi Tribute Band", "Light", 200),
            false,
        ),
    ];
    for (number, (title, answer, taken)) in by_isrc.into_iter().enumerate() {
        let dj = Dj::start(&[]).await;
        dj.upstreams.deezer().fault(json(&answer).on("/track/isrc"));
        dj.upstreams
            .deezer()
            .fault(json(&json!({"data": []})).on("/search"));
        let isrc = format!("ZZA23259{number:04}");
        let result = enrich(&dj, &json!([asked(title, Some(&isrc))])).await;
        assert_eq!(result["skipped"], json!([]));
        let bpm = &result["tracks"][0]["bpm"];
        assert_eq!(bpm.is_number(), taken, "{answer} {bpm}");
    }
    let remix = |of: &str| on_deezer("Nena Rossi", &format!("Luce (Remix of {of})"), 200);
    let by_name = [
        (two, remix("One"), remix("One"), false),
        (two, remix("Two"), remix("Two"), true),
        // Under the id there is something else by now.
        (two, remix("Two"), remix("One"), false),
        (luce, remix("One"), remix("One"), false),
        (
            luce,
            on_deezer("Nena Rossi Tribute Band", luce, 200),
            Value::Null,
            false,
        ),
        (
            luce,
            on_deezer("Nena Rossi", "Luce (Live)", 200),
            Value::Null,
            false,
        ),
        (luce, on_deezer("Nena Rossi", luce, 230), Value::Null, false),
        (
            "Luce - Remastered 2011",
            on_deezer("X & Nena Rossi", "Luce (feat. X)", 210),
            on_deezer("X & Nena Rossi", "Luce (feat. X)", 210),
            true,
        ),
    ];
    for (title, listed, answer, taken) in by_name {
        let dj = Dj::start(&[]).await;
        let found = json(&json!({"data": [listed], "total": 1}));
        dj.upstreams.deezer().fault(found.on("/search"));
        dj.upstreams.deezer().fault(json(&answer).on("/track/7"));
        let result = enrich(&dj, &json!([asked(title, None)])).await;
        assert_eq!(result["skipped"], json!([]), "{listed}");
        let bpm = &result["tracks"][0]["bpm"];
        assert_eq!(bpm.is_number(), taken, "{listed} {answer} {bpm}");
    }
}

/// Last.fm corrects names, now and then to those of another track.
#[tokio::test]
async fn the_tags_of_another_track_are_not_taken() {
    for (artist, title, taken) in [
        ("Nena Rossi", "Luce", true),
        ("NENA ROSSI", "Luce (feat. X)", true),
        ("Somebody", "Luce", false),
        ("Nena Rossi", "Luce e ombra", false),
        ("Nena Rossi", "Luce (Live)", false),
        ("Nena Rossi Tribute Band", "Luce", false),
        ("", "", false),
    ] {
        let dj = Dj::start(&[]).await;
        let track = json!({"track": {"name": title, "artist": {"name": artist},
            "listeners": "7", "toptags": {"tag": [{"name": "soul"}]}}});
        let answer = Fault::raw("application/json", &track.to_string());
        dj.upstreams.lastfm().fault(answer);
        let result = enrich(&dj, &json!([{"title": "Luce", "artist": "Nena Rossi"}])).await;
        let found = &result["tracks"][0];
        assert_eq!(found["listeners"] == 7, taken, "{found}");
        assert_eq!(found["tags"] == json!(["soul"]), taken, "{found}");
    }
}

/// Texts of others stand in Last.fm's JSON as they are; and what cannot be read
/// costs its own track and no other.
#[tokio::test]
async fn a_track_that_is_answered_badly_is_skipped_alone() {
    let dj = Dj::start(&[]).await;
    let raw = "{\"track\":{\"name\":\"Lu\tce\",\"artist\":{\"name\":\"Nena\nRossi\"},\
        \"listeners\":\"7\",\"toptags\":{\"tag\":[{\"name\":\"so\u{1}ul\"}]}}}";
    dj.upstreams
        .lastfm()
        .push(Fault::raw("application/json", raw));
    let result = enrich(&dj, &json!([{"title": "Lu ce", "artist": "Nena Rossi"}])).await;
    assert_eq!(result["tracks"][0]["listeners"], 7, "{result}");

    let catalogue = dj.upstreams.catalogue();
    let tracks = catalogue.tracks.iter().take(30).map(|track| {
        let artist = catalogue.artist_names(track).next().expect("an artist");
        json!({"title": track.title, "artist": artist})
    });
    let tracks = Value::from(tracks.collect::<Vec<_>>());
    for body in ["{\"track\":7}", "{\"track\":{\"name\":\"cut", "[]", "{}"] {
        for _ in 0..2 {
            dj.upstreams
                .lastfm()
                .push(Fault::raw("application/json", body));
        }
    }
    let result = enrich(&dj, &tracks).await;
    let skipped = result["skipped"].as_array().expect("a list");
    assert_eq!(skipped.len(), 8, "{skipped:?}");
    let again = enrich(&dj, &tracks).await;
    assert_eq!(again["skipped"], json!([]));
}
