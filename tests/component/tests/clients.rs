//! What real clients send: browsers, proxies, stream readers, editors.

use reqwest::header::HeaderValue;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use spinlane_component_tests::browser::{Browser, SESSION, tool_end, use_tool};
use spinlane_component_tests::chat::{Chat, last};
use spinlane_component_tests::{Dj, settled};
use spinlane_upstreams::catalogue::{DEMO_PLAYLIST, OWN_PLAYLIST};

const CHAT: &str = "/api/chat-stream/message";
const ENRICH: &str = "/api/enrich";
const TRACKS: &str = r#"{"tracks":[{"title":"a","artist":"b"}]}"#;

fn request(dj: &Dj, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, dj.host.url(path))
}

/// Sends bytes as they are.
fn post(dj: &Dj, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = request(dj, Method::POST, path);
    request
        .header("content-type", "application/json")
        .body(body)
}

async fn problem(request: RequestBuilder, status: u16) -> Value {
    let response = request.send().await.expect("an answer");
    let (found, text) = (response.status(), response.text().await.unwrap_or_default());
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Reads an answer's stream to its good end.
async fn whole(request: RequestBuilder) {
    let response = request.send().await.expect("an answer");
    let frames = Chat::read(response).rest().await;
    assert_eq!(last(&frames), ("done", &Value::Null));
}

/// Nobody was called upstream.
fn nothing_was_run(dj: &Dj) {
    assert_eq!(dj.upstreams.anthropic().counts().started, 0);
    assert_eq!(dj.upstreams.deezer().counts().started, 0);
}

#[tokio::test]
async fn foreign_cookies_hide_nothing() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    // Before and after ours in the header.
    browser.cookies.insert("A".into(), "café".into());
    browser.cookies.insert("utm".into(), "på".into());
    let session = browser.log_in().await;
    let connected = async |pairs: &[&[u8]]| {
        let request = request(&dj, Method::GET, "/api/auth/session");
        let fields = pairs.iter().map(|pair| HeaderValue::from_bytes(pair));
        let request = fields.fold(request, |request, field| {
            request.header("cookie", field.expect("a field"))
        });
        problem(request, 200).await["connected"] == true
    };
    let ours = format!("{SESSION}={session}");
    let ours = ours.as_bytes();
    for foreign in [
        &b"utm=p\xc3\xa5"[..],
        b"utm=p\xe5",
        b"\xff\xfe=\x80",
        b"caf\xe9",
        b"a=b; ; =; c",
    ] {
        assert!(connected(&[&[foreign, ours].join(&b"; "[..])]).await);
        assert!(connected(&[&[ours, foreign].join(&b";"[..])]).await);
        assert!(connected(&[foreign, ours]).await, "{foreign:?}");
        assert!(!connected(&[foreign]).await);
    }
}

#[tokio::test]
async fn a_client_that_reconnects_by_itself_runs_nothing_again() {
    let dj = Dj::start(&[]).await;
    let prompt = r#"{"message":"hello"}"#;
    for (path, body) in [(CHAT, prompt), (ENRICH, TRACKS)] {
        for id in [&b"7"[..], b"0", b"abc", b"p\xe5", b" 7 "] {
            let id = HeaderValue::from_bytes(id).expect("a field");
            let request = post(&dj, path, body).header("last-event-id", id);
            let problem = problem(request, 409).await;
            assert_eq!(problem["code"], "not_resumable");
            let detail = problem["detail"].as_str().expect("words");
            assert!(detail.contains("without the header"), "{detail}");
            let named = detail.contains("GET /api/chat-stream/{run}");
            assert_eq!(named, path == CHAT, "{detail}");
        }
    }
    nothing_was_run(&dj);
    for (path, body) in [(CHAT, prompt), (ENRICH, TRACKS)] {
        whole(post(&dj, path, body).header("last-event-id", "")).await;
    }
    settled(&dj.host).await;
}

