//! Text that others keep for us (a browser, the store), and can neither read nor
//! change.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::config::Secret;
use spinlane_core::ports::Entropy;
use spinlane_core::seal;

/// Encrypts with a key that is derived from `secret` for this one `purpose`, to and
/// from base64url.
pub(crate) struct Cipher {
    cipher: seal::Cipher,
    purpose: &'static str,
}

impl Cipher {
    pub(crate) fn new(secret: &Secret, purpose: &'static str) -> Self {
        let secret = secret.expose().as_bytes();
        Self {
            cipher: seal::Cipher::derived(secret, &[purpose.as_bytes()]),
            purpose,
        }
    }

    /// `text`, encrypted, in base64url.
    pub(crate) fn encrypt(&self, entropy: &dyn Entropy, text: &[u8]) -> Option<String> {
        let sealed = self.cipher.seal(entropy, self.purpose.as_bytes(), text)?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }

    /// What was encrypted; `None` for anything else.
    pub(crate) fn decrypt(&self, sealed: &str) -> Option<Vec<u8>> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        self.cipher.open(self.purpose.as_bytes(), &sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinlane_core::testing::SeededEntropy;

    fn cipher(secret: &str, purpose: &'static str) -> Cipher {
        Cipher::new(&Secret::new(secret), purpose)
    }

    #[test]
    fn opens_with_the_same_secret_and_purpose_only() {
        let entropy = SeededEntropy::new(7);
        let sealed = cipher("s", "a").encrypt(&entropy, b"verifier").unwrap();
        assert_eq!(
            cipher("s", "a").decrypt(&sealed).as_deref(),
            Some(&b"verifier"[..])
        );
        assert_eq!(cipher("s", "b").decrypt(&sealed), None);
        assert_eq!(cipher("t", "a").decrypt(&sealed), None);
        let again = cipher("s", "a").encrypt(&entropy, b"verifier").unwrap();
        assert_ne!(sealed, again);
    }

    #[test]
    fn nothing_else_opens() {
        let cipher = cipher("s", "a");
        let sealed = cipher.encrypt(&SeededEntropy::new(7), b"verifier").unwrap();
        for end in 0..sealed.len() {
            assert_eq!(cipher.decrypt(&sealed[..end]), None, "{end}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                cipher.decrypt(&String::from_utf8(changed).unwrap()),
                None,
                "{at}"
            );
        }
        assert_eq!(cipher.decrypt("="), None);
    }
}
