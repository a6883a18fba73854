//! The page on which the user agrees or does not.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::accounts::Asked;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem;\
background:#121212;color:#fff}\
p.note{background:#333;border-radius:.5rem;padding:.5rem 1rem}\
button{font:inherit;font-weight:600;border:0;border-radius:2rem;padding:.7rem 2rem;\
margin:1rem 1rem 0 0;cursor:pointer}\
button[value=agree]{background:#1ed760;color:#000}\
button[value=cancel]{background:#fff;color:#000}";

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<main>\n{body}\n</main>\n</html>\n"
    )
}

/// Asks the user. `query` is the whole request, which the answer repeats.
pub(super) fn page(asked: &Asked, query: &str) -> Response {
    let scopes: String = asked
        .scopes
        .iter()
        .map(|scope| format!("<li>{}</li>\n", escape(describe(scope))))
        .collect();
    let body = format!(
        "<p class=\"note\">This is a simulation: no account is touched.</p>\n\
         <h1>Connect {client} to your account?</h1>\n\
         <p>The application will be able to:</p>\n<ul>\n{scopes}</ul>\n\
         <p>You are logged in as <strong>Sim Listener</strong>.</p>\n\
         <form method=\"post\" action=\"/authorize/answer?{query}\">\n\
         <button name=\"answer\" value=\"agree\">Agree</button>\n\
         <button name=\"answer\" value=\"cancel\">Cancel</button>\n</form>",
        client = escape(&asked.client),
        query = escape(query),
    );
    Html(document("Authorize - simulated Spotify", &body)).into_response()
}

/// Tells the user that the application asks wrongly.
pub(super) fn sorry(what: &str) -> Response {
    let body = format!(
        "<h1>Something is wrong with this link</h1>\n<p>{}</p>",
        escape(what)
    );
    (
        StatusCode::BAD_REQUEST,
        Html(document("Error - simulated Spotify", &body)),
    )
        .into_response()
}

fn describe(scope: &str) -> &str {
    match scope {
        "playlist-read-private" => "View your private playlists",
        "playlist-read-collaborative" => "View your collaborative playlists",
        "playlist-modify-public" => "Create, edit, and follow public playlists",
        "playlist-modify-private" => "Create, edit, and follow private playlists",
        "user-read-private" => "View your subscription details",
        "user-read-email" => "View your email address",
        "user-library-read" => "View what you have saved",
        "user-top-read" => "View your top artists and songs",
        other => other,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