#[tokio::test]
async fn bodies_as_editors_and_libraries_write_them_are_read() {
    let dj = Dj::start(&[]).await;
    let nulls = json!({"message": "hello", "conversationHistory": null, "mode": null,
        "playlistId": null, "debug": null, "somethingElse": null});
    let tracks = json!({"tracks": [{"title": "a", "artist": "b", "id": null, "isrc": null,
        "durationMs": null}], "debug": null});
    for (path, body) in [
        (CHAT, nulls.to_string()),
        (ENRICH, tracks.to_string()),
        (CHAT, "\u{feff}{\"message\":\"hello\"}".to_owned()),
        (ENRICH, format!("\u{feff}{TRACKS}")),
    ] {
        whole(post(&dj, path, body)).await;
    }
    for (field, named) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("identity, zstd", "zstd"),
        ("X-GZIP", "X-GZIP"),
    ] {
        for path in [CHAT, ENRICH, "/api/auth/token"] {
            let request = post(&dj, path, &b"\x1f\x8b\x08\x00"[..]);
            let problem = problem(request.header("content-encoding", field), 415).await;
            assert_eq!(problem["code"], "unsupported_media_type");
            let detail = problem["detail"].as_str().expect("words");
            assert!(detail.contains(named), "{detail}");
        }
    }
    let plain = post(&dj, ENRICH, TRACKS).header("content-encoding", "identity");
    whole(plain).await;
}

async fn preflight(dj: &Dj, origin: &str, fields: &str) -> Response {
    let request = request(dj, Method::OPTIONS, CHAT)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", fields);
    request.send().await.expect("an answer")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

const FRONTEND: &str = "https://dj.example";

#[tokio::test]
async fn a_page_may_send_what_it_asks_for_where_it_may_ask() {
    let all = "authorization,baggage,cache-control,content-type,idempotency-key,last-event-id,\
        sentry-trace,x-datadog-trace-id";
    let anybody = Dj::start(&[]).await;
    let one = Dj::start(&[("frontend_url", FRONTEND)]).await;
    for (dj, origin, allowed) in [
        (&anybody, "https://any.example", "*"),
        (&one, FRONTEND, FRONTEND),
        (&one, "https://evil.example", ""),
    ] {
        for fields in [all, "content-type", "x-whatever"] {
            let answer = preflight(dj, origin, fields).await;
            assert!(answer.status().is_success());
            assert_eq!(header(&answer, "access-control-allow-origin"), allowed);
            assert_eq!(header(&answer, "access-control-allow-headers"), fields);
        }
    }
}

#[tokio::test]
async fn a_page_learns_that_its_own_origin_is_malformed() {
    for frontend in ["dj.example", "https://dj.example/page", "https://a b"] {
        let dj = Dj::start(&[("frontend_url", frontend)]).await;
        let asked = preflight(&dj, FRONTEND, "content-type").await;
        assert_eq!(header(&asked, "access-control-allow-origin"), "*");
        let request = post(&dj, CHAT, r#"{"message":"hello"}"#).header("origin", FRONTEND);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 503);
        assert_eq!(header(&answer, "access-control-allow-origin"), "*");
        assert_eq!(header(&answer, "access-control-allow-credentials"), "");
        let problem: Value = answer.json().await.expect("JSON");
        assert_eq!(problem["code"], "misconfigured");
        assert_eq!(problem["context"]["variables"], json!(["frontend_url"]));
        nothing_was_run(&dj);
    }
}

/// The tools that the model was given in the newest run.
fn tools(dj: &Dj) -> Vec<String> {
    let calls = dj.upstreams.anthropic().calls();
    let tools = calls[0].request["tools"].as_array().expect("tools");
    let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
    tools.iter().map(name).collect()
}

/// Every form of a playlist's name is that playlist: it is told to the model as
/// its id, and it alone can be changed.
#[tokio::test]
async fn a_playlist_is_read_at_the_door_in_all_its_forms() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let rename = |name: &str| json!({"playlistId": OWN_PLAYLIST, "action": "rename", "name": name});
    let forms = [
        "ID",
        " ID ",
        "spotify:playlist:ID?si=1",
        "Spotify:user:me:playlist:ID",
        "Https://open.spotify.com/playlist/ID",
        "https://OPEN.spotify.com/intl-de/playlist/ID?si=a&pt=b#c",
        "https://open.spotify.com/embed/playlist/ID?utm_source=generator",
        "http://play.spotify.com/user/me/playlist/ID",
    ];
    for (number, form) in forms.iter().enumerate() {
        let form = form.replace("ID", OWN_PLAYLIST);
        let link = !form.trim().starts_with(OWN_PLAYLIST);
        let by_field = json!({"message": "Rename it", "mode": "edit", "playlistId": form});
        let by_message = json!({"message": format!("Rename ({form}), please"), "mode": "edit",
            "playlistId": ""});
        for prompt in [Some(by_field), link.then_some(by_message)]
            .into_iter()
            .flatten()
        {
            let name = format!("Name {number}");
            let frames = use_tool(&mut browser, &prompt, "modify_playlist", rename(&name)).await;
            assert_ne!(tool_end(&frames)["error"], true, "{form}");
            let named = dj.upstreams.playlists().name(OWN_PLAYLIST);
            assert_eq!(named, Some(name), "{form}");
            let asked = dj.upstreams.anthropic().calls()[0].request["messages"].to_string();
            let told = format!("(Playlist: {OWN_PLAYLIST})");
            assert!(asked.contains(&told), "{asked}");
        }
    }
    // Another one than the one that is named stays as it is.
    let prompt = json!({"message": format!("Rename spotify:playlist:{DEMO_PLAYLIST}"),
        "mode": "edit"});
    let frames = use_tool(&mut browser, &prompt, "modify_playlist", rename("Stolen")).await;
    assert_eq!(tool_end(&frames)["error"], true);
    assert_ne!(
        dj.upstreams.playlists().name(OWN_PLAYLIST).as_deref(),
        Some("Stolen")
    );
}

#[tokio::test]
async fn without_a_playlist_nothing_can_be_changed() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let before = dj.upstreams.playlists().name(OWN_PLAYLIST);
    let rename = json!({"playlistId": OWN_PLAYLIST, "action": "rename", "name": "Stolen"});
    let two = format!("From spotify:playlist:{OWN_PLAYLIST} to spotify:playlist:{DEMO_PLAYLIST}");
    for (message, field) in [
        ("Make it calmer", Value::Null),
        ("Make it calmer", "".into()),
        ("Make it calmer", "  ".into()),
        (two.as_str(), Value::Null),
        (
            "Make spotify:track:37i9dQZF1DXsimulated01 louder",
            Value::Null,
        ),
    ] {
        let prompt = json!({"message": message, "mode": "edit", "playlistId": field});
        let frames = use_tool(&mut browser, &prompt, "modify_playlist", rename.clone()).await;
        assert_eq!(tool_end(&frames)["error"], true, "{message}");
        assert!(!tools(&dj).contains(&"modify_playlist".to_owned()));
        let asked = &dj.upstreams.anthropic().calls()[0].request["system"];
        assert!(asked.to_string().contains("has not said which"), "{asked}");
    }
    assert_eq!(dj.upstreams.playlists().name(OWN_PLAYLIST), before);
}

