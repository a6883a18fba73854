//! Cookies, beside those of other programs on the same host.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use spinlane_dj::fuzzing::{session_cookie, session_cookies};

use crate::input::Input;

/// Any bytes beside our cookie, in one field or in several: it is found, and nothing
/// else is.
///
/// # Panics
/// When it does not hold.
pub fn target(data: &[u8]) {
    let input = Input::new(data);
    let ours = format!("{}=token", session_cookie());
    let (mut headers, mut field, mut expected) = (HeaderMap::new(), Vec::new(), Vec::new());
    for foreign in input.rest().split(|byte| matches!(byte, b';' | b'\n')) {
        // A field may have no control characters but tabs, or the host refuses it.
        let foreign: Vec<u8> = foreign
            .iter()
            .copied()
            .filter(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
            .collect();
        add(&mut field, &foreign);
        let pair = foreign.trim_ascii();
        if let Some(value) = pair.strip_prefix(session_cookie().as_bytes())
            && let Some(value) = value.strip_prefix(b"=")
            && let Ok(value) = std::str::from_utf8(value)
        {
            expected.push(value.to_owned());
        }
        if input.below(3) == 0 {
            add(&mut field, [&b" "[..], ours.as_bytes()].concat().as_slice());
            expected.push("token".to_owned());
        }
        if input.below(3) == 0 {
            append(&mut headers, &mut field);
        }
    }
    append(&mut headers, &mut field);
    assert_eq!(session_cookies(&headers), expected);
}

fn add(field: &mut Vec<u8>, pair: &[u8]) {
    if !field.is_empty() {
        field.push(b';');
    }
    field.extend_from_slice(pair);
}

fn append(headers: &mut HeaderMap, field: &mut Vec<u8>) {
    let value = HeaderValue::from_bytes(field).expect("no control characters");
    headers.append(COOKIE, value);
    field.clear();
}
