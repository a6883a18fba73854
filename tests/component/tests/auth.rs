//! Connecting Spotify, over HTTP: the browser's part is played by hand.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use spinlane_component_tests::browser::{Browser, SESSION, location, tool_end, use_tool};
use spinlane_component_tests::chat::{Chat, Frame};
use spinlane_component_tests::{Dj, KEY, settled};
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::OWN_PLAYLIST;

const LOGIN: &str = "__Host-spinlane-login";

async fn whoami(browser: &mut Browser<'_>) -> Value {
    json(browser.get("/api/auth/session").await, 200).await
}

async fn json(response: Response, status: u16) -> Value {
    let (found, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn code(response: Response, status: u16) -> String {
    let problem = json(response, status).await;
    problem["code"].as_str().expect("a code").to_owned()
}

/// The session route, asked with a Bearer token.
async fn bearer(dj: &Dj, token: &str) -> Response {
    let request = Client::new().get(dj.host.url("/api/auth/session"));
    request.bearer_auth(token).send().await.expect("an answer")
}

/// A run in which the model creates a playlist.
async fn create_playlist(browser: &mut Browser<'_>) -> Vec<Frame> {
    let track = &browser.upstreams.catalogue().tracks[0].id;
    let input = json!({"name": "Rain", "trackIds": [track]});
    let prompt = json!({"message": "Make a playlist", "mode": "create"});
    use_tool(browser, &prompt, "create_playlist", input).await
}

/// The value of `name` in a URL's query.
fn part(url: &str, name: &str) -> String {
    let start = url.find(&format!("{name}=")).unwrap() + name.len() + 1;
    url[start..].split('&').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_connects_and_disconnects() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    assert_eq!(
        whoami(&mut browser).await,
        json!({"connected": false, "available": true})
    );
    let token = browser.log_in().await;
    assert!(!browser.cookies.contains_key(LOGIN));
    let who = whoami(&mut browser).await;
    assert_eq!(
        (&who["connected"], &who["name"]),
        (&true.into(), &"Sim Listener".into())
    );
    assert_eq!(json(bearer(&dj, &token).await, 200).await, who);

    let gone = browser.post("/api/auth/logout", &json!({})).await;
    assert_eq!(gone.status(), 204);
    assert!(!browser.cookies.contains_key(SESSION));
    assert_eq!(whoami(&mut browser).await["connected"], false);
    assert_eq!(
        code(bearer(&dj, &token).await, 401).await,
        "session_invalid"
    );
}

/// Whichever a request brings beside others, in the head or as cookies.
#[tokio::test]
async fn a_log_out_ends_every_session_that_it_brings() {
    let dj = Dj::start_public(&[]).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(Browser::new(&dj).log_in().await);
    }
    let [first, second, third] = &sessions[..] else {
        unreachable!("three were opened")
    };
    let request = Client::new()
        .post(dj.host.url("/api/auth/logout"))
        .header("origin", dj.origin())
        .header("authorization", "Bearer x")
        .header("authorization", format!("Bearer {first}"))
        .header("cookie", format!("{SESSION}={second}; {SESSION}={third}"));
    assert_eq!(request.send().await.unwrap().status(), 204);
    for session in &sessions {
        assert_eq!(
            code(bearer(&dj, session).await, 401).await,
            "session_invalid"
        );
    }
}

#[tokio::test]
async fn refusals_and_forgeries_open_nothing() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    let back = browser.consent("/api/auth/login", "cancel").await;
    assert!(back.contains("error=access_denied"), "{back}");
    assert_eq!(code(browser.get(&back).await, 403).await, "login_denied");

    // A state that is not this browser's.
    let mut other = Browser::new(&dj);
    let theirs = other.consent("/api/auth/login", "agree").await;
    browser.consent("/api/auth/login", "agree").await;
    assert_eq!(code(browser.get(&theirs).await, 400).await, "login_state");

    // The same callback twice, and its code in another login.
    let back = browser.consent("/api/auth/login", "agree").await;
    assert_eq!(location(&browser.get(&back).await), "/");
    assert_eq!(code(browser.get(&back).await, 400).await, "login_state");
    let again = browser.consent("/api/auth/login", "agree").await;
    let replayed = again.replace(&part(&again, "code"), &part(&back, "code"));
    assert_eq!(code(browser.get(&replayed).await, 400).await, "login_code");
    assert_eq!(
        whoami(&mut browser).await["connected"],
        true,
        "the first login holds"
    );
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    let token = browser.log_in().await;
    let mut forged = token.clone();
    forged.replace_range(..1, if token.starts_with('A') { "B" } else { "A" });
    for bad in [forged.as_str(), &token[..token.len() - 1], "x"] {
        let refused = bearer(&dj, bad).await;
        assert!(refused.headers().contains_key("www-authenticate"));
        assert_eq!(code(refused, 401).await, "session_invalid");
        // As a cookie it is as good as none, and the browser forgets it.
        browser.cookies.insert(SESSION.into(), bad.into());
        assert_eq!(whoami(&mut browser).await["connected"], false);
        assert!(!browser.cookies.contains_key(SESSION));
    }
    let prompt = json!({"message": "hello", "mode": "create"});
    let refused = browser.post("/api/chat-stream/message", &prompt).await;
    assert_eq!(code(refused, 401).await, "session_required");
    assert_eq!(dj.upstreams.anthropic().counts().started, 0);
    // Not used for an hour.
    dj.host.advance_wall_clock(Duration::from_secs(3_601));
    assert_eq!(
        code(bearer(&dj, &token).await, 401).await,
        "session_expired"
    );
}

