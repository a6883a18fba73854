//! Every route, once: for the router, for the document, and for the log.
//!
//! To add one, write its handler, put `#[utoipa::path(METHOD, path = "…", …)]`
//! on it, and add a line to the table below: what the document says of a route
//! stands beside what the route does, and a test compares the two. Answers that
//! many routes have are types of `super::docs::answers`. The document itself is
//! made only when somebody asks for it: nothing here costs other requests.

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use super::{admin, assets, auth, chat, docs, enrich, status, stop};
use crate::AppState;

/// From one table: [`TEMPLATES`], [`add`] and [`Documented`].
macro_rules! routes {
    ($($method:ident $template:literal => $($handler:ident)::+,)+) => {
        /// Methods and path templates, as they were given.
        const TEMPLATES: &[(&str, &str)] = &[$((stringify!($method), $template)),+];

        /// Adds all of them to `router`.
        pub(super) fn add(router: Router<AppState>) -> Router<AppState> {
            router$(.route($template, $method($($handler)::+)))+
        }

        /// Collects what their handlers say of themselves.
        #[derive(OpenApi)]
        #[openapi(paths($($($handler)::+),+))]
        pub(super) struct Documented;
    };
}

routes! {
    post "/api/chat-stream/message" => chat::message,
    post "/api/chat-stream/{run}/stop" => stop::stop,
    post "/api/enrich" => enrich::enrich,
    get "/api/auth/login" => auth::login,
    get "/api/auth/callback" => auth::callback,
    post "/api/auth/token" => auth::token,
    post "/api/auth/logout" => auth::logout,
    get "/api/auth/session" => auth::session,
    post "/api/admin/sweep" => admin::sweep,
    get "/api/status" => status::status,
    get "/health" => status::health,
    get "/ready" => status::ready,
    get "/api/openapi.json" => docs::document,
    get "/api/docs" => docs::page,
    get "/problems/{code}" => docs::problem,
    get "/assets/{*file}" => assets::asset,
}

/// The template that `path` belongs to, for the log: a path itself may hold
/// what only its sender should know. `None` where the page answers.
pub(super) fn template(path: &str) -> Option<&'static str> {
    let templates = TEMPLATES.iter().map(|(_, template)| *template);
    templates
        .into_iter()
        .find(|template| matches(template, path))
}

fn matches(template: &str, path: &str) -> bool {
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
