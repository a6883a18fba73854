//! The client against an upstream in virtual time.

use super::edit::Move;
use super::*;
use crate::clients::spotify::accounts::Accounts;
use crate::error::code;
use crate::testing::{Reply, Seen, Stage, nobody};
use futures::FutureExt;
use futures::future::join_all;
use serde_json::{Value, json};
use spinlane_core::limit::Budget;
use spinlane_core::ports::{BoxFuture, HttpError};
use spinlane_core::testing::World;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mod tokens;

const ID: &str = "37i9dQZF1DXcBWIGoYBM5M";
const TRACK: &str = "11dFghVXANMlKmJXsNCbNl";
const ACCOUNTS: &str = "accounts.spotify.com";

/// Gives `token-0`, and the next one each time that the newest was refused.
#[derive(Default)]
struct Tokens {
    refreshed: AtomicU32,
}

impl AccessTokens for Tokens {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, UpstreamError>> {
        async move {
            let newest = || format!("token-{}", self.refreshed.load(Ordering::SeqCst));
            if refused.is_some_and(|refused| refused.expose() == newest()) {
                self.refreshed.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Secret::new(newest()))
        }
        .boxed()
    }
}

fn user(stage: &Stage, tokens: &Arc<Tokens>) -> Spotify {
    Spotify::new(&stage.app, Access::User(Arc::clone(tokens) as _), nobody())
}

fn granted(token: &str) -> Reply {
    Reply::Json(
        200,
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}),
    )
}

fn track(n: usize) -> Value {
    json!({
        "id": format!("track{n}"), "uri": format!("spotify:track:track{n}"), "type": "track",
        "name": format!("Song {n}"), "explicit": n % 2 == 1, "popularity": 40,
        "duration_ms": 200_000 + n, "external_ids": {"isrc": format!("ZZ-A23-25-{n:05}")},
        "artists": [{"id": "a1", "name": "Nena Rossi"}, null, {"id": "a2", "name": ""}],
        "album": {"name": "Luce", "release_date": "2021-03-26"},
    })
}

/// Answers with what `answer` says of all that is not about tokens.
fn stage(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Stage {
    Stage::new(&[], move |seen| match seen.host.as_str() {
        ACCOUNTS => granted("app-token"),
        _ => answer(seen),
    })
}

#[test]
fn a_track_is_read_with_all_that_is_known() {
    let stage = stage(|_| Reply::Json(200, track(7)));
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let found = stage
        .world
        .run(spotify.track(&format!("spotify:track:{TRACK}")))
        .unwrap()
        .unwrap();
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        json!({
            "id": "track7", "uri": "spotify:track:track7", "title": "Song 7",
            "artists": [{"id": "a1", "name": "Nena Rossi"}], "album": "Luce", "year": 2021,
            "durationMs": 200_007, "isrc": "ZZA232500007", "popularity": 40, "explicit": true,
        })
    );
    let [token, call] = &stage.seen()[..] else {
        panic!("{:?}", stage.seen())
    };
    // client-id:client-secret
    assert_eq!(
        token.authorization,
        "Basic Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQ="
    );
    assert_eq!(
        (token.path.as_str(), token.body.as_str()),
        ("/api/token", "grant_type=client_credentials")
    );
    assert_eq!(
        (call.path.as_str(), call.authorization.as_str()),
        ("/v1/tracks/11dFghVXANMlKmJXsNCbNl", "Bearer app-token")
    );
}

#[test]
fn what_is_missing_or_strange_is_left_out() {
    let entries = json!({"total": 9, "next": null, "items": [
        {"track": track(1)},
        {"item": track(2), "track": null},
        {"track": null},
        null,
        {"track": {"type": "episode", "name": "Talk", "id": "e1"}},
        {"track": {"name": "Bare", "artists": null, "album": null, "external_ids": {}}},
        {"track": {"name": "Own", "id": null, "uri": "spotify:local:x", "is_local": true,
            "artists": [{"name": "Me"}], "duration_ms": "long", "popularity": 4000,
            "album": {"name": null, "release_date": "0000"}}},
        {"track": {"name": null, "id": "gone"}},
        "nonsense",
    ]});
    let stage = stage(move |_| Reply::Json(200, entries.clone()));
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let read = spotify.playlist_entries(ID, 0..100);
    let entries = stage.world.run(read).unwrap();
    let titles = entries.iter().map(|(at, track)| (*at, &*track.title));
    let titles: Vec<_> = titles.collect();
    // What is left out has its place.
    assert_eq!(
        titles,
        [(0, "Song 1"), (1, "Song 2"), (5, "Bare"), (6, "Own")]
    );
    let own = &entries[3].1;
    assert_eq!(
        (own.id.as_str(), own.uri.as_str(), own.artist()),
        ("", "spotify:local:x", "Me")
    );
    assert_eq!(
        (own.duration_ms, own.popularity, own.year),
        (None, None, None)
    );
}

