//! Text that others keep for us (a browser, the store), and can neither read nor
//! change.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::config::Secret;
use spinlane_core::ports::Entropy;

const NONCE: usize = 24;

/// Encrypts with a key that is derived from `secret` for this one `purpose`.
///
/// XChaCha20-Poly1305: its nonces are long enough to be random.
pub(crate) struct Cipher {
    cipher: XChaCha20Poly1305,
    purpose: &'static str,
}

impl Cipher {
    pub(crate) fn new(secret: &Secret, purpose: &'static str) -> Option<Self> {
        let mut key = [0; 32];
        let derived = Hkdf::<Sha256>::new(None, secret.expose().as_bytes());
        derived.expand(purpose.as_bytes(), &mut key).ok()?;
        let cipher = XChaCha20Poly1305::new_from_slice(&key).ok()?;
        Some(Self { cipher, purpose })
    }

    /// `text`, encrypted, in base64url.
    pub(crate) fn encrypt(&self, entropy: &dyn Entropy, text: &[u8]) -> Option<String> {
        let mut sealed = vec![0; NONCE];
        entropy.fill(&mut sealed);
        let nonce = XNonce::try_from(sealed.as_slice()).ok()?;
        let payload = Payload {
            msg: text,
            aad: self.purpose.as_bytes(),
        };
        sealed.extend(self.cipher.encrypt(&nonce, payload).ok()?);
        Some(BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }

    /// What was encrypted; `None` for anything else.
    pub(crate) fn decrypt(&self, sealed: &str) -> Option<Vec<u8>> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, msg) = sealed.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        let aad = self.purpose.as_bytes();
        self.cipher.decrypt(&nonce, Payload { msg, aad }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinlane_core::testing::SeededEntropy;

    fn cipher(secret: &str, purpose: &'static str) -> Cipher {
        Cipher::new(&Secret::new(secret), purpose).unwrap()
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
