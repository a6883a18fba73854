//! What opens a session, and what is derived from it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::SessionError;
use crate::hex;
use crate::ports::Entropy;
use crate::seal::Cipher;

pub(super) const TOKEN_BYTES: usize = 32;

/// What its holder opens a session with. `Debug` does not show it.
///
/// ```
/// use spinlane_core::cache::session::{SessionLimits, Sessions};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let sessions = Sessions::new(&Store::open(&world.ports()), "session", SessionLimits::default());
/// let token = world.run(sessions.create(&7))?;
/// assert_eq!(format!("{token:?}"), "***");
/// let cookie = format!("__Host-session={}; Path=/; Secure; HttpOnly", token.expose());
/// assert!(!cookie.contains("***"));
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, 43 characters: for its holder, and nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A token as its holder brings it, and what is derived from it.
pub(super) struct Opener {
    token: [u8; TOKEN_BYTES],
    /// The token's SHA-256, in hexadecimal.
    pub(super) id: String,
}

impl Opener {
    pub(super) fn new(token: [u8; TOKEN_BYTES]) -> Self {
        Self {
            token,
            id: hex::encode(&Sha256::digest(token)),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, SessionError> {
        let mut token = [0; TOKEN_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut token) {
            Ok(TOKEN_BYTES) => Ok(Self::new(token)),
            _ => Err(SessionError::Invalid),
        }
    }

    pub(super) fn token(&self) -> Token {
        Token(URL_SAFE_NO_PAD.encode(self.token))
    }

    /// The cipher of this session's records, in this namespace.
    fn cipher(&self, namespace: &str) -> Cipher {
        let purpose = [b"spinlane session record:".as_slice(), namespace.as_bytes()];
        Cipher::derived(&self.token, &purpose)
    }

    /// The nonce and what is encrypted, as base64.
    pub(super) fn encrypt(
        &self,
        namespace: &str,
        line: &[u8],
        entropy: &dyn Entropy,
        plain: &[u8],
    ) -> Option<String> {
        let sealed = self.cipher(namespace).seal(entropy, line, plain)?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    pub(super) fn decrypt(
        &self,
        namespace: &str,
        line: &[u8],
        encrypted: &[u8],
    ) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(encrypted).ok()?;
        self.cipher(namespace).open(line, &sealed)
    }
}
