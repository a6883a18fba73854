//! Values that must not be printed.

use std::fmt;

/// A key, token or client secret. `Debug` and `Display` print `***`, so that a
/// `Config` can be logged; [`Secret::expose`] is the only way to the value.
///
/// ```
/// use spinlane_client::Secret;
///
/// let key = Secret::new("sk-1");
/// assert_eq!(format!("{key:?}"), "***");
/// assert!(key.matches("sk-1"));
/// assert_eq!(key.redact("bad key sk-1"), "bad key ***");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself: for the header or form field that needs it, nothing
    /// else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this secret, in time that does not depend on
    /// where they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), candidate.as_bytes());
        if own.len() != other.len() {
            return false;
        }
        let difference = own.iter().zip(other).fold(0, |acc, (a, b)| acc | (a ^ b));
        std::hint::black_box(difference) == 0
    }

    /// `text` with every occurrence of this secret replaced, for texts that
    /// come from elsewhere (an upstream may echo the key that it refuses).
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&*self.0, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_printed() {
        let secret = Secret::new("sk-very-secret");
        let printed = format!("{secret} {secret:?} {:#?}", Some(&secret));
        assert!(!printed.contains("very"), "{printed}");
    }

    #[test]
    fn matches_only_itself() {
        let secret = Secret::new("token");
        assert!(secret.matches("token"));
        assert!(!secret.matches("tokem"));
        assert!(!secret.matches("toke"));
        assert!(!secret.matches(""));
    }

    #[test]
    fn is_taken_out_of_foreign_text() {
        let secret = Secret::new("sk-1");
        assert_eq!(secret.redact("bad key sk-1, sk-1!"), "bad key ***, ***!");
    }
}
