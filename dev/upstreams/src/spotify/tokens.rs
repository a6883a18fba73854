//! Which tokens there are, for whom, and for how long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dice::Dice;

/// How long a code may be exchanged.
const CODE: Duration = Duration::from_secs(600);

/// The tokens of the accounts service. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dice: Dice,
    lifetime: Duration,
    rotate: bool,
    /// Empty: every URI that the service would let anybody register.
    redirect_uris: Vec<String>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Grant>,
    codes: HashMap<String, (Code, Instant)>,
    /// All that only its bearer may know, given out or shown.
    secrets: Vec<String>,
}

#[derive(Clone, Debug)]
struct Access {
    /// `None`: the application by itself.
    grant: Option<Grant>,
    /// `None`: for ever.
    until: Option<Instant>,
}

/// What a user has consented to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grant {
    pub(super) client: String,
    pub(super) scopes: Vec<String>,
}

impl Grant {
    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
}

/// What a code stands for.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
}

/// A token that was given out.
#[derive(Clone, Debug)]
pub struct Granted {
    /// For calls.
    pub access_token: String,
    /// For new ones, when a user has consented; when it did not change, none.
    pub refresh_token: Option<String>,
    /// How long the access token lives.
    pub lifetime: Duration,
    /// The scopes, separated by spaces.
    pub scope: String,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Unknown,
    Expired,
}

impl Tokens {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: Dice::new(seed, "tokens"),
            lifetime: Duration::from_secs(3600),
            rotate: false,
            redirect_uris: Vec::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            codes: HashMap::new(),
            secrets: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long later access tokens live; an hour at first.
    pub fn lifetime(&self, time: Duration) {
        self.state().lifetime = time;
    }

    /// Whether each refresh gives a new refresh token, and ends the old one.
    pub fn rotate(&self, rotate: bool) {
        self.state().rotate = rotate;
    }

    /// Takes these redirect URIs only. At first every one is taken that may be
    /// registered: loopback literals, and https.
    pub fn register<S: Into<String>>(&self, redirect_uris: impl IntoIterator<Item = S>) {
        self.state().redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
    }

    /// Lets every access token expire now.
    pub fn expire_all(&self) {
        let now = Instant::now();
        for access in self.state().access.values_mut() {
            access.until = Some(now);
        }
    }

    /// Ends every refresh token: the user has withdrawn the consent.
    pub fn revoke_all(&self) {
        self.expire_all();
        self.state().refresh.clear();
    }

    /// How many refresh tokens are good.
    pub fn consents(&self) -> usize {
        self.state().refresh.len()
    }

    /// Every token and code that was given out, good or not any more, and every
    /// verifier that was shown: for tests that look for them where they must not
    /// be.
    pub fn secrets(&self) -> Vec<String> {
        self.state().secrets.clone()
    }

    /// A client has shown `verifier`.
    pub(super) fn note_verifier(&self, verifier: &str) {
        self.state().secrets.push(verifier.to_owned());
    }

    /// Back to the beginning: no tokens, lives of an hour, no rotation.
    pub fn reset(&self) {
        let mut state = self.state();
        state.lifetime = Duration::from_secs(3600);
        state.rotate = false;
        state.redirect_uris.clear();
        state.access.clear();
        state.refresh.clear();
        state.codes.clear();
        state.secrets.clear();
    }

    /// Tokens of the user, as if the consent had been given.
    pub fn user(&self, client: &str, scopes: &[&str]) -> Granted {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        self.grant_user(Grant {
            client: client.to_owned(),
            scopes,
        })
    }

    pub(super) fn grant_user(&self, grant: Grant) -> Granted {
        let mut state = self.state();
        let refresh = state.refresh_token(grant.clone());
        state.issue(Some(grant), Some(refresh))
    }

    pub(super) fn grant_app(&self) -> Granted {
        self.state().issue(None, None)
    }

    /// New tokens for a refresh token, unless it is not that client's.
    pub(super) fn refresh(&self, token: &str, client: &str) -> Option<Granted> {
        let mut state = self.state();
        let grant = state.refresh.get(token).cloned();
        let grant = grant.filter(|grant| grant.client == client)?;
        let mut news = None;
        if state.rotate {
            state.refresh.remove(token);
            news = Some(state.refresh_token(grant.clone()));
        }
        Some(state.issue(Some(grant), news))
    }

    pub(super) fn code(&self, code: Code) -> String {
        let mut state = self.state();
        let name = format!("AQ{}", state.dice.base62(160));
        state.secrets.push(name.clone());
        let until = Instant::now() + CODE;
        state.codes.insert(name.clone(), (code, until));
        name
    }

    /// What a code stands for. It is worth nothing afterwards.
    pub(super) fn redeem(&self, code: &str) -> Option<Code> {
        let (code, until) = self.state().codes.remove(code)?;
        (Instant::now() < until).then_some(code)
    }

    /// Whether a code may be sent there.
    pub(super) fn may_redirect(&self, uri: &str) -> bool {
        let state = self.state();
        match state.redirect_uris.as_slice() {
            [] => {
                uri.starts_with("https://")
                    || uri.starts_with("http://127.0.0.1")
                    || uri.starts_with("http://[::1]")
            }
            registered => registered.iter().any(|known| known == uri),
        }
    }

    /// What a token is good for: `None` for the application by itself.
    pub(super) fn check(&self, token: &str) -> Result<Option<Grant>, Refused> {
        let state = self.state();
        let access = state.access.get(token).ok_or(Refused::Unknown)?;
        if access.until.is_some_and(|until| until <= Instant::now()) {
            return Err(Refused::Expired);
        }
        Ok(access.grant.clone())
    }
}

impl State {
    fn refresh_token(&mut self, grant: Grant) -> String {
        let token = format!("AQ{}", self.dice.base62(120));
        self.secrets.push(token.clone());
        self.refresh.insert(token.clone(), grant);
        token
    }

    fn issue(&mut self, grant: Option<Grant>, refresh_token: Option<String>) -> Granted {
        let access_token = format!("BQ{}", self.dice.base62(140));
        self.secrets.push(access_token.clone());
        let scope = grant.as_ref().map(|grant| grant.scopes.join(" "));
        let access = Access {
            grant,
            until: Instant::now().checked_add(self.lifetime),
        };
        self.access.insert(access_token.clone(), access);
        Granted {
            access_token,
            refresh_token,
            lifetime: self.lifetime,
            scope: scope.unwrap_or_default(),
        }
    }
}
