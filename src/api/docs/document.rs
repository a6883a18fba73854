//! The OpenAPI document.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, PathItem, RefOr, Schema};
use utoipa::{IntoResponses, OpenApi as _, ToSchema};

use super::super::routes::{self, Documented};
use super::answers::OfEveryRoute;
use crate::auth::cookie::SESSION;
use crate::error::{Code, code};
use crate::frames::Frame;
use spinlane_http::problem;

/// The name under which an operation names the operator's token.
const ADMIN_TOKEN: &str = "adminToken";
/// The names under which operations name a session, written out in their
/// attributes.
const BEARER: &str = "bearer";
const COOKIE: &str = "cookie";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Spinlane",
        description = "An AI DJ that answers over Server-Sent Events.\n\n\
            Every answer names its request in `x-request-id` and says in `server-timing` what \
            it took. Errors are `application/problem+json` (RFC 9457) outside a stream and the \
            same object inside one. Text lengths are in Unicode code points.",
        license(
            name = "Apache-2.0 WITH LLVM-exception",
            identifier = "Apache-2.0 WITH LLVM-exception"
        )
    ),
    // What no operation names as a body of its own.
    components(schemas(problem::Document, Frame)),
    tags(
        (name = "chat", description = "A prompt in, a stream of events out."),
        (name = "login", description = "Connecting Spotify, and ending it."),
        (name = "enrichment", description = "Tracks in, what others know of them out."),
        (name = "operation", description = "How the application is, and what it has left."),
        (name = "documentation", description = "What you are reading."),
        (name = "page", description = "The page that the component serves.")
    )
)]
struct Base;

/// Makes the document.
pub(super) fn document() -> OpenApi {
    let mut document = Base::openapi();
    document.merge(Documented::openapi());
    let components = document.components.get_or_insert_with(Components::new);
    // Ours as well as the library's.
    let codes = spinlane_core::error::code::schema_of(code::all());
    components.schemas.insert(Code::name().into(), codes.into());
    components.schemas.values_mut().for_each(leave_code_out);
    for (name, scheme) in security_schemes() {
        components.add_security_scheme(name, scheme);
    }
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            let mut common = OfEveryRoute::responses();
            if routes::needs(path).is_empty() {
                // It answers whatever the variables are.
                common.remove("503");
            }
            let own = &mut operation.responses.responses;
            for (status, response) in common {
                own.entry(status).or_insert(response);
            }
        }
    }
    document
}

/// Of a type's documentation the examples are for who writes Rust, and who reads this
/// need not.
fn leave_code_out(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    let description = match schema {
        Schema::Object(object) => &mut object.description,
        Schema::OneOf(one_of) => &mut one_of.description,
        Schema::AllOf(all_of) => &mut all_of.description,
        _ => return,
    };
    if let Some(text) = description
        && let Some(begin) = text.find("```")
    {
        text.truncate(text[..begin].trim_end().len());
    }
}

fn security_schemes() -> [(&'static str, SecurityScheme); 3] {
    let value = ApiKeyValue::with_description;
    let admin = value(
        "x-admin-token",
        "The operator's token (the variable `admin_token`).",
    );
    let cookie = value(
        SESSION.name(),
        "A session, as the login gives it to the page. Requests that change something must \
         come from the page itself.",
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A session, as `/api/auth/token` gives it to everybody else.",
        ));
    [
        (ADMIN_TOKEN, SecurityScheme::ApiKey(ApiKey::Header(admin))),
        (BEARER, SecurityScheme::Http(bearer.build())),
        (COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie))),
    ]
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}