#[tokio::test]
async fn an_expired_access_token_is_renewed_and_kept() {
    let dj = Dj::start_public(&[]).await;
    dj.upstreams.tokens().rotate(true);
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let accounts = dj.upstreams.spotify_accounts();
    let before = accounts.counts().started;
    let renewals = || accounts.counts().started - before;
    create_playlist(&mut browser).await;
    assert_eq!(renewals(), 0);

    // Refused before its time: found out by a 401.
    dj.upstreams.tokens().expire_all();
    let frames = create_playlist(&mut browser).await;
    let ended = tool_end(&frames);
    assert_ne!(ended["error"], true, "{ended}");
    assert_eq!(renewals(), 1);
    // Another instance finds the new one.
    create_playlist(&mut browser).await;
    assert_eq!(renewals(), 1);

    // Within a minute of its end: found out beforehand. The session, which ends
    // an hour after its record was written, is good for that minute.
    dj.host.advance_wall_clock(Duration::from_secs(3_541));
    create_playlist(&mut browser).await;
    assert_eq!(renewals(), 2);

    // Withdrawn at Spotify: the session ends.
    dj.upstreams.tokens().revoke_all();
    let frames = create_playlist(&mut browser).await;
    let ended = tool_end(&frames);
    assert_eq!(ended["error"], true, "{ended}");
    assert_eq!(whoami(&mut browser).await["connected"], false);
}

/// What the model asks for is done in the user's account: a new playlist, and
/// each kind of change to it.
#[tokio::test]
async fn a_playlist_is_made_and_changed_as_the_model_asks() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let playlists = dj.upstreams.playlists();
    let tracks = &dj.upstreams.catalogue().tracks;
    let ids = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|n| tracks[*n].id.clone()).collect()
    };

    let known = playlists.ids();
    let prompt = json!({"message": "Make a playlist", "mode": "create"});
    let input = json!({"name": "Rain", "trackIds": ids(&[2, 0, 1])});
    let frames = use_tool(&mut browser, &prompt, "create_playlist", input).await;
    let made = tool_end(&frames);
    let id = made["result"]["playlistId"].as_str();
    let id = id.unwrap_or_else(|| panic!("{made}"));
    assert!(!known.iter().any(|known| known == id), "{made}");
    assert_eq!(playlists.name(id).as_deref(), Some("Rain"));
    assert_eq!(playlists.tracks(id), Some(ids(&[2, 0, 1])));

    let prompt = json!({"message": "Change it", "mode": "edit", "playlistId": id});
    let add = json!({"action": "add", "trackIds": ids(&[3, 4]), "position": 1});
    let reorder = json!({"action": "reorder", "rangeStart": 0, "insertBefore": 5});
    let remove = json!({"action": "remove", "trackIds": ids(&[0, 4])});
    let rename = json!({"action": "rename", "name": "Dusk"});
    for (mut input, expected) in [
        (add, &[2, 3, 4, 0, 1][..]),
        (reorder, &[3, 4, 0, 1, 2]),
        (remove, &[3, 1, 2]),
        (rename, &[3, 1, 2]),
    ] {
        input["playlistId"] = id.into();
        let frames = use_tool(&mut browser, &prompt, "modify_playlist", input).await;
        let ended = tool_end(&frames);
        assert_ne!(ended["error"], true, "{ended}");
        assert_eq!(playlists.tracks(id), Some(ids(expected)), "{ended}");
    }
    assert_eq!(playlists.name(id).as_deref(), Some("Dusk"));

    // Places are those that the model has seen, whatever others have done since.
    let anthropic = dj.upstreams.anthropic();
    anthropic.reset();
    let read = json!({"playlistId": id});
    anthropic.push(Script::tools().use_tool("get_playlist_tracks", read));
    let last = json!({"playlistId": id, "action": "reorder", "rangeStart": 2, "insertBefore": 1});
    let moves = Script::tools().use_tool("modify_playlist", last);
    anthropic.push(moves.head_delay(Duration::from_secs(1)));
    anthropic.push(Script::text(["Done."]));
    let response = browser.post("/api/chat-stream/message", &prompt).await;
    let mut chat = Chat::read(response);
    chat.next_of("tool_end").await;
    playlists.rotate(id);
    assert_eq!(playlists.tracks(id), Some(ids(&[1, 2, 3])));
    let ended = chat.next_of("tool_end").await.data;
    assert_ne!(ended["error"], true, "{ended}");
    assert_eq!(playlists.tracks(id), Some(ids(&[2, 1, 3])), "2 before 1");

    // Another of the user's playlists than the one that is open stays as it is.
    let before = playlists.tracks(OWN_PLAYLIST);
    let input = json!({"playlistId": OWN_PLAYLIST, "action": "remove",
        "trackIds": before.clone().expect("it is there")});
    let frames = use_tool(&mut browser, &prompt, "modify_playlist", input).await;
    assert_eq!(tool_end(&frames)["error"], true);
    assert_eq!(playlists.tracks(OWN_PLAYLIST), before);
}

