//! The Web API as a client sees it.

mod accounts;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::catalogue::{
    DEMO_PLAYLIST, EMPTY_PLAYLIST, LONG_PLAYLIST, MIXED_PLAYLIST, OWN_PLAYLIST, USER,
};
use crate::{Fault, Options, Upstreams};

const SCOPES: [&str; 2] = ["playlist-modify-public", "playlist-read-private"];

async fn upstreams() -> Upstreams {
    Upstreams::start(Options::default()).await.unwrap()
}

/// A caller of the Web API.
struct Caller<'a> {
    upstreams: &'a Upstreams,
    token: String,
}

impl<'a> Caller<'a> {
    fn user(upstreams: &'a Upstreams) -> Self {
        let token = upstreams.tokens().user("app", &SCOPES).access_token;
        Self { upstreams, token }
    }

    async fn app(upstreams: &'a Upstreams) -> Self {
        let (status, granted) = token(upstreams, &[("grant_type", "client_credentials")]).await;
        assert_eq!(status, 200, "{granted}");
        assert_eq!(granted["expires_in"], 3600);
        assert_eq!(granted.get("refresh_token"), None);
        let token = granted["access_token"].as_str().unwrap().to_owned();
        Self { upstreams, token }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.upstreams.spotify().origin()),
        };
        let mut request = reqwest::Client::new()
            .request(method, url)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, document) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {document}");
        document
    }

    async fn refused(&self, path: &str) -> (u16, String) {
        let (status, document) = self.call(Method::GET, path, None).await;
        assert_eq!(document["error"]["status"], status.as_u16());
        let message = document["error"]["message"].as_str().unwrap_or_default();
        (status.as_u16(), message.to_owned())
    }
}

