//! The simulated DJ, which uses the tools that it is offered.

use serde_json::json;

use super::{calls, converse, found, go_on, upstreams};

#[tokio::test]
async fn the_dj_listens_searches_and_answers_with_what_it_found() {
    let upstreams = upstreams().await;
    let prompt = "Analyse this playlist and find five tracks that fit\n\n(Playlist: \
        37i9dQZF1DXsimulated01)";
    let mut messages = json!([{"role": "user", "content": prompt}]);
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 1024}});
    let (status, first) = converse(&upstreams, &messages, &thinking).await;
    assert_eq!((status, &first["stop_reason"]), (200, &json!("tool_use")));
    assert_eq!(first["content"][0]["type"], "thinking");
    assert_eq!(calls(&first)[0]["name"], "analyze_playlist");
    assert_eq!(
        calls(&first)[0]["input"],
        json!({"playlistId": "37i9dQZF1DXsimulated01"})
    );
    go_on(&mut messages, &first, found);
    let (_, second) = converse(&upstreams, &messages, &thinking).await;
    let names: Vec<_> = calls(&second)
        .iter()
        .map(|call| call["name"].clone())
        .collect();
    assert!(
        names.len() >= 3 && names.contains(&json!("get_recommendations")),
        "{names:?}"
    );
    assert_eq!(calls(&second)[0]["input"]["query"], "jazz mellow");
    go_on(&mut messages, &second, found);
    let (_, last) = converse(&upstreams, &messages, &thinking).await;
    assert_eq!(last["stop_reason"], "end_turn");
    let text = last["content"][1]["text"].as_str().unwrap();
    for n in 3..=7 {
        assert!(text.contains(&format!("\"Song {n}\"")), "{text}");
    }
    assert!(
        !text.contains("\"Song 2\"") && text.starts_with("I listened"),
        "{text}"
    );
}

#[tokio::test]
async fn the_dj_asks_for_no_tool_that_it_is_not_offered() {
    let upstreams = upstreams().await;
    let messages = json!([{"role": "user", "content": "dance music please"}]);
    let (_, none) = converse(&upstreams, &messages, &json!({"tools": []})).await;
    assert_eq!(none["stop_reason"], "end_turn");
    let (_, none) = converse(
        &upstreams,
        &messages,
        &json!({"tool_choice": {"type": "none"}}),
    )
    .await;
    assert!(calls(&none).is_empty());
    let (_, some) = converse(&upstreams, &messages, &json!({})).await;
    assert!(
        calls(&some)
            .iter()
            .all(|call| call["name"] == "search_tracks")
    );
    let create = json!({"tools": [
        {"name": "search_tracks", "input_schema": {"type": "object", "properties": {"query": {}}}},
        {"name": "create_playlist", "input_schema": {"type": "object", "properties": {
            "name": {}, "trackIds": {},
        }}},
    ]});
    let mut messages = messages;
    let (_, search) = converse(&upstreams, &messages, &create).await;
    go_on(&mut messages, &search, found);
    let (_, made) = converse(&upstreams, &messages, &create).await;
    let call = &calls(&made)[0];
    assert_eq!(call["name"], "create_playlist");
    assert_eq!(call["input"]["trackIds"].as_array().unwrap().len(), 3);
    go_on(&mut messages, &made, |_| json!({"summary": "made"}));
    let (_, done) = converse(&upstreams, &messages, &create).await;
    assert_eq!(done["stop_reason"], "end_turn");
}

#[tokio::test]
async fn the_dj_changes_a_playlist_as_it_was_asked() {
    let upstreams = upstreams().await;
    let names = [
        "playlistId",
        "action",
        "trackIds",
        "rangeStart",
        "insertBefore",
        "name",
    ];
    let properties: serde_json::Map<_, _> = names
        .map(|name| (name.to_owned(), json!({})))
        .into_iter()
        .collect();
    let tools = json!({"tools": [
        {"name": "analyze_playlist", "input_schema": {"type": "object", "properties": {
            "playlistId": {},
        }}},
        {"name": "search_tracks", "input_schema": {"type": "object", "properties": {"query": {}}}},
        {"name": "modify_playlist", "input_schema": {
            "type": "object", "properties": properties,
        }},
    ]});
    for (wish, action, member) in [
        ("Add something like it", "add", "trackIds"),
        ("Remove the last one", "remove", "trackIds"),
        ("Please reorder it", "reorder", "insertBefore"),
        ("Rename it to \"Dusk\"", "rename", "name"),
    ] {
        let prompt = format!("{wish}\n\n(Playlist: 37i9dQZF1DXsimulated05)");
        let mut messages = json!([{"role": "user", "content": prompt}]);
        let change = loop {
            let (status, answer) = converse(&upstreams, &messages, &tools).await;
            assert_eq!(
                (status, &answer["stop_reason"]),
                (200, &json!("tool_use")),
                "{wish}"
            );
            let call = calls(&answer)[0].clone();
            go_on(&mut messages, &answer, found);
            if call["name"] == "modify_playlist" {
                break call;
            }
        };
        assert_eq!(change["input"]["action"], action);
        assert_eq!(change["input"]["playlistId"], "37i9dQZF1DXsimulated05");
        assert!(change["input"].get(member).is_some(), "{change}");
        if action == "rename" {
            assert_eq!(change["input"]["name"], "Dusk");
        }
        let (_, done) = converse(&upstreams, &messages, &tools).await;
        assert_eq!(done["stop_reason"], "end_turn");
    }
}

#[tokio::test]
async fn the_dj_says_what_failed_and_goes_on() {
    let upstreams = upstreams().await;
    let prompt = "What fits?\n\n(Playlist: 37i9dQZF1DXsimulated01)";
    let mut messages = json!([{"role": "user", "content": prompt}]);
    let mut said = String::new();
    for _ in 0..5 {
        let (status, answer) = converse(&upstreams, &messages, &json!({})).await;
        assert_eq!(status, 200);
        if answer["stop_reason"] == "end_turn" {
            said = answer["content"][0]["text"].as_str().unwrap().to_owned();
            break;
        }
        go_on(&mut messages, &answer, |_| json!("Spotify is busy"));
        let last = messages.as_array_mut().unwrap().last_mut().unwrap();
        for result in last["content"].as_array_mut().unwrap() {
            result["is_error"] = true.into();
        }
    }
    assert!(said.contains("Spotify is busy"), "{said}");
}
