//! JSON as services really send it.
//!
//! Some write texts of others into it without escaping them, or cut in the
//! middle of a character. What is meant is plain all the same.

use serde::de::DeserializeOwned;

/// Reads `body`; where that fails by its syntax alone, once more with its
/// strings mended.
///
/// # Errors
/// When it is no JSON, or not of this shape.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    match serde_json::from_slice(body) {
        Err(error) if !error.is_data() => serde_json::from_str(&mended(body)),
        read => read,
    }
}

/// `body` with control characters in its strings escaped, and with what is no
/// text or no escape made harmless.
fn mended(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(text.len() + 16);
    let (mut in_string, mut escape) = (false, false);
    for char in text.trim_start_matches('\u{feff}').chars() {
        if escape {
            escape = false;
            // A backslash that escapes nothing is one that was meant.
            let known = "\"\\/bfnrtu".contains(char);
            mended.push_str(if known { "\\" } else { "\\\\" });
        } else if in_string && char == '\\' {
            escape = true;
            continue;
        } else if char == '"' {
            in_string = !in_string;
        }
        match char {
            char if in_string && char < ' ' => {
                mended.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => mended.push(char),
        }
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn text(body: &[u8]) -> Option<String> {
        let value: Value = read(body).ok()?;
        Some(value["a"].as_str()?.to_owned())
    }

    #[test]
    fn strings_are_mended() {
        for (body, expected) in [
            (&b"{\"a\":\"x\ty\nz\"}"[..], "x\ty\nz"),
            (b"{\"a\":\"\x00\x01\x1f\x7f\"}", "\0\u{1}\u{1f}\u{7f}"),
            (b"{\"a\":\"x\\\\\ty\"}", "x\\\ty"),
            (b"{\"a\":\"x\\\ty\"}", "x\\\ty"),
            (b"{\"a\":\"it\\'s\"}", "it\\'s"),
            (b"{\"a\":\"say \\\"\t\\\"\"}", "say \"\t\""),
            (b"{\r\n\t\"a\"\t:\t\"x\ty\"\r\n}", "x\ty"),
            (b"{\"b\\\"\t\":1,\"a\":\"x\"}", "x"),
            (b"\xef\xbb\xbf{\"a\":\"x\"}", "x"),
            (b"{\"a\":\"p\xe5\"}", "p\u{fffd}"),
        ] {
            assert_eq!(text(body).as_deref(), Some(expected), "{body:?}");
        }
        for body in [
            &b""[..],
            b"<html>",
            b"{\"a\":\"x\ty",
            b"{\"a\":\"x\"\x01}",
            b"{\"a\":}",
        ] {
            assert_eq!(text(body), None, "{body:?}");
        }
    }

    proptest! {
        /// What is JSON is read as it is, mended or not.
        #[test]
        fn good_json_is_not_changed(words in proptest::collection::vec(".{0,20}", 0..5)) {
            let document = json!({"words": words, "a": {"b": [1, null, "c\\\""]}});
            for body in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
                let read: Value = serde_json::from_str(&mended(body.as_bytes())).unwrap();
                prop_assert_eq!(&read, &document);
            }
        }

        /// Escaped or not, a text is the same.
        #[test]
        fn texts_need_no_escapes(text in "[^\"\\\\]{0,40}") {
            let raw = format!("{{\"a\":\"{text}\"}}");
            prop_assert_eq!(self::text(raw.as_bytes()), Some(text));
        }
    }
}
