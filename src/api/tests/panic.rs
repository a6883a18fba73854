//! What is answered in the place of an answer that panics.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use serde_json::json;

use crate::App;
use spinlane_core::log::{self, Record, Sink};
use spinlane_core::ports::PanicSlot;
use spinlane_core::testing::World;

fn variables(name: &str) -> Option<String> {
    match name {
        "anthropic_api_key" => Some("sk-test".into()),
        "frontend_url" => Some("https://dj.example".into()),
        _ => None,
    }
}

/// What the application leaves with its host, and the head that it answers
/// with when it does not panic.
fn answered(path: &str, origin: &str) -> (PanicSlot, HeaderMap) {
    let world = World::new();
    let slot = PanicSlot::default();
    let request = Request::get(path)
        .header("x-request-id", "mine")
        .header("origin", origin)
        .extension(slot.clone());
    let request = request.body(Body::empty()).unwrap();
    let app = App::new(world.ports(), variables);
    let answer = world.run(app.handle(request));
    world.drain();
    (slot, answer.into_parts().0.headers)
}

#[test]
fn an_answer_in_its_place_has_what_its_own_has() {
    for (path, origin) in [
        ("/api/status", "https://dj.example"),
        ("/api/status", "https://evil.example"),
        ("/", "https://dj.example"),
    ] {
        let (slot, own) = answered(path, origin);
        let in_place = slot.get().unwrap();
        assert_eq!(in_place.request_id(), "mine");
        let mut headers = in_place.headers();
        assert_eq!(
            headers.remove("traceparent"),
            own.get("traceparent").cloned()
        );
        // A page varies with the encodings that are asked for; what stands in its place
        // is a few words.
        let cross_origin = |name: &str, value: &[u8]| {
            name.starts_with("access-control-") || name == "vary" && value != b"accept-encoding"
        };
        let own = own.iter();
        let own = own.filter(|(name, value)| cross_origin(name.as_str(), value.as_bytes()));
        let own: HeaderMap = own
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        assert_eq!(own.is_empty(), path == "/", "{path}");
        assert_eq!(headers, own, "{path} {origin}");
    }
}

#[test]
fn it_has_a_line_as_every_answer() {
    log::install_for_tests();
    let (slot, _) = answered("/api/status", "https://dj.example");
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let sink: Sink = {
        let records = Arc::clone(&records);
        Arc::new(move |record| records.lock().unwrap().push(record.clone()))
    };
    let panicked = log::with_sink(Some(sink), async {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        slot.get().unwrap().panicked(status, Some(7));
    });
    futures::executor::block_on(panicked);
    let records = records.lock().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].message, "answered");
    for (name, expected) in [
        ("http.route", json!("/api/status")),
        ("http.response.status_code", json!(500)),
        ("http.response.body.size", json!(7)),
        ("error.type", json!("internal")),
        ("spinlane.outcome", json!("panicked")),
    ] {
        assert_eq!(records[0].fields[name], expected, "{name}");
    }
}
