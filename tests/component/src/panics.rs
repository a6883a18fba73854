//! What a client gets when the component panics: the fixture's routes, on every
//! host.

use serde_json::Value;

use crate::{REQUEST_ID, get_named};

/// All of it, on the host at `origin`, which runs the fixture.
///
/// # Panics
/// When something does not hold.
pub async fn all(origin: &str) {
    before_the_head(origin).await;
    after_the_head(origin).await;
    // Whoever comes next is served as ever.
    let next = reqwest::get(format!("{origin}/health")).await;
    assert_eq!(next.expect("an answer").status(), 200);
}

/// It is a 500 with what every answer has, and with what the application gives
/// to every one.
///
/// # Panics
/// When it is not.
pub async fn before_the_head(origin: &str) {
    let response = get_named(format!("{origin}/panic/before")).await;
    assert_eq!(response.status(), 500);
    for (name, value) in [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-request-id", REQUEST_ID),
        ("access-control-allow-origin", "*"),
    ] {
        let found = response.headers().get(name);
        let found = found.and_then(|value| value.to_str().ok());
        assert_eq!(found, Some(value), "{name}");
    }
    let problem: Value = response.json().await.expect("a whole document");
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&500.into(), &"internal".into())
    );
    assert_eq!(problem["context"]["requestId"], REQUEST_ID);
}

/// The stream has a last frame.
///
/// # Panics
/// When it has none.
pub async fn after_the_head(origin: &str) {
    let mut response = get_named(format!("{origin}/panic/after")).await;
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    // The connection may break after the last frame: the guest has trapped.
    while let Ok(Some(chunk)) = response.chunk().await {
        text += &String::from_utf8_lossy(&chunk);
    }
    let expected = format!("data: first\n\ndata: panic in {REQUEST_ID}\n\n");
    assert_eq!(text, expected);
}
