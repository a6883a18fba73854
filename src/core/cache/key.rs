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
//! | `Key::new(["ABBA", " Dancing  Queen"])` | `4:abba13:dancing queen` | `e00d8d62a04cdbe1e4d6a2f4bf3e3d9c` |
//! | `Key::exact(["GBAYE0601498"])` | `12=GBAYE0601498` | `` |
//! | `Key::new(["Weiß"])` | `6:weiss` | `` |
//!
//! Two keys of one hash do not mix up their values: the envelope keeps the
//! parts, and what was stored under others is a miss.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

/// A key, normalised.
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
        hex(&Sha256::digest(&self.hashed)[..16])
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Cannot fail: it writes into memory.
        let _ = write!(text, "{byte:02x}");
    }
    text
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
