//! The body of a request, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use garde::Validate;
use http::Request;
use http_body_util::StreamBody;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spinlane_core::ports::Clock;
use spinlane_core::testing::World;
use spinlane_http::axum::body::Body;
use spinlane_http::axum::extract::FromRequest;
use spinlane_http::json::{Valid, fit};

use crate::input::Input;

/// A document with whatever serde's types are made of.
#[derive(Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[garde(length(chars, min = 1, max = 20))]
    message: String,
    #[garde(dive)]
    #[serde(default)]
    the_history: Vec<Turn>,
    #[garde(range(max = 1_000))]
    count: Option<u16>,
    #[garde(skip)]
    #[serde(default)]
    ratio: f64,
    #[garde(skip)]
    #[serde(default)]
    table: BTreeMap<String, i8>,
    #[garde(skip)]
    #[serde(default)]
    mode: Mode,
    #[garde(skip)]
    pair: Option<(bool, u64)>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Validate)]
struct Turn {
    #[garde(skip)]
    role: Mode,
    #[garde(length(bytes, max = 8))]
    content: String,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    One,
    Two,
}

/// `value` without the members that are `null`, which are as if they were left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            members
                .map(|(name, value)| (name, without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

/// Whether what is an object is written as one. serde takes an array of the members, too.
fn has_objects(document: &Value) -> bool {
    let history = document["theHistory"].as_array().into_iter().flatten();
    document.is_object() && history.into_iter().all(Value::is_object)
}

/// Any bytes as a body that comes in pieces: what serde takes is taken, each fault is
/// at a place of the document, and nothing else comes out.
///
/// # Panics
/// When it does not hold.
pub fn target(data: &[u8]) {
    let input = Input::new(data);
    let body = input.rest();
    let read = receive(input.pieces(body));
    let plain = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let document = std::str::from_utf8(plain).ok();
    let document = document.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(document) = document else {
        assert_eq!(read.err(), Some(400));
        return;
    };
    let fitted = fit::<Document>(&document);
    let strict = serde_json::from_value::<Document>(without_nulls(document.clone())).ok();
    let strict = strict.filter(|strict| strict.validate().is_ok());
    if let Some(strict) = strict.filter(|_| has_objects(&document)) {
        assert_eq!(
            fitted.as_ref().ok(),
            Some(&strict),
            "serde takes it: {document}"
        );
    }
    match fitted {
        Ok(value) => {
            assert_eq!(read.as_ref(), Ok(&value));
            let again = serde_json::to_value(&value).expect("a document");
            assert_eq!(fit::<Document>(&again).ok(), Some(value));
        }
        Err(faults) => {
            assert_eq!(read.err(), Some(422));
            assert!((1..=50).contains(&faults.len()), "{faults:?}");
            for fault in faults {
                let pointer = fault.pointer.as_str();
                let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                let known = document.pointer(pointer).or(document.pointer(parent));
                assert!(known.is_some(), "{pointer:?} is nowhere in {document}");
            }
        }
    }
}

/// What a route gets, or the status that it answers.
fn receive(pieces: Vec<&[u8]>) -> Result<Document, u16> {
    let pieces = pieces.into_iter().map(Bytes::copy_from_slice);
    let frames = pieces.map(|piece| Ok::<_, std::io::Error>(http_body::Frame::data(piece)));
    let frames: Vec<_> = frames.collect();
    let request = Request::post("/")
        .header("content-type", "application/json")
        .body(Body::new(StreamBody::new(stream::iter(frames))))
        .expect("a request");
    let world = World::new();
    let clock: Arc<dyn Clock> = world.ports().clock;
    let read = world.run(Valid::<Document>::from_request(request, &clock));
    let read = read.map(|Valid(document)| document);
    read.map_err(|problem| problem.status().as_u16())
}
