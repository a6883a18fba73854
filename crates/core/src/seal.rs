//! What others keep for us (the store, a browser), and can neither read nor change:
//! one encryption for all of it.
//!
//! XChaCha20-Poly1305, whose nonces are long enough to be random, under a key that
//! HKDF-SHA-256 derives from a secret for one purpose.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::ports::Entropy;

const NONCE: usize = 24;

/// Encrypts for one purpose.
///
/// ```
/// use spinlane_core::seal::Cipher;
/// use spinlane_core::testing::SeededEntropy;
///
/// let cipher = Cipher::derived(b"a secret", &[b"letters"]);
/// let sealed = cipher.seal(&SeededEntropy::new(1), b"to you", b"hello").unwrap();
/// assert_eq!(cipher.open(b"to you", &sealed).as_deref(), Some(&b"hello"[..]));
/// assert_eq!(cipher.open(b"to me", &sealed), None);
/// ```
#[derive(Clone)]
pub struct Cipher(XChaCha20Poly1305);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cipher").finish_non_exhaustive()
    }
}

impl Cipher {
    /// With a key that is derived from `secret` for `purpose`, whose parts are
    /// concatenated.
    pub fn derived(secret: &[u8], purpose: &[&[u8]]) -> Self {
        let mut key = [0; 32];
        let derived = Hkdf::<Sha256>::new(None, secret).expand_multi_info(purpose, &mut key);
        debug_assert!(derived.is_ok(), "32 bytes are not too many");
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// The nonce, and `plain` encrypted. `about` is not in it, and has to be the same
    /// where it is opened. `None` where `plain` is too long (256 GiB).
    pub fn seal(&self, entropy: &dyn Entropy, about: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: about,
        };
        let encrypted = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([nonce.as_slice(), &encrypted].concat())
    }

    /// What was sealed; `None` for anything else.
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, msg) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg, aad: about };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

/// A MAC of `message` under `secret` (HMAC-SHA-256): who does not have the secret
/// learns nothing of the message by it.
pub fn mac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    // HKDF's first step is just that.
    Hkdf::<Sha256>::extract(Some(secret), message).0.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    fn cipher(secret: &[u8], purpose: &[u8]) -> Cipher {
        Cipher::derived(secret, &[purpose])
    }

    #[test]
    fn opens_with_the_same_secret_and_purpose_only() {
        let entropy = SeededEntropy::new(7);
        let sealed = cipher(b"s", b"a").seal(&entropy, b"x", b"plain").unwrap();
        let opened = cipher(b"s", b"a").open(b"x", &sealed);
        assert_eq!(opened.as_deref(), Some(&b"plain"[..]));
        assert_eq!(cipher(b"s", b"b").open(b"x", &sealed), None);
        assert_eq!(cipher(b"t", b"a").open(b"x", &sealed), None);
        assert_eq!(cipher(b"s", b"a").open(b"y", &sealed), None);
        let again = cipher(b"s", b"a").seal(&entropy, b"x", b"plain").unwrap();
        assert_ne!(sealed, again);
    }

    #[test]
    fn nothing_else_opens() {
        let cipher = cipher(b"s", b"a");
        let sealed = cipher.seal(&SeededEntropy::new(7), b"", b"plain").unwrap();
        for end in 0..sealed.len() {
            assert_eq!(cipher.open(b"", &sealed[..end]), None, "{end}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(cipher.open(b"", &changed), None, "{at}");
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_mac_is_hmac() {
        let mac = mac(b"Jefe", b"what do ya want for nothing?");
        let hex = crate::hex::encode(&mac);
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex, known);
    }
}
