//! What an error's body says, whoever wrote it.
//!
//! Between us and a service stand gateways, each with a form of its own for
//! errors: a string, `{"detail": …}`, a page of HTML. Their words are for the
//! operator, who reads them in the log; users get sentences of ours.

use serde_json::Value;

/// Where in an object its words are looked for, in this order.
const FIELDS: [&str; 8] = [
    "error",
    "message",
    "msg",
    "detail",
    "error_description",
    "reason",
    "title",
    "errors",
];

/// How deep they are looked for.
const DEPTH: usize = 4;

/// The words in `body`; `None` where it has none.
pub(crate) fn words(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice(body) {
        // Whatever else it has is better than nothing.
        Ok(value) => spoken(&value, DEPTH).or_else(|| document(&value))?,
        Err(_) => plain(&String::from_utf8_lossy(body)),
    };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!words.is_empty()).then_some(words)
}

/// A document that has no field for words, as it is.
fn document(value: &Value) -> Option<String> {
    let fields = value.as_object()?;
    (!fields.is_empty()).then(|| value.to_string())
}

/// The words in a part of a document.
pub(crate) fn spoken(value: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => {
            let words: Vec<_> = items
                .iter()
                .filter_map(|item| spoken(item, depth))
                .collect();
            (!words.is_empty()).then(|| words.join("; "))
        }
        Value::Object(fields) => {
            let mut names = FIELDS.iter();
            names.find_map(|name| spoken(fields.get(*name)?, depth))
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// Text without its markup: a page's title, where it has one, else what would
/// be read on it.
fn plain(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| {
        let title = text.get(at + "<title>".len()..)?;
        title.split('<').next()
    });
    if let Some(title) = title.filter(|title| !title.trim().is_empty()) {
        return title.to_owned();
    }
    let mut plain = String::new();
    for (at, part) in text.split('<').enumerate() {
        let (tag, after) = match at {
            0 => ("", part),
            _ => part.split_once('>').unwrap_or((part, "")),
        };
        let is_hidden = ["script", "style"].iter().any(|name| {
            let start = tag.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        if !is_hidden {
            plain.push(' ');
            plain += after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_whatever_form() {
        for (body, expected) in [
            (r#""no healthy upstream""#, Some("no healthy upstream")),
            (
                r#"{"detail": "Not allowed\n here"}"#,
                Some("Not allowed here"),
            ),
            (
                r#"{"detail": [{"loc": ["body"], "msg": "x", "message": "a"}, {"title": "b"}]}"#,
                Some("a; b"),
            ),
            (
                r#"{"type": "error", "error": {"type": null, "message": "Request not allowed"}}"#,
                Some("Request not allowed"),
            ),
            (
                r#"{"error": {"type": "x", "message": null}, "message": "quota"}"#,
                Some("quota"),
            ),
            (r#"{"error": 42}"#, Some("42")),
            (
                r#"{"error": "invalid_grant", "error_description": "revoked"}"#,
                Some("invalid_grant"),
            ),
            (
                "User not registered in the Developer Dashboard",
                Some("User not registered in the Developer Dashboard"),
            ),
            (
                "<html><head><TITLE>520: Web server</TITLE><style>a{}</style></head><body>x</body>",
                Some("520: Web server"),
            ),
            (
                "<h1>Sorry,\n<b>you</b> have been blocked</h1><script>let a;</script>",
                Some("Sorry, you have been blocked"),
            ),
            ("<", None),
            ("", None),
            ("{}", None),
            ("null", None),
            ("<title>", None),
            (r#"{"fault": {"code": 7}}"#, Some(r#"{"fault":{"code":7}}"#)),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
        assert_eq!(words(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
    }
}