/// Asks the accounts service as the client `app`.
async fn token(upstreams: &Upstreams, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let response = reqwest::Client::new()
        .post(format!(
            "{}/api/token",
            upstreams.spotify_accounts().origin()
        ))
        .basic_auth("app", Some("secret"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(crate::params::encode(form.iter().copied()))
        .send()
        .await
        .unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_search_goes_on_from_page_to_page() {
    let upstreams = upstreams().await;
    let caller = Caller::app(&upstreams).await;
    let mut next = "/v1/search?q=genre%3A%22hip+hop%22&type=track&limit=20".to_owned();
    let mut ids = Vec::new();
    let mut pages = 0;
    loop {
        let page = caller.get(&next).await["tracks"].take();
        let items = page["items"].as_array().unwrap();
        ids.extend(
            items
                .iter()
                .map(|track| track["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        assert_eq!(page["total"], 45);
        assert_eq!(page["previous"].is_null(), pages == 1);
        match page["next"].as_str() {
            Some(href) => next = href.to_owned(),
            None => break,
        }
    }
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!((pages, ids.len(), distinct.len()), (3, 45, 45));

    let both = caller
        .get("/v1/search?q=jazz&type=track,artist&limit=2")
        .await;
    assert_eq!(both["artists"]["items"][0]["type"], "artist");
    assert_eq!(
        caller.get("/v1/search?q=zzzqx&type=track").await["tracks"]["total"],
        0
    );
    for (query, message) in [
        ("type=track", "No search query"),
        ("q=x", "Missing parameter type"),
        ("q=x&type=track&limit=51", "Invalid limit"),
        ("q=x&type=track&limit=0", "Invalid limit"),
        ("q=x&type=track&limit=50&offset=960", "Invalid offset"),
        (
            "q=x&type=track&offset=18446744073709551615",
            "Invalid offset",
        ),
        ("q=x&type=song", "Bad search type field song"),
    ] {
        let refused = caller.refused(&format!("/v1/search?{query}")).await;
        assert_eq!(refused, (400, message.to_owned()));
    }
}

#[tokio::test]
async fn songs_and_artists_come_by_identifier() {
    let upstreams = upstreams().await;
    let caller = Caller::app(&upstreams).await;
    let track = &upstreams.catalogue().tracks[0];
    let artist = &upstreams.catalogue().artists[track.artists[0]];
    let found = caller.get(&format!("/v1/tracks/{}", track.id)).await;
    assert_eq!(found["name"], track.title);
    assert_eq!(
        found["external_ids"]["isrc"].as_str(),
        track.isrc.as_deref()
    );
    assert_eq!(found["artists"][0]["id"], artist.id);
    let found = caller.get(&format!("/v1/artists/{}", artist.id)).await;
    assert_eq!(found["genres"], json!(artist.genres));

    let unknown = "0000000000000000000000";
    let several = caller
        .get(&format!("/v1/tracks?ids={},{unknown}", track.id))
        .await;
    assert_eq!(several["tracks"][0]["id"], track.id);
    assert_eq!(several["tracks"][1], Value::Null);
    assert_eq!(
        caller.refused(&format!("/v1/tracks/{unknown}")).await.0,
        404
    );
    assert_eq!(
        caller.refused("/v1/tracks/x").await,
        (400, "Invalid base62 id".into())
    );
    let many = vec![unknown; 51].join(",");
    assert_eq!(
        caller.refused(&format!("/v1/artists?ids={many}")).await.0,
        400
    );
    // Closed to new applications.
    assert_eq!(
        caller
            .refused(&format!("/v1/audio-features/{}", track.id))
            .await
            .0,
        403
    );
    assert_eq!(
        caller
            .refused("/v1/recommendations?seed_genres=jazz")
            .await
            .0,
        404
    );
    let (status, _) = caller
        .call(
            Method::GET,
            found["images"][0]["url"].as_str().unwrap(),
            None,
        )
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_playlist_is_read_in_parts() {
    let upstreams = upstreams().await;
    let caller = Caller::app(&upstreams).await;
    let list = caller.get(&format!("/v1/playlists/{DEMO_PLAYLIST}")).await;
    assert_eq!(list["tracks"]["total"], 42);
    assert_eq!(
        list["tracks"]["items"][0]["track"]["id"],
        list["items"]["items"][0]["item"]["id"]
    );
    let mut next = format!("/v1/playlists/{LONG_PLAYLIST}/tracks?limit=100");
    let mut seen = 0;
    loop {
        let page = caller.get(&next).await;
        seen += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(href) => next = href.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 520);
    let mixed = caller
        .get(&format!("/v1/playlists/{MIXED_PLAYLIST}/items"))
        .await;
    let items = mixed["items"].as_array().unwrap();
    assert!(
        items
            .iter()
            .any(|entry| entry["is_local"] == true && entry["track"]["id"].is_null())
    );
    assert!(items.iter().any(|entry| entry["track"].is_null()));
    assert!(
        items
            .iter()
            .any(|entry| entry["track"]["type"] == "episode")
    );
    let empty = caller
        .get(&format!("/v1/playlists/{EMPTY_PLAYLIST}/tracks"))
        .await;
    assert_eq!(empty["items"], json!([]));
    let beyond = caller
        .get(&format!(
            "/v1/playlists/{DEMO_PLAYLIST}/items?offset=18446744073709551615"
        ))
        .await;
    assert_eq!(
        (&beyond["items"], &beyond["next"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!(
        caller
            .refused("/v1/playlists/0000000000000000000000")
            .await
            .0,
        404
    );
    assert_eq!(
        caller
            .refused(&format!("/v1/playlists/{DEMO_PLAYLIST}/items?limit=51"))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn a_user_makes_and_changes_a_playlist() {
    let upstreams = upstreams().await;
    let caller = Caller::user(&upstreams);
    assert_eq!(caller.get("/v1/me").await["id"], USER);
    let make = json!({"name": "Night & Day", "description": "d"});
    let (status, list) = caller
        .call(Method::POST, "/v1/me/playlists", Some(make))
        .await;
    assert_eq!(
        (status.as_u16(), &list["name"]),
        (201, &json!("Night & Day"))
    );
    let id = list["id"].as_str().unwrap();
    let tracks = &upstreams.catalogue().tracks;
    let uri = |n: usize| format!("spotify:track:{}", tracks[n].id);
    let items = format!("/v1/playlists/{id}/items");
    let change = async |method: Method, body: Value| -> (u16, String) {
        let (status, answer) = caller.call(method, &items, Some(body)).await;
        let snapshot = answer["snapshot_id"].as_str().unwrap_or_default();
        (status.as_u16(), snapshot.to_owned())
    };
    let order = |numbers: &[usize]| {
        let ids: Vec<String> = numbers.iter().map(|n| tracks[*n].id.clone()).collect();
        assert_eq!(upstreams.playlists().tracks(id).unwrap(), ids);
    };
    let (status, first) = change(Method::POST, json!({"uris": [uri(0), uri(1), uri(2)]})).await;
    assert_eq!(status, 201);
    let (_, second) = change(Method::POST, json!({"uris": [uri(3)], "position": 0})).await;
    assert_ne!(first, second);
    order(&[3, 0, 1, 2]);
    change(Method::PUT, json!({"range_start": 0, "insert_before": 4})).await;
    order(&[0, 1, 2, 3]);
    change(
        Method::PUT,
        json!({"range_start": 2, "insert_before": 0, "range_length": 2}),
    )
    .await;
    order(&[2, 3, 0, 1]);
    change(Method::DELETE, json!({"items": [{"uri": uri(3)}]})).await;
    order(&[2, 0, 1]);
    change(Method::PUT, json!({"uris": [uri(5)]})).await;
    order(&[5]);
    for (method, body) in [
        (Method::POST, json!({"uris": ["spotify:track:nope"]})),
        (Method::POST, json!({"uris": [uri(1)], "position": 9})),
        (Method::PUT, json!({"range_start": 1, "insert_before": 0})),
        (Method::DELETE, json!({})),
    ] {
        assert_eq!(change(method, body).await.0, 400);
    }
    let rename = json!({"name": "Dusk"});
    let (status, _) = caller
        .call(Method::PUT, &format!("/v1/playlists/{id}"), Some(rename))
        .await;
    assert_eq!(
        (status.as_u16(), upstreams.playlists().name(id)),
        (200, Some("Dusk".into()))
    );
    let mine = caller.get("/v1/me/playlists").await;
    assert_eq!(mine["total"], 4);
}

#[tokio::test]
async fn a_new_playlist_is_none_that_was_there() {
    let upstreams = upstreams().await;
    let caller = Caller::user(&upstreams);
    let make = async || {
        let body = Some(json!({"name": "New"}));
        let made = caller.call(Method::POST, "/v1/me/playlists", body).await;
        made.1["id"].as_str().unwrap().to_owned()
    };
    let first = make().await;
    let delete = format!("/v1/playlists/{OWN_PLAYLIST}/followers");
    let (status, _) = caller.call(Method::DELETE, &delete, None).await;
    assert_eq!(
        (status.as_u16(), upstreams.playlists().name(OWN_PLAYLIST)),
        (200, None)
    );
    assert_ne!(make().await, first);
}

#[tokio::test]
async fn nobody_does_what_was_not_granted() {
    let upstreams = upstreams().await;
    let items = format!("/v1/playlists/{OWN_PLAYLIST}/items");
    let uri = format!("spotify:track:{}", upstreams.catalogue().tracks[0].id);
    let add = json!({"uris": [uri]});
    let app = Caller::app(&upstreams).await;
    let (status, _) = app.call(Method::POST, &items, Some(add.clone())).await;
    assert_eq!((status.as_u16(), app.refused("/v1/me").await.0), (401, 401));
    let token = upstreams
        .tokens()
        .user("app", &["user-read-private"])
        .access_token;
    let reader = Caller {
        upstreams: &upstreams,
        token,
    };
    let (status, answer) = reader.call(Method::POST, &items, Some(add.clone())).await;
    assert_eq!(status, 403);
    assert_eq!(answer["error"]["message"], "Insufficient client scope");
    let user = Caller::user(&upstreams);
    let foreign = format!("/v1/playlists/{DEMO_PLAYLIST}/items");
    let (status, _) = user.call(Method::POST, &foreign, Some(add)).await;
    assert_eq!(status, 403);

    let wrong = Caller {
        upstreams: &upstreams,
        token: "BQwrong".into(),
    };
    assert_eq!(
        wrong.refused("/v1/me").await,
        (401, "Invalid access token".into())
    );
    upstreams.tokens().expire_all();
    assert_eq!(
        user.refused("/v1/me").await,
        (401, "The access token expired".into())
    );
    let bare = reqwest::get(format!("{}/v1/me", upstreams.spotify().origin()))
        .await
        .unwrap();
    assert_eq!(bare.status(), 401);
    assert!(
        bare.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer ")
    );
}

#[tokio::test]
async fn development_mode_has_fewer_routes_and_fields() {
    let upstreams = upstreams().await;
    upstreams.spotify_development_mode(true);
    let user = Caller::user(&upstreams);
    let id = &upstreams.catalogue().tracks[0].id;
    assert_eq!(
        user.get(&format!("/v1/tracks/{id}"))
            .await
            .get("popularity"),
        None
    );
    assert_eq!(user.refused(&format!("/v1/tracks?ids={id}")).await.0, 403);
    assert_eq!(
        user.refused(&format!("/v1/playlists/{OWN_PLAYLIST}/tracks"))
            .await
            .0,
        403
    );
    assert_eq!(
        user.refused(&format!("/v1/playlists/{DEMO_PLAYLIST}/items"))
            .await
            .0,
        403
    );
    assert_eq!(
        user.refused("/v1/search?q=rain&type=track&limit=11")
            .await
            .0,
        400
    );
    let own = user.get(&format!("/v1/playlists/{OWN_PLAYLIST}")).await;
    assert_eq!(
        (own.get("tracks"), &own["items"]["total"]),
        (None, &json!(12))
    );
    let foreign = user.get(&format!("/v1/playlists/{DEMO_PLAYLIST}")).await;
    assert_eq!(foreign.get("items"), None);
}

#[tokio::test]
async fn faults_speak_as_the_service_does() {
    let upstreams = upstreams().await;
    let caller = Caller::app(&upstreams).await;
    let spotify = upstreams.spotify();
    spotify.push(Fault::status(429).retry_after(2).on("/v1/search"));
    let id = &upstreams.catalogue().tracks[0].id;
    caller.get(&format!("/v1/tracks/{id}")).await;
    let response = reqwest::Client::new()
        .get(format!("{}/v1/search?q=x&type=track", spotify.origin()))
        .bearer_auth(&caller.token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"]
        ),
        (429, &"2".parse().unwrap())
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["message"], "API rate limit exceeded");
    caller.get("/v1/search?q=x&type=track").await;
    let calls = spotify.calls();
    assert_eq!(
        calls.iter().map(|call| call.status).collect::<Vec<_>>(),
        [Some(200), Some(429), Some(200)]
    );
    upstreams.spotify_accounts().fault(Fault::status(503));
    let (status, answer) = token(&upstreams, &[("grant_type", "client_credentials")]).await;
    assert_eq!(
        (status.as_u16(), &answer["error"]),
        (503, &json!("temporarily_unavailable"))
    );
    // No secret of a form is kept.
    assert!(
        upstreams
            .spotify_accounts()
            .calls()
            .iter()
            .all(|call| call.request.is_null())
    );
}