#[test]
fn a_playlist_is_read_in_both_of_its_forms() {
    for tracks in ["tracks", "items"] {
        let stage = stage(move |_| {
            let mut playlist = json!({"id": ID, "name": "Mix", "description": "",
                "owner": {"id": "u1", "display_name": null}, "public": null, "snapshot_id": "s1"});
            playlist[tracks] = json!({"href": "x", "total": 123});
            Reply::Json(200, playlist)
        });
        let spotify = Spotify::new(&stage.app, Access::App, nobody());
        let address = format!("https://open.spotify.com/playlist/{ID}?si=1");
        let playlist = stage
            .world
            .run(spotify.playlist(&address))
            .unwrap()
            .unwrap();
        assert_eq!(
            (playlist.total, playlist.owner.as_deref()),
            (123, Some("u1"))
        );
        assert_eq!(playlist.uri, format!("spotify:playlist:{ID}"));
        assert_eq!(stage.seen()[1].path, format!("/v1/playlists/{ID}"));
    }
}

/// A playlist of `total` tracks.
fn playlist_page(seen: &Seen, total: usize) -> Reply {
    let number = |name| seen.field(name).parse::<usize>().unwrap();
    let (offset, limit) = (number("offset"), number("limit"));
    let end = total.min(offset + limit);
    let items: Vec<_> = (offset..end).map(|n| json!({"item": track(n)})).collect();
    let next = (end < total).then_some("https://api.spotify.com/next");
    Reply::Json(
        200,
        json!({"items": items, "total": total, "offset": offset, "next": next}),
    )
}

#[test]
fn all_pages_of_a_playlist_come_in_order() {
    let stage = stage(|seen| {
        // Later pages answer sooner.
        let delay = 500 - seen.field("offset").parse::<u64>().unwrap();
        Reply::After(
            Duration::from_millis(delay),
            Box::new(playlist_page(seen, 270)),
        )
    });
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let read = |places: Range<u32>| {
        let entries = stage.world.run(spotify.playlist_entries(ID, places));
        let entries = entries.unwrap().into_iter();
        entries
            .map(|(at, track)| (at, track.id))
            .collect::<Vec<_>>()
    };
    let expected = |places: Range<u32>| {
        let entry = |at| (at, format!("track{at}"));
        places.map(entry).collect::<Vec<_>>()
    };
    assert_eq!(read(0..1_000), expected(0..270));
    assert_eq!(stage.take().len(), 1 + 6);

    for (places, there, pages) in [
        (0..60, 0..60, 2),
        (130..170, 130..170, 1),
        (220..320, 220..270, 1),
        (300..400, 0..0, 1),
    ] {
        assert_eq!(read(places.clone()), expected(there), "{places:?}");
        let asked = stage.take().len();
        assert_eq!(asked, pages, "{places:?}: no page that is not needed");
    }
}

