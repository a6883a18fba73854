//! Halves of surrogate pairs.
//!
//! A service that escapes what is not ASCII may cut its text between the two
//! escapes of one character: `"Party \ud83c"`, then `"\udf89 time"`. `serde_json`
//! refuses such a half, as it must: a Rust string cannot hold one.

use std::fmt::Write;

/// JSON in which no half stands alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// With U+FFFD in place of each half.
    pub json: String,
    pub(super) edges: Edges,
}

/// The halves at a string's ends, each of which may have its other half in
/// another string. In [`Mended::json`] there is a U+FFFD for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// A string begins with this second half.
    pub(super) low: Option<u16>,
    /// A string ends with this first half.
    pub(super) high: Option<u16>,
}

/// The character that two halves make.
pub(super) fn joined(high: u16, low: u16) -> char {
    let mut chars = char::decode_utf16([high, low]);
    chars.next().and_then(Result::ok).unwrap_or(REPLACEMENT)
}

pub(super) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

const fn is_high(unit: u16) -> bool {
    matches!(unit, 0xd800..=0xdbff)
}

const fn is_low(unit: u16) -> bool {
    matches!(unit, 0xdc00..=0xdfff)
}

/// Replaces each half in `json` that has no other half beside it. `None`: there
/// is none.
pub fn mend(json: &str) -> Option<Mended> {
    let mut mended = Mended::default();
    let mut found = false;
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.json += before;
        let Some(unit) = unit(escape) else {
            // Any other escape; the character after the backslash belongs to it.
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            mended.json += &escape[..length];
            rest = &escape[length..];
            continue;
        };
        rest = &escape[ESCAPE..];
        let pair = is_high(unit) && self::unit(rest).is_some_and(is_low);
        if pair {
            mended.json += &escape[..2 * ESCAPE];
            rest = &rest[ESCAPE..];
        } else if is_high(unit) || is_low(unit) {
            found = true;
            if is_low(unit) && is_opening(&mended.json) {
                mended.edges.low = Some(unit);
            }
            if is_high(unit) && rest.starts_with('"') {
                mended.edges.high = Some(unit);
            }
            let _ = write!(mended.json, "{REPLACEMENT}");
        } else {
            mended.json += &escape[..ESCAPE];
        }
    }
    mended.json += rest;
    found.then_some(mended)
}

/// The length of `\ud83c`.
const ESCAPE: usize = 6;

/// The UTF-16 unit that `text` begins with an escape of.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// Whether `json` ends with the quote that begins a string: one that is not
/// escaped (an escape would be over before a half begins another).
fn is_opening(json: &str) -> bool {
    let before = json.strip_suffix('"');
    before.is_some_and(|before| {
        let slashes = before.bytes().rev().take_while(|byte| *byte == b'\\');
        slashes.count() % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edges(low: Option<u16>, high: Option<u16>) -> Edges {
        Edges { low, high }
    }

    #[test]
    fn halves_are_replaced_and_pairs_are_not() {
        for (json, expected, at) in [
            (
                r#"{"t":"Party \ud83c"}"#,
                "{\"t\":\"Party \u{fffd}\"}",
                edges(None, Some(0xd83c)),
            ),
            (
                r#"{"t":"\uDF89 time"}"#,
                "{\"t\":\"\u{fffd} time\"}",
                edges(Some(0xdf89), None),
            ),
            (
                r#"{"t":"\udf89\ud83c"}"#,
                "{\"t\":\"\u{fffd}\u{fffd}\"}",
                edges(Some(0xdf89), Some(0xd83c)),
            ),
            (
                r#"["a\ud83c\n", "\ud83c\ud83c\udf89"]"#,
                "[\"a\u{fffd}\\n\", \"\u{fffd}\\ud83c\\udf89\"]",
                edges(None, None),
            ),
            // In a string that is quoted in another.
            (
                r#"{"p":"{\"q\": \"\udf89"}"#,
                "{\"p\":\"{\\\"q\\\": \\\"\u{fffd}\"}",
                edges(None, None),
            ),
        ] {
            let mended = mend(json).unwrap();
            assert_eq!(
                (mended.json.as_str(), mended.edges),
                (expected, at),
                "{json}"
            );
            serde_json::from_str::<serde_json::Value>(&mended.json).unwrap();
        }
        for json in [
            "",
            "\\",
            r#""\ud83c\udf89""#,
            r#""\\ud83c""#,
            r#""\u00e9 \ud83""#,
            r#""\u+ab1 \ué123""#,
        ] {
            assert_eq!(mend(json), None, "{json}");
        }
        assert_eq!(joined(0xd83c, 0xdf89), '🎉');
    }

    proptest! {
        /// Whatever units a string is made of, it can be read once it is mended,
        /// and what was whole stays.
        #[test]
        fn any_units_can_be_read(units in prop::collection::vec(any::<u16>(), 0..12)) {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{escaped}\"");
            let mended = mend(&json).map_or(json, |mended| mended.json);
            let text: String = serde_json::from_str(&mended).unwrap();
            prop_assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }
}
