//! What a value is found by.
//!
//! A key has parts, each either text that a person might have typed
//! ([`Key::new`]), or an id in which every byte counts ([`Key::exact`],
//! [`Key::and_exact`]).
//!
//! **Normalisation** of text, in this order: Unicode NFC; every character
//! mapped to upper and then to lower case (so that `ß` and `ss`, `ς` and `σ`
//! are the same); NFC again; white space at both ends taken off, and every run
//! of it inside made one space. Ids stay as they are.
//!
//! **Hash**: each part is written as its length in bytes (decimal), `:` for
//! text or `=` for an id, and its bytes; the first 16 bytes of the SHA-256 of
//! all parts in a row, in lower-case hexadecimal, are the key's hash. So
//! `Key::new(["ABBA", " Dancing  Queen"])` is hashed as `4:abba13:dancing
//! queen`. In the store it is found under its kind's namespace, `:`, and the
//! hash. These vectors must never change:
//!
//! | key | hashed | hash |
//! | --- | --- | --- |
//! | `Key::new(["ABBA", " Dancing  Queen"])` | `4:abba13:dancing queen` | `5ab1b1f3cb63d0cf72e0c308b3c8901f` |
//! | `Key::new(["Weiß"])` | `5:weiss` | `3fbfc775f43e1e9a44a1359a21d95046` |
//! | `Key::new(["ΣΊΣΥΦΟΣ"])` | `14:σίσυφοσ` | `1f72c525f7ad386e9818bbd747050748` |
//! | `Key::exact(["GBAYE0601498"])` | `12=GBAYE0601498` | `50693ff35a8c69bca500e2b6d921b586` |
//!
//! Two keys of one hash do not mix up their values: the envelope keeps the
//! parts, and what was stored under others is a miss.

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::hex;

/// A key, normalised.
///
/// ```
/// use spinlane_core::cache::Key;
///
/// assert_eq!(Key::new(["ABBA", " Dancing  Queen"]), Key::new(["abba", "dancing queen"]));
/// assert_ne!(Key::exact(["id", "A"]), Key::exact(["id", "a"]));
/// assert_ne!(Key::new(["a"]).and_exact("page 2"), Key::new(["a"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    parts: Vec<String>,
    hashed: Vec<u8>,
}

impl Key {
    /// A key of texts.
    pub fn new<P: AsRef<str>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut key = Self::empty();
        for part in parts {
            key.push(normalised(part.as_ref()), b':');
        }
        key
    }

    /// A key of ids.
    pub fn exact<P: AsRef<str>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut key = Self::empty();
        for part in parts {
            key.push(part.as_ref().to_owned(), b'=');
        }
        key
    }

    /// The same key with one more id: a page, a language, an option.
    #[must_use]
    pub fn and_exact(mut self, part: &str) -> Self {
        self.push(part.to_owned(), b'=');
        self
    }

    const fn empty() -> Self {
        Self {
            parts: Vec::new(),
            hashed: Vec::new(),
        }
    }

    fn push(&mut self, part: String, kind: u8) {
        self.hashed.extend(part.len().to_string().bytes());
        self.hashed.push(kind);
        self.hashed.extend(part.bytes());
        self.parts.push(part);
    }

    /// Its parts as they are kept in the envelope.
    pub(super) fn parts(&self) -> &[String] {
        &self.parts
    }

    /// 32 hexadecimal digits.
    pub fn hash(&self) -> String {
        hex::encode(&Sha256::digest(&self.hashed)[..16])
    }
}

fn normalised(text: &str) -> String {
    let folded: String = text
        .nfc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfc()
        .collect();
    let mut words = folded.split_whitespace();
    let mut text = String::with_capacity(folded.len());
    text.extend(words.next());
    for word in words {
        text.push(' ');
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_down_vectors_hold() {
        for (key, hashed, hash) in [
            (
                Key::new(["ABBA", " Dancing  Queen"]),
                "4:abba13:dancing queen",
                "5ab1b1f3cb63d0cf72e0c308b3c8901f",
            ),
            (
                Key::new(["Weiß"]),
                "5:weiss",
                "3fbfc775f43e1e9a44a1359a21d95046",
            ),
            (
                Key::new(["ΣΊΣΥΦΟΣ"]),
                "14:σίσυφοσ",
                "1f72c525f7ad386e9818bbd747050748",
            ),
            (
                Key::exact(["GBAYE0601498"]),
                "12=GBAYE0601498",
                "50693ff35a8c69bca500e2b6d921b586",
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&key.hashed), hashed);
            assert_eq!(key.hash(), hash);
        }
        // The table in the module's documentation is the same.
        let documentation = include_str!("key.rs");
        let rows = documentation
            .lines()
            .filter(|line| line.starts_with("//! | `Key"));
        assert_eq!(rows.count(), 4);
    }

    #[test]
    fn what_a_person_takes_for_the_same_is_the_same() {
        for (one, other) in [
            ("Sigur Rós", "  SIGUR \t RO\u{301}S\n"),
            ("STRASSE", "straße"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Beyonce\u{301}", "BEYONCÉ"),
            ("a\u{a0}b", "A B"),
        ] {
            assert_eq!(Key::new([one]), Key::new([other]));
        }
        for (one, other) in [
            (Key::new(["ab", "c"]), Key::new(["a", "bc"])),
            (Key::new(["a"]), Key::new(["a", ""])),
            (Key::new(["a"]), Key::exact(["a"])),
            (Key::exact(["a"]), Key::exact(["A"])),
            (Key::new(["a"]), Key::new(["a"]).and_exact("de")),
            (Key::new(["1:a"]), Key::new(["1", "a"])),
        ] {
            assert_ne!(one.hash(), other.hash());
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC*") {
            let once = normalised(&text);
            prop_assert_eq!(normalised(&once), once);
        }

        #[test]
        fn keys_are_told_apart(
            one in prop::collection::vec("[a-c:=0-9 ]{0,4}", 0..4),
            other in prop::collection::vec("[a-c:=0-9 ]{0,4}", 0..4),
        ) {
            let (one, other) = (Key::exact(&one), Key::exact(&other));
            prop_assert_eq!(one.parts == other.parts, one.hashed == other.hashed);
        }
    }
}
