//! What no output may hold.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spinlane_upstreams::Upstreams;

use super::judge::{Judged, ensure};
use crate::{KEY, OPERATOR};

/// Keys, tokens of all kinds, codes, verifiers: as many as have been given out.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<HashSet<String>>);

impl Secrets {
    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another one.
    pub fn add(&self, secret: impl Into<String>) {
        self.known().insert(secret.into());
    }

    /// All that the accounts service has given out.
    pub fn refresh(&self, upstreams: &Upstreams) {
        self.known().extend(upstreams.tokens().secrets());
    }

    /// Looks for one in `text`.
    ///
    /// # Errors
    /// When there is one.
    pub fn are_not_in(&self, what: &str, text: &str) -> Judged {
        for key in [KEY, OPERATOR] {
            ensure!(!text.contains(key), "a key is in {what}: {text}");
        }
        let known = self.known();
        // They are words: looked up, since there are thousands of them.
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        let found = text
            .split(|letter| !is_part(letter))
            .find(|word| known.contains(*word));
        ensure!(found.is_none(), "a secret is in {what}: {text}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_as_a_word() {
        let secrets = Secrets::default();
        secrets.add("BQ-one_two");
        assert_eq!(secrets.are_not_in("it", "token=BQ-one, x"), Ok(()));
        for text in ["token=BQ-one_two&x", "\"BQ-one_two\"", KEY, OPERATOR] {
            assert!(secrets.are_not_in("it", text).is_err(), "{text}");
        }
    }
}