#[test]
fn a_search_goes_on_until_it_has_enough() {
    let stage = stage(|seen| {
        let Reply::Json(_, page) = playlist_page(seen, 25) else {
            unreachable!()
        };
        let items = page["items"].as_array().unwrap().iter();
        let items: Vec<_> = items.map(|entry| entry["item"].clone()).collect();
        let mut page = page;
        page["items"] = items.into();
        Reply::Json(200, json!({"tracks": page}))
    });
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let query = "artist:\"Ä & B\" year:1990-2000";
    let page = stage
        .world
        .run(spotify.search_tracks(query, 13, 3))
        .unwrap();
    let ids: Vec<_> = page.items.iter().map(|track| track.id.as_str()).collect();
    assert_eq!((ids.len(), ids[0], ids[12]), (13, "track3", "track15"));
    assert_eq!((page.total, page.next), (25, Some(16)));
    let seen = stage.seen();
    let asked = |seen: &Seen| {
        [seen.field("q"), seen.field("limit"), seen.field("offset")].map(str::to_owned)
    };
    assert_eq!(asked(&seen[1]), [query, "10", "3"].map(str::to_owned));
    assert_eq!(asked(&seen[2]), [query, "3", "13"].map(str::to_owned));
    let rest = stage
        .world
        .run(spotify.search_tracks(query, 50, 20))
        .unwrap();
    assert_eq!((rest.items.len(), rest.next), (5, None));
}

#[test]
fn what_is_not_there_is_none_and_what_cannot_be_is_not_asked_for() {
    let stage = stage(|_| {
        Reply::Json(
            404,
            json!({"error": {"status": 404, "message": "Not found"}}),
        )
    });
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let world = &stage.world;
    assert_eq!(world.run(spotify.track(TRACK)), Ok(None));
    assert_eq!(world.run(spotify.playlist(ID)), Ok(None));
    assert_eq!(
        world.run(spotify.artists(&[TRACK, "b"])),
        Ok(vec![None, None])
    );
    let error = world.run(spotify.playlist_entries(ID, 0..10)).unwrap_err();
    assert_eq!(error.failure, Failure::Absent(super::PLAYLIST));
    assert!(
        error.object().message.contains("check the id"),
        "{:?}",
        error.object()
    );
    // What is said is about what was asked.
    for message in [
        world.run(spotify.search_tracks("x", 5, 0)).unwrap_err(),
        world.run(spotify.me()).map(|_| ()).unwrap_err(),
        world
            .run(spotify.create_playlist("x", "", false))
            .map(|_| ())
            .unwrap_err(),
    ]
    .map(|error| error.object().message)
    {
        assert!(!message.contains("playlist"), "{message}");
        assert!(message.contains("`spotify_api_url`"), "{message}");
    }
    stage.take();
    for id in ["../../me", "a/b", "a?x", "spotify:track:x"] {
        assert_eq!(world.run(spotify.playlist(id)), Ok(None));
        assert_eq!(
            world
                .run(spotify.playlist_entries(id, 0..10))
                .unwrap_err()
                .failure,
            Failure::Absent(super::PLAYLIST)
        );
    }
    assert!(stage.seen().is_empty());
}

#[test]
fn artists_are_asked_for_once() {
    let stage = stage(|seen| {
        let id = seen.path.rsplit('/').next().unwrap();
        Reply::Json(
            200,
            json!({"id": id, "name": "Nena Rossi", "genres": ["soul", null]}),
        )
    });
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let ids = [TRACK, "no id", ID];
    let ask = || stage.world.run(spotify.artists(&ids)).unwrap();
    let first = ask();
    assert_eq!(first[0].as_ref().unwrap().genres, ["soul"]);
    assert!(first[1].is_none() && first[2].is_some());
    assert_eq!(stage.take().len(), 3);
    assert_eq!(ask(), first);
    assert!(stage.take().is_empty());
}

