//! A login under way: begun here, allowed at Spotify, ended at the callback.
//!
//! OAuth 2.0, authorization code with PKCE (S256). State and verifier wait in a
//! sealed cookie: the callback is good only in the browser that began the login,
//! for ten minutes, once.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aead::Cipher;
use crate::config::{Config, Secret};
use spinlane_core::ports::Ports;

/// How long a login may take.
pub(crate) const LASTS: Duration = Duration::from_secs(600);

/// What is asked for: to read playlists, and to make and change them.
const SCOPES: &str = "playlist-read-private playlist-read-collaborative \
     playlist-modify-private playlist-modify-public";

/// The longest path to return to.
const MAX_PATH: usize = 512;

/// What the browser keeps between login and callback.
#[derive(Serialize, Deserialize)]
pub(crate) struct Login {
    /// Comes back with the callback.
    state: String,
    /// Proves to Spotify that who ends the login has begun it.
    verifier: String,
    /// Seconds since the Unix epoch.
    begun: u64,
    /// The path of this page to go on at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) return_to: Option<String>,
    /// What the page on the other origin wants to see again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_state: Option<String>,
}

impl Login {
    pub(crate) fn begin(
        ports: &Ports,
        return_to: Option<String>,
        client_state: Option<String>,
    ) -> Self {
        Self {
            state: random(ports),
            verifier: random(ports),
            begun: ports.clock.unix().as_secs(),
            return_to,
            client_state,
        }
    }

    /// The login as the cookie has it.
    pub(crate) fn sealed(&self, ports: &Ports, secret: &Secret) -> Option<String> {
        let text = serde_json::to_vec(self).ok()?;
        cipher(secret).encrypt(&*ports.entropy, &text)
    }

    /// Out of the cookie: a login that was begun here, lately, and whose state
    /// this is.
    pub(crate) fn resume(
        ports: &Ports,
        secret: &Secret,
        cookie: &str,
        state: &str,
    ) -> Option<Self> {
        let login: Self = serde_json::from_slice(&cipher(secret).decrypt(cookie)?).ok()?;
        let now = ports.clock.unix().as_secs();
        let lately = now.saturating_sub(login.begun) <= LASTS.as_secs();
        (lately && Secret::new(login.state.as_str()).matches(state)).then_some(login)
    }

    pub(crate) fn verifier(&self) -> Secret {
        Secret::new(self.verifier.as_str())
    }

