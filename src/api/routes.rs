//! Every route, once: for the router, for the document, and for the log.
//!
//! To add one, write its handler, put `#[utoipa::path(METHOD, path = "…", …)]`
//! on it, and add a line to the table below: what the document says of a route
//! stands beside what the route does, and a test compares the two. Answers that
//! many routes have are types of `super::docs::answers`. The document itself is made
//! by a test, which says how to keep it.

use axum::Router;
use axum::routing::{MethodRouter, get, post};
#[cfg(test)]
use utoipa::OpenApi;

use super::{admin, assets, auth, chat, docs, enrich, is_beneath, read, status, stop};
use crate::AppState;
use crate::config::Variables;
use crate::config::Variables::{
    Anthropic, Callers, Deezer, Edge, Lastfm, Limits, Operator, Pages, Spotify, Streams,
};

/// Makes [`TEMPLATES`], [`NEEDS`], [`HANDLERS`] and [`Documented`] of one table.
macro_rules! routes {
    ($($method:ident $template:literal $needs:ident => $($handler:ident)::+,)+) => {
        /// Methods and path templates, as they were given.
        const TEMPLATES: &[(&str, &str)] = &[$((stringify!($method), $template)),+];

        /// The variables of each.
        const NEEDS: &[&[Variables]] = &[$($needs),+];

        /// What answers at each.
        const HANDLERS: &[fn() -> MethodRouter<AppState>] =
            &[$(|| $method($($handler)::+)),+];

        /// Collects what their handlers say of themselves.
        #[cfg(test)]
        #[derive(OpenApi)]
        #[openapi(paths($($($handler)::+),+))]
        pub(super) struct Documented;
    };
}

// What a route needs is read, and what is malformed of it named, before anything of a
// request is looked at. What it may need later is looked at then: the tools' services of
// a chat, and the operator's token where somebody brings one.
const ALL: &[Variables] = Variables::ALL;
const NOTHING: &[Variables] = &[];
const PAGES: &[Variables] = &[Edge, Pages];
const STOPS: &[Variables] = &[Edge, Pages, Callers];
const READS: &[Variables] = &[Edge, Pages, Callers, Streams];
const SWEEP: &[Variables] = &[Edge, Pages, Operator, Callers, Limits];
const LOGIN: &[Variables] = &[Edge, Pages, Callers, Limits, Spotify];
const ENRICHMENT: &[Variables] = &[
    Edge, Pages, Callers, Streams, Limits, Spotify, Deezer, Lastfm,
];
const CHAT: &[Variables] = &[Edge, Pages, Callers, Streams, Limits, Anthropic];

routes! {
    post "/api/chat-stream/message" CHAT => chat::message,
    get "/api/chat-stream/{run}" READS => read::read,
    post "/api/chat-stream/{run}/stop" STOPS => stop::stop,
    post "/api/enrich" ENRICHMENT => enrich::enrich,
    get "/api/auth/login" LOGIN => auth::login,
    get "/api/auth/callback" LOGIN => auth::callback,
    post "/api/auth/token" LOGIN => auth::token,
    post "/api/auth/logout" STOPS => auth::logout,
    get "/api/auth/session" LOGIN => auth::session,
    post "/api/admin/sweep" SWEEP => admin::sweep,
    get "/api/status" ALL => status::status,
    get "/health" NOTHING => status::health,
    get "/ready" ALL => status::ready,
    get "/api/openapi.json" PAGES => docs::document,
    get "/api/docs" PAGES => docs::page,
    get "/problems/{code}" PAGES => docs::problem,
    get "/assets/{*file}" NOTHING => assets::asset,
}

/// The routes of `path` alone: an instance answers one request, and would make all
/// others for nobody.
pub(super) fn at(path: &str) -> Router<AppState> {
    let Some(place) = place(path) else {
        return Router::new();
    };
    // A route may have several methods, each with a line of its own.
    let (_, template) = TEMPLATES[place];
    let methods = TEMPLATES.iter().zip(HANDLERS);
    let methods = methods.filter(|((_, other), _)| *other == template);
    methods.fold(Router::new(), |router, (_, handler)| {
        router.route(template, handler())
    })
}

/// The template that `path` belongs to, for the log: a path itself may hold
/// what only its sender should know. `None` where the page answers.
pub(super) fn template(path: &str) -> Option<&'static str> {
    Some(TEMPLATES[place(path)?].1)
}

/// The variables that the route of `path` needs.
pub(super) fn needs(path: &str) -> &'static [Variables] {
    match place(path) {
        Some(place) => NEEDS[place],
        // Whether a page may read it is configured, too.
        None if is_beneath(path, "/api") => PAGES,
        None => NOTHING,
    }
}

/// The place of the route of `path` in the table.
fn place(path: &str) -> Option<usize> {
    TEMPLATES
        .iter()
        .position(|(_, template)| matches(template, path))
}

fn matches(template: &str, path: &str) -> bool {
    // Compared first: a request's path is looked for several times, and most templates
    // are another's. (Parting all of them was 2.5 % of `/health` on `wasmtime serve`.)
    let Some((literal, _)) = template.split_once('{') else {
        return path == template;
    };
    if !path.starts_with(literal) {
        return false;
    }
    let mut given = path.split('/');
    for wanted in template.split('/') {
        let Some(given) = given.next() else {
            return false;
        };
        if wanted.starts_with("{*") {
            return !given.is_empty();
        }
        let parameter = wanted.starts_with('{');
        if !(wanted == given || parameter && !given.is_empty()) {
            return false;
        }
    }
    given.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Request;

    use super::*;
    use crate::api::tests::ask;

    #[test]
    fn the_document_and_the_router_have_the_same_routes() {
        let document = Documented::openapi();
        let mut documented = BTreeSet::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in [
                ("get", &item.get),
                ("post", &item.post),
                ("put", &item.put),
                ("delete", &item.delete),
                ("patch", &item.patch),
            ] {
                if operation.is_some() {
                    documented.insert((method.to_owned(), path.clone()));
                }
            }
        }
        // The document has no way to say "and all that is beneath".
        let plain = |template: &str| template.replace("{*", "{");
        let routed = TEMPLATES.iter();
        let routed = routed.map(|(method, path)| ((*method).to_owned(), plain(path)));
        assert_eq!(documented, routed.collect());
    }

    #[test]
    fn every_route_answers_with_the_methods_that_it_has() {
        for (_, template) in TEMPLATES {
            let path = template.replace(['{', '}', '*'], "");
            let request = Request::options(path.as_str());
            let answer = ask(request.body(axum::body::Body::empty()).unwrap());
            let methods = TEMPLATES.iter().filter(|(_, other)| other == template);
            let mut allow = String::new();
            for (method, _) in methods {
                allow += match *method {
                    "get" => "GET, HEAD, ",
                    "post" => "POST, ",
                    other => panic!("{other}"),
                };
            }
            assert_eq!(answer.header("allow"), allow + "OPTIONS", "{template}");
        }
    }

    #[test]
    fn paths_are_logged_by_their_template() {
        for (path, expected) in [
            ("/api/status", Some("/api/status")),
            ("/api/status/", None),
            ("/problems/busy", Some("/problems/{code}")),
            ("/problems/", None),
            ("/problems/a/b", None),
            ("/assets/app.js", Some("/assets/{*file}")),
            ("/assets/a/b", Some("/assets/{*file}")),
            ("/assets/", None),
            ("/", None),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }
}
