//! Parameters that may be left out, and are never `null`: `utoipa` makes of an `Option`
//! one that may be.

use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use spinlane_http::run::MAX_NUMBER;

/// The newest event that a client has, as clients of streams send it.
pub(in crate::api) struct LastEventId;

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The `id` of the newest event that the client has: the answer begins after it.";
        vec![optional(
            "last-event-id",
            ParameterIn::Header,
            about,
            number(),
        )]
    }
}

/// The same in the query.
pub(in crate::api) struct AfterQuery;

impl IntoParams for AfterQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The same as `last-event-id`, which counts where both are sent.";
        vec![optional("after", ParameterIn::Query, about, number())]
    }
}

/// Names a request that may be sent again.
pub(in crate::api) struct IdempotencyKey;

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Names the request, so that it can be sent again: one run for each caller, \
             key and day, which is one that can be read again. Ignored on hosts without \
             a shared store.";
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[!-~]{16,255}$"));
        vec![optional(
            "idempotency-key",
            ParameterIn::Header,
            about,
            key.build(),
        )]
    }
}

fn number() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(MAX_NUMBER))
        .build()
}

fn optional(name: &str, place: ParameterIn, about: &str, schema: Object) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}