#[test]
fn changes_say_what_they_should_and_are_sent_once() {
    let stage = stage(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/v1/me/playlists") => {
            Reply::Json(201, json!({"id": ID, "name": "New", "snapshot_id": "s0"}))
        }
        ("PUT", path) if path.ends_with(ID) => Reply::Text(200, ""),
        _ => Reply::Json(201, json!({"snapshot_id": "s1"})),
    });
    let spotify = user(&stage, &Arc::default());
    let uris: Vec<_> = (0..150).map(|n| format!("spotify:track:t{n}")).collect();
    let step = Move {
        start: 3,
        length: 2,
        before: 0,
    };
    stage.world.run(async {
        let playlist = spotify.create_playlist("New", "é\n1", false).await.unwrap();
        assert_eq!(playlist.id, ID);
        let snapshot = spotify.add_tracks(ID, &uris, Some(5)).await.unwrap();
        assert_eq!(snapshot.as_deref(), Some("s1"));
        spotify.add_tracks(ID, &uris[..1], None).await.unwrap();
        let snapshot = Some("s0".to_owned());
        spotify
            .remove_tracks(ID, &uris[..2], snapshot)
            .await
            .unwrap();
        spotify.reorder(ID, step, Some("s1")).await.unwrap();
        spotify.rename(ID, Some("Other"), None).await.unwrap();
        spotify.rename(ID, None, Some("a\r\nb")).await.unwrap();
    });
    let seen = stage.seen();
    let bodies: Vec<_> = seen.iter().map(Seen::json).collect();
    let items = format!("/v1/playlists/{ID}/items");
    let asked: Vec<_> = seen
        .iter()
        .map(|seen| (seen.method.as_str(), seen.path.as_str()))
        .collect();
    let playlist = format!("/v1/playlists/{ID}");
    assert_eq!(
        asked,
        [
            ("POST", "/v1/me/playlists"),
            ("POST", &items),
            ("POST", &items),
            ("POST", &items),
            ("DELETE", &items),
            ("PUT", &items),
            ("PUT", &playlist),
            ("PUT", &playlist),
        ]
    );
    assert_eq!(
        bodies[0],
        json!({"name": "New", "description": "é 1", "public": false})
    );
    assert_eq!(bodies[1]["uris"].as_array().unwrap().len(), 100);
    assert_eq!(
        (&bodies[1]["position"], &bodies[2]["position"]),
        (&json!(5), &json!(105))
    );
    assert_eq!(bodies[3], json!({"uris": ["spotify:track:t0"]}));
    assert_eq!(
        bodies[4],
        json!({
            "items": [{"uri": "spotify:track:t0"}, {"uri": "spotify:track:t1"}],
            "snapshot_id": "s0",
        })
    );
    assert_eq!(
        bodies[5],
        json!({"range_start": 3, "range_length": 2, "insert_before": 0, "snapshot_id": "s1"})
    );
    assert_eq!(bodies[6], json!({"name": "Other"}));
    assert_eq!(bodies[7], json!({"description": "a  b"}));
}

#[test]
fn reads_are_tried_again_and_changes_are_not() {
    let faults = [
        (Reply::Text(503, "down"), 3, 1),
        (Reply::Fail(HttpError::Connect("refused".into())), 3, 1),
        (Reply::Cut("{\"snapshot_"), 3, 1),
        (Reply::Text(400, "<html>"), 1, 1),
    ];
    for (fault, reads, changes) in faults {
        let stage = stage({
            let fault = fault.clone();
            move |_| fault.clone()
        });
        let spotify = user(&stage, &Arc::default());
        let error = stage.world.run(spotify.track(TRACK)).unwrap_err();
        assert_eq!(stage.take().len(), reads, "{fault:?}: {error}");
        let error = stage
            .world
            .run(spotify.add_tracks(ID, &["spotify:track:x".into()], None))
            .unwrap_err();
        assert_eq!(stage.take().len(), changes, "{fault:?}: {error}");
    }
}

#[test]
fn garbage_is_named_and_not_quoted() {
    for (garbage, reason) in [
        ("<html>secret-page</html>", "no JSON"),
        ("{\"name\": [\"secret-page\"", "no JSON"),
        ("[\"secret-page\"]", "another shape"),
        ("", "no JSON"),
    ] {
        let stage = stage(move |_| Reply::Text(200, garbage));
        let spotify = user(&stage, &Arc::default());
        let error = stage.world.run(spotify.playlist(ID)).unwrap_err();
        assert_eq!(error.object().code, code::UPSTREAM_PROTOCOL);
        let text = format!("{error} {:?}", error.object());
        assert!(
            text.contains(reason) && !text.contains("secret-page"),
            "{text}"
        );
    }
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let huge = "x".repeat(spinlane_client::MAX_ANSWER + 1);
    let huge: &'static str = huge.leak();
    let stage = stage(move |_| Reply::Text(200, huge));
    let error = stage
        .world
        .run(user(&stage, &Arc::default()).me())
        .unwrap_err();
    assert!(matches!(error.failure, Failure::Protocol(_)), "{error}");
}