#[tokio::test]
async fn what_names_no_playlist_is_refused_by_name() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let short = "https://spotify.link/4hUj8cVwfLb";
    let field = |playlist: &str| json!({"message": "hello", "playlistId": playlist});
    let edit = |message: &str| json!({"message": message, "mode": "edit"});
    for (prompt, pointer, words) in [
        (field(short), "/playlistId", "shortened"),
        (field("Spotify.link/x?y"), "/playlistId", "shortened"),
        (field("my list"), "/playlistId", "no playlist"),
        (
            field("https://evil.example/playlist/x"),
            "/playlistId",
            "no playlist",
        ),
        (
            field("spotify:track:37i9dQZF1DXsimulated01"),
            "/playlistId",
            "no playlist",
        ),
        (field("37i9dQZF1DXsimulated0"), "/playlistId", "no playlist"),
        (
            field(&format!("{DEMO_PLAYLIST}\n{OWN_PLAYLIST}")),
            "/playlistId",
            "no playlist",
        ),
        (
            edit(&format!("Make {short} calmer")),
            "/message",
            "shortened",
        ),
    ] {
        let answer = browser.post(CHAT, &prompt).await;
        assert_eq!(answer.status(), 422, "{prompt}");
        let problem: Value = answer.json().await.expect("JSON");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        let message = problem["errors"][0]["message"].as_str().expect("words");
        assert!(message.contains(words), "{message}");
    }
    nothing_was_run(&dj);
}
