//! A model that would change more than it was asked to.

use serde_json::{Value, json};
use spinlane_component_tests::Dj;
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::chat::{Chat, Frame};
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::OWN_PLAYLIST;

/// What the model asks for in one turn.
type Calls<'a> = &'a [(&'a str, Value)];

/// A run whose model asks for this, a turn after another, and then answers.
async fn run(browser: &mut Browser<'_>, prompt: &Value, turns: &[Calls<'_>]) -> Vec<Frame> {
    let anthropic = browser.upstreams.anthropic();
    anthropic.reset();
    for calls in turns {
        let asking =
            |script: Script, (name, input): &(&str, Value)| script.use_tool(name, input.clone());
        anthropic.push(calls.iter().fold(Script::tools(), asking));
    }
    anthropic.push(Script::text(["Done."]));
    let response = browser.post("/api/chat-stream/message", prompt).await;
    Chat::read(response).rest().await
}

/// How the tools of a run have ended.
fn ends(frames: &[Frame]) -> Vec<&Value> {
    let ends = frames.iter().filter(|frame| frame.kind == "tool_end");
    ends.map(|frame| &frame.data).collect()
}

/// Those that have worked.
fn worked(frames: &[Frame]) -> usize {
    let ends = ends(frames).into_iter();
    ends.filter(|end| end["error"] != true).count()
}

fn ids(dj: &Dj, count: usize) -> Vec<String> {
    let tracks = &dj.upstreams.catalogue().tracks;
    tracks
        .iter()
        .take(count)
        .map(|track| track.id.clone())
        .collect()
}

/// Sixteen in each of four turns, each with a name of its own, and public.
#[tokio::test]
async fn a_run_makes_one_playlist_and_the_model_does_not_make_it_public() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let playlists = dj.upstreams.playlists();
    let track = ids(&dj, 1);
    let turn = |turn: usize| -> Vec<(&str, Value)> {
        let name = |n: usize| format!("List {turn}.{n}");
        let input = |n| json!({"name": name(n), "public": true, "trackIds": track});
        (0..16).map(|n| ("create_playlist", input(n))).collect()
    };
    let turns: Vec<_> = (0..4).map(turn).collect();
    let turns: Vec<Calls<'_>> = turns.iter().map(Vec::as_slice).collect();
    for (public, expected) in [
        (Value::Null, false),
        (json!(false), false),
        (json!(true), true),
    ] {
        let mut prompt = json!({"message": "Make a playlist", "mode": "create"});
        if !public.is_null() {
            prompt["public"] = public.clone();
        }
        let known = playlists.ids();
        let frames = run(&mut browser, &prompt, &turns).await;
        let made: Vec<_> = playlists.ids().into_iter().skip(known.len()).collect();
        assert_eq!(made.len(), 1, "{public}");
        assert_eq!(playlists.is_public(&made[0]), Some(expected), "{public}");
        assert_eq!((worked(&frames), ends(&frames).len()), (1, 64), "{public}");
    }
}

#[tokio::test]
async fn a_run_makes_at_most_twenty_changes() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let turn = |turn: usize| -> Vec<(&str, Value)> {
        let name = |n: usize| format!("Name {turn}.{n}");
        let rename = |n| json!({"playlistId": OWN_PLAYLIST, "action": "rename", "name": name(n)});
        (0..16).map(|n| ("modify_playlist", rename(n))).collect()
    };
    let turns: Vec<_> = (0..3).map(turn).collect();
    let turns: Vec<Calls<'_>> = turns.iter().map(Vec::as_slice).collect();
    let prompt = json!({"message": "Rename it", "mode": "edit", "playlistId": OWN_PLAYLIST});
    let frames = run(&mut browser, &prompt, &turns).await;
    let calls = dj.upstreams.spotify().calls();
    let changes = calls.iter().filter(|call| call.method == "PUT").count();
    assert_eq!((changes, worked(&frames)), (20, 20));
    let name = dj.upstreams.playlists().name(OWN_PLAYLIST);
    assert_eq!(
        name.as_deref(),
        Some("Name 1.3"),
        "the twentieth, and no later one"
    );
}

/// What is removed is named with its places, the same track in each of them, and is put
/// back by these. What would be more than a hundred is not removed at all.
#[tokio::test]
async fn a_run_removes_at_most_a_hundred_tracks_and_names_them() {
    let dj = Dj::start_public(&[]).await;
    let mut browser = Browser::new(&dj);
    browser.log_in().await;
    let playlists = dj.upstreams.playlists();
    let all = ids(&dj, 120);
    // Twice the first one, at places 0 and 60.
    let mut wanted: Vec<String> = all[..60].to_vec();
    wanted.push(all[0].clone());
    wanted.extend_from_slice(&all[60..]);
    let make = |part: &[String]| json!({"name": "Long", "trackIds": part});
    let prompt = json!({"message": "Make it", "mode": "create"});
    let create: Calls<'_> = &[("create_playlist", make(&wanted[..100]))];
    let frames = run(&mut browser, &prompt, &[create]).await;
    let id = ends(&frames)[0]["result"]["playlistId"].as_str();
    let id = id.expect("a playlist").to_owned();
    let prompt = json!({"message": "Change it", "mode": "edit", "playlistId": id});
    let change = |action: &str, part: &[String]| {
        let input = json!({"playlistId": id, "action": action, "trackIds": part});
        ("modify_playlist", input)
    };
    let add: Calls<'_> = &[change("add", &wanted[100..])];
    run(&mut browser, &prompt, &[add]).await;
    assert_eq!(playlists.tracks(&id).as_ref(), Some(&wanted));

    // A hundred ids, which stand in 101 places; then 60 in 61; then 40, which are one
    // more than are left.
    let turns: [Calls<'_>; 3] = [
        &[change("remove", &all[..100])],
        &[change("remove", &all[..60])],
        &[change("remove", &all[60..100])],
    ];
    let frames = run(&mut browser, &prompt, &turns).await;
    let ends = ends(&frames);
    let refused: Vec<_> = ends.iter().map(|end| end["error"] == true).collect();
    assert_eq!(refused, [true, false, true], "{ends:?}");
    assert_eq!(playlists.tracks(&id), Some(all[60..].to_vec()));

    let removed = ends[1]["result"]["removed"].as_array().expect("a list");
    assert_eq!(removed.len(), 61);
    let mut put_back = playlists.tracks(&id).expect("it is there");
    for entry in removed {
        let at = usize::try_from(entry["position"].as_u64().expect("a place")).expect("small");
        put_back.insert(at, entry["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(put_back, wanted);
}
