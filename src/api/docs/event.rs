//! What a stream consists of, for the document.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::frames::Frame;

/// An event, as a reader of `text/event-stream` gives it: OpenAPI describes a
/// stream by the schema of one event.
pub(in crate::api) struct StreamEvent;

impl PartialSchema for StreamEvent {
    fn schema() -> RefOr<Schema> {
        let id = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[1-9][0-9]*$"))
            .description(Some("Counts the stream's events, from 1."));
        let frame = format!("#/components/schemas/{}", Frame::name());
        // `utoipa` knows its companion `contentMediaType`, but not this one.
        let content = Extensions::from_iter([("contentSchema", json!({ "$ref": frame }))]);
        let data = ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/json")
            .extensions(Some(content))
            .description(Some("A frame, in JSON."));
        ObjectBuilder::new()
            .description(Some(
                "One event of a stream. Between events there may be comments, such as a heartbeat.",
            ))
            .property("id", id)
            .property("data", data)
            .required("id")
            .required("data")
            .examples([
                json!({"id": "1", "data": r#"{"type":"run","data":{"id":"5f0c0e6a5d0b4c1f"}}"#}),
                json!({"id": "2", "data": r#"{"type":"content","data":"A "}"#}),
                json!({"id": "3", "data": r#"{"type":"done","data":null}"#}),
            ])
            .into()
    }
}

impl ToSchema for StreamEvent {
    fn name() -> Cow<'static, str> {
        "StreamEvent".into()
    }
}