    /// The address at which Spotify asks the user.
    pub(crate) fn consent_url(&self, config: &Config, client_id: &str) -> String {
        let challenge = Sha256::digest(self.verifier.as_bytes());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("scope", SCOPES)
            .append_pair("redirect_uri", &redirect_uri(config))
            .append_pair("state", &self.state)
            .append_pair("code_challenge_method", "S256")
            .append_pair("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge))
            .finish();
        config
            .spotify()
            .accounts_url
            .url(&format!("/authorize?{query}"))
    }
}

/// Whether a grant of these scopes, separated by spaces, is of any use. None at
/// all: the service does not say.
pub(crate) fn allows_something(granted: &str) -> bool {
    let mut granted = granted.split_whitespace().peekable();
    granted.peek().is_none()
        || granted.any(|scope| SCOPES.split_whitespace().any(|asked| asked == scope))
}

/// The address that Spotify sends the user back to. It has to be registered there.
pub(crate) fn redirect_uri(config: &Config) -> String {
    config.edge().public_url.url("/api/auth/callback")
}

/// Whether a login may go on at `path`: on this site and nowhere else, in the
/// page and not in the API.
pub(crate) fn may_return_to(path: &str) -> bool {
    // Browsers read a backslash as a slash, and drop tabs and line ends.
    path.len() <= MAX_PATH
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/api/")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Whether a page on the other origin may have `state` back: it is written into
/// a URL as it is.
pub(crate) fn may_come_back(state: &str) -> bool {
    (1..=128).contains(&state.len())
        && state
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

fn cipher(secret: &Secret) -> Cipher {
    Cipher::new(secret, "spinlane login cookie v1")
}

/// 256 bits, in base64url.
fn random(ports: &Ports) -> String {
    let mut bytes = [0; 32];
    ports.entropy.fill(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinlane_core::testing::World;

    fn secret() -> Secret {
        Secret::new("client-secret")
    }

    #[test]
    fn resumes_with_its_state_for_ten_minutes() {
        let world = World::new();
        let ports = world.ports();
        let login = Login::begin(&ports, Some("/x".into()), None);
        let cookie = login.sealed(&ports, &secret()).unwrap();
        let resume = |state: &str| Login::resume(&ports, &secret(), &cookie, state);
        let resumed = resume(&login.state).unwrap();
        assert_eq!(resumed.verifier, login.verifier);
        assert_eq!(resumed.return_to.as_deref(), Some("/x"));
        assert!(resume("").is_none());
        assert!(resume(&login.verifier).is_none());
        let other = Login::begin(&ports, None, None);
        assert!(resume(&other.state).is_none());
        assert!(Login::resume(&ports, &Secret::new("x"), &cookie, &login.state).is_none());

        world.clock.advance(LASTS);
        assert!(resume(&login.state).is_some());
        world.clock.advance(Duration::from_secs(1));
        assert!(resume(&login.state).is_none());
    }

    #[test]
    fn the_cookie_tells_nothing() {
        let ports = World::new().ports();
        let login = Login::begin(&ports, None, None);
        let cookie = login.sealed(&ports, &secret()).unwrap();
        let plain = BASE64_URL_SAFE_NO_PAD.decode(&cookie).unwrap();
        let plain = String::from_utf8_lossy(&plain).into_owned();
        assert!(!plain.contains(&login.state) && !plain.contains(&login.verifier));
        assert_ne!(login.state, login.verifier);
        assert_eq!(login.verifier.len(), 43);
    }

    #[test]
    fn the_challenge_is_the_verifiers_hash() {
        // The example of RFC 7636, appendix B.
        let login = Login {
            state: "s".into(),
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
            begun: 0,
            return_to: None,
            client_state: None,
        };
        let config = Config::new(|_| None);
        let url = login.consent_url(&config, "id");
        let expected = "https://accounts.spotify.com/authorize?response_type=code&client_id=id&";
        assert!(url.starts_with(expected), "{url}");
        let challenge = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(url.contains(challenge), "{url}");
        let redirect = "redirect_uri=http%3A%2F%2F127.0.0.1%3A3000%2Fapi%2Fauth%2Fcallback&";
        assert!(url.contains(redirect), "{url}");
    }

    #[test]
    fn a_grant_of_other_scopes_is_of_no_use() {
        for granted in [
            "",
            " ",
            SCOPES,
            "playlist-read-private",
            "x playlist-modify-public",
        ] {
            assert!(allows_something(granted), "{granted}");
        }
        for granted in [
            "user-read-email",
            "playlist-modify",
            "streaming user-top-read",
        ] {
            assert!(!allows_something(granted), "{granted}");
        }
    }

    #[test]
    fn only_paths_of_this_site_are_returned_to() {
        for path in ["/", "/x?y=1#z", "/playlist/1", "/apis"] {
            assert!(may_return_to(path), "{path}");
        }
        for path in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/a b",
            "/\tevil",
            "/\n/evil.example",
            "/é",
            "/api/auth/login",
            &format!("/{}", "x".repeat(MAX_PATH)),
        ] {
            assert!(!may_return_to(path), "{path:?}");
        }
    }

    #[test]
    fn what_comes_back_is_plain() {
        assert!(may_come_back("aZ09-_.~"));
        for state in ["", "a&b", "a#b", "a b", "é", &"x".repeat(129)] {
            assert!(!may_come_back(state), "{state:?}");
        }
    }
}