#[tokio::test]
async fn a_page_on_another_origin_gets_a_token_for_a_code() {
    let frontend = ("frontend_url", "http://127.0.0.1:9");
    let dj = Dj::start_public(&[frontend, ("log_level", "trace")]).await;
    let mut browser = Browser::new(&dj);
    let back = browser.consent("/api/auth/login?state=abc", "agree").await;
    let page = location(&browser.get(&back).await);
    let fragment = page
        .strip_prefix("http://127.0.0.1:9/#auth_code=")
        .expect("the page");
    let one_time = fragment.strip_suffix("&state=abc").expect("the state");
    assert!(browser.cookies.is_empty());
    let body = json!({"code": one_time});
    let attempts = (0..10).map(|_| {
        let request = reqwest::Client::new().post(dj.host.url("/api/auth/token"));
        request.json(&body).send()
    });
    let answers = futures::future::try_join_all(attempts)
        .await
        .expect("answers");
    let (good, bad): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status() == 200);
    assert_eq!((good.len(), bad.len()), (1, 9), "a code is good once");
    for answer in bad {
        assert_eq!(code(answer, 400).await, "login_code");
    }
    let answer: Value = good.into_iter().next().unwrap().json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    assert_eq!(json(bearer(&dj, token).await, 200).await["connected"], true);
    settled(&dj.host).await;
    let mut secrets = dj.upstreams.tokens().secrets();
    secrets.extend([one_time.to_owned(), token.to_owned()]);
    given_away_nowhere(&dj, &secrets);
}

/// Nothing that opens an account is in the log, at its most talkative, or in
/// the store.
fn given_away_nowhere(dj: &Dj, secrets: &[String]) {
    let lines = dj.host.logs();
    assert!(lines.iter().any(|line| line.contains("/api/auth/callback")));
    let stored = dj.host.store().dump();
    assert!(stored.keys().any(|key| key.starts_with("session:")));
    let stored = stored
        .into_iter()
        .map(|(key, value)| format!("{key} {}", String::from_utf8_lossy(&value)));
    for text in stored.chain(lines) {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

/// From the login to the logout: what the browser keeps meanwhile, what it is
/// sent with, what Spotify gives, the renewal of that, and sessions that are
/// none.
#[tokio::test]
async fn neither_store_nor_log_gives_a_session_away() {
    let dj = Dj::start_public(&[("log_level", "trace")]).await;
    dj.upstreams.tokens().rotate(true);
    let mut browser = Browser::new(&dj);
    let login = location(&browser.get("/api/auth/login").await);
    let abandoned = browser.cookies[LOGIN].clone();
    let back = browser.consent("/api/auth/login", "agree").await;
    let under_way = browser.cookies[LOGIN].clone();
    assert_eq!(location(&browser.get(&back).await), "/");
    let session = browser.session();
    create_playlist(&mut browser).await;
    dj.upstreams.tokens().expire_all();
    create_playlist(&mut browser).await;
    assert_eq!(
        json(bearer(&dj, &session).await, 200).await["connected"],
        true
    );
    // The code and the cookie once more, where they are worth nothing.
    browser.cookies.insert(LOGIN.into(), under_way.clone());
    assert_eq!(code(browser.get(&back).await, 400).await, "login_code");
    settled(&dj.host).await;
    let mut secrets = dj.upstreams.tokens().secrets();
    // The application's token, the user's two, twice, the code, the verifier.
    assert!(secrets.len() >= 7, "{}", secrets.len());
    secrets.extend([
        session.clone(),
        abandoned,
        under_way,
        KEY.to_owned(),
        part(&login, "state"),
        part(&back, "state"),
        part(&back, "code"),
    ]);
    given_away_nowhere(&dj, &secrets);

    browser.post("/api/auth/logout", &json!({})).await;
    assert_eq!(
        code(bearer(&dj, &session).await, 401).await,
        "session_invalid"
    );
    browser.cookies.insert(SESSION.into(), session);
    assert_eq!(whoami(&mut browser).await["connected"], false);
    settled(&dj.host).await;
    let log = dj.host.logs().join("\n");
    for secret in &secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
