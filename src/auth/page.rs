//! What a person is told when a login does not work out.
//!
//! These routes are opened by the browser itself, so their errors are pages for
//! whoever accepts HTML, and problem documents for everybody else.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::error::code;
use spinlane_http::problem::Problem;

/// The page's paper and ink: this is the same application.
const STYLE: &str = "\
:root{--paper:#f1ebdd;--sheet:#f8f4ea;--ink:#1d1a15;--cue:#bf3312;color-scheme:light dark}\
@media(prefers-color-scheme:dark){\
:root{--paper:#14120f;--sheet:#1c1915;--ink:#efe7d7;--cue:#ff7448}}\
*{box-sizing:border-box}\
body{max-width:39rem;margin:15vh auto;padding:0 1.5rem;background:var(--paper);\
color:var(--ink);font:1.125rem/1.5 system-ui,'Nimbus Sans',Arial,sans-serif}\
main{padding:1.6rem 1.8rem 1.8rem;background:var(--sheet);\
border-left:5px solid var(--cue)}\
.brand,h1,a{font-family:Bahnschrift,'DIN Alternate','Roboto Condensed','Nimbus Sans Narrow',\
'Arial Narrow','DejaVu Sans Condensed',sans-serif}\
.brand{margin:0 0 1rem;font-weight:700;letter-spacing:.045em;text-transform:uppercase}\
h1{margin:0;color:var(--cue);font-size:1.6rem;line-height:1.2}\
p{margin:.6rem 0 0}\
ul{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.4rem 0 0;padding:0;list-style:none}\
a{display:block;padding:.55rem 1rem;border:1.5px solid;border-radius:2px;color:inherit;\
font-weight:600;letter-spacing:.05em;text-decoration:none;text-transform:uppercase}\
a:hover{background:var(--ink);color:var(--paper)}\
:focus-visible{outline:3px solid var(--cue);outline-offset:2px}";

/// `problem`, as the client wants it. `home` is where a person goes on.
pub(crate) fn tell(headers: &HeaderMap, problem: Problem, home: &str) -> Response {
    let accept = headers.get_all(ACCEPT).into_iter();
    let html = accept
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"));
    if !html {
        return problem.into_response();
    }
    let mut response = Response::new(Body::from(page(&problem, home)));
    *response.status_mut() = problem.status();
    let head = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    head.insert(CONTENT_TYPE, html);
    head.extend(policy().map(|policy| (CONTENT_SECURITY_POLICY, policy)));
    response
}

/// Nothing but the page's own style.
fn policy() -> Option<HeaderValue> {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
}

fn page(problem: &Problem, home: &str) -> String {
    let error = problem.error();
    let title = match error.code {
        code::LOGIN_DENIED => "Spotify is not connected",
        code::NOT_CONFIGURED => "Spotify cannot be connected here",
        _ => "Connecting Spotify did not work",
    };
    let again = match error.code {
        code::NOT_CONFIGURED => "",
        _ => "<li><a href=\"/api/auth/login\">Try again</a></li>\n",
    };
    let (message, code) = (escape(&sentence(&error.message)), error.code.as_str());
    let home = escape(home);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – Spinlane</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main data-code=\"{code}\">\n<p class=\"brand\">Spinlane</p>\n<h1>{title}</h1>\n<p>{message}</p>\n\
         <ul>\n{again}<li><a href=\"{home}\">Back to the DJ</a></li>\n</ul>\n\
         </main>\n</body>\n</html>\n"
    )
}

/// An error's message as a sentence: they begin small, and end without a stop.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(char::to_uppercase);
    let mut sentence: String = first.into_iter().flatten().chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// Text, fit for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorObject, code};
    use http::StatusCode;

    fn told(accept: &str, message: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let error = ErrorObject::new(code::LOGIN_DENIED, message);
        tell(&headers, Problem::new(StatusCode::FORBIDDEN, error), "/")
    }

    #[test]
    fn browsers_get_a_page_and_programs_a_document() {
        let types = ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "*/*"].map(|accept| {
            let response = told(accept, "no");
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            response.headers()[CONTENT_TYPE].clone()
        });
        assert_eq!(
            types,
            ["text/html; charset=utf-8", "application/problem+json"]
        );
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("it did not"), "It did not.");
        assert_eq!(sentence("Really?"), "Really?");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn nothing_in_it_is_markup_of_others() {
        let error = ErrorObject::new(code::LOGIN_CODE, "<script>alert(\"1\")</script> & 'x'");
        let page = page(&Problem::new(StatusCode::BAD_REQUEST, error), "/\"><b>");
        assert!(
            !page.contains("<script>") && !page.contains("<b>"),
            "{page}"
        );
        assert!(
            page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;")
        );
    }
}
