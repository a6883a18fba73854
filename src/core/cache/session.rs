//! Sessions: what a user has given us, kept so that a leaked store opens none.
//!
//! A session's [`Token`] is 256 random bits. The store has the record under the
//! token's SHA-256, encrypted (XChaCha20-Poly1305) under a key that HKDF derives
//! from the token: who reads the store has neither. Where the record lies and
//! until when it is good are authenticated with it, so records cannot be
//! swapped, nor their lives be made longer.
//!
//! A session ends at its absolute limit, when nobody has used it for its idle
//! limit, and when it is revoked. Nothing of it waits in a queue: what
//! [`Sessions::create`] has returned for is in the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::envelope::{Header, Is, Times};
use super::index;
use super::key::hex;
use super::stamp::Stamp;
use super::store::Store;
use super::typed::Cache;
use crate::core::ports::{Entropy, Spawner, StoreError};

const TOKEN_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// When sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Not used for so long. That it is used is written down at most every
    /// quarter of this, so it may end as much earlier.
    pub idle: Duration,
    /// So long after they began, whatever is done with them.
    pub absolute: Duration,
}

impl Default for SessionLimits {
    /// 1 hour and 4 hours.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(3_600),
            absolute: Duration::from_secs(4 * 3_600),
        }
    }
}

/// What its holder opens a session with. `Debug` does not show it.
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

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The token is none of ours, or its session was ended. Which of both, the
    /// store does not know.
    #[error("there is no such session")]
    Invalid,
    /// It was good, and is too old, or was not used for too long.
    #[error("the session has expired")]
    Expired,
    /// Nobody can say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<R> {
    /// What was stored with it.
    pub record: R,
    id: String,
    until: Duration,
}

impl<R> Session<R> {
    /// Tells sessions apart, in logs too, and opens none.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it ends at the latest, since the Unix epoch.
    pub fn until(&self) -> Duration {
        self.until
    }
}

/// All sessions of one namespace.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    spawner: Arc<dyn Spawner>,
    entropy: Arc<dyn Entropy>,
    limits: SessionLimits,
    namespace: &'static str,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("namespace", &self.namespace)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions in the store of `cache`. `namespace` tells those of several
    /// kinds apart: a token of one opens none of another.
    pub fn new(cache: &Cache, namespace: &'static str, limits: SessionLimits) -> Self {
        let (store, spawner, entropy) = cache.parts();
        Self {
            store,
            spawner,
            entropy,
            limits,
            namespace,
        }
    }

    /// When they end.
    pub const fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn create<R: Serialize>(&self, record: &R) -> Result<Token, StoreError> {
        let mut bytes = [0; TOKEN_BYTES];
        self.entropy.fill(&mut bytes);
        let secret = Opener::new(bytes);
        let end = self.now().plus(self.limits.absolute);
        let key = self.record_key(&secret.id);
        index::note(&self.store, &[(key.clone(), end)]).await?;
        self.store
            .set(&key, &self.seal(&secret, record, end)?)
            .await?;
        Ok(Token(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The session that `token` opens. One read of the store; a second one when
    /// its record was not written for longer than the idle limit.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn load<R: DeserializeOwned>(&self, token: &str) -> Result<Session<R>, SessionError> {
        let secret = Opener::parse(token)?;
        let (header, plain) = self.open(&secret).await?;
        let record = serde_json::from_slice(&plain).map_err(|_| SessionError::Invalid)?;
        let now = self.now();
        if now >= header.stale_until {
            return Err(SessionError::Expired);
        }
        let mut seen = header.stored;
        if now >= header.fresh_until {
            seen = self.seen(&secret.id).await?.unwrap_or(seen);
            if now >= seen.plus(self.limits.idle) {
                return Err(SessionError::Expired);
            }
        }
        if now >= seen.plus(self.limits.idle / 4) {
            self.touch(secret.id.clone(), header.stale_until);
        }
        Ok(Session {
            record,
            id: secret.id,
            until: header.stale_until.unix(),
        })
    }

    /// Puts `record` in place of what the session had. Its token and its end
    /// stay as they are.
    ///
    /// # Errors
    /// See [`SessionError`]. A session that is ended meanwhile stays ended.
    pub async fn update<R: Serialize>(&self, token: &str, record: &R) -> Result<(), SessionError> {
        let secret = Opener::parse(token)?;
        let (header, _) = self.open(&secret).await?;
        if self.now() >= header.stale_until {
            return Err(SessionError::Expired);
        }
        let key = self.record_key(&secret.id);
        let sealed = self.seal(&secret, record, header.stale_until)?;
        self.store.set(&key, &sealed).await?;
        // Whoever ended it wrote this before the record was removed: either the
        // removal came after our write, or we see it here.
        if self.store.get(&self.ended_key(&secret.id)).await?.is_some() {
            self.store.delete(&key).await?;
            return Err(SessionError::Invalid);
        }
        Ok(())
    }

    /// A new session with `record`, in place of the one that `old` opens: at
    /// each login, so that a token known before it is worth nothing after it.
    ///
    /// # Errors
    /// When the store does not take it. The old session may be open still then.
    pub async fn rotate<R: Serialize>(&self, old: &str, record: &R) -> Result<Token, StoreError> {
        self.revoke(old).await?;
        self.create(record).await
    }

    /// Ends the session that `token` opens, if it opens one.
    ///
    /// # Errors
    /// When the store fails. The session may be open still then.
    pub async fn revoke(&self, token: &str) -> Result<(), StoreError> {
        let Ok(secret) = Opener::parse(token) else {
            return Ok(());
        };
        let record = self.record_key(&secret.id);
        if self.store.get(&record).await?.is_none() {
            return Ok(());
        }
        // For those who are about to write it anew: see `update`.
        let ended = self.ended_key(&secret.id);
        let end = self.now().plus(self.limits.absolute);
        self.mark(&ended, &secret.id, end).await?;
        self.store.delete(&record).await
    }

    fn record_key(&self, id: &str) -> String {
        format!("{}:{id}", self.namespace)
    }

    fn seen_key(&self, id: &str) -> String {
        format!("{}-seen:{id}", self.namespace)
    }

    fn ended_key(&self, id: &str) -> String {
        format!("{}-ended:{id}", self.namespace)
    }

    fn now(&self) -> Stamp {
        Stamp::new(self.store.unix())
    }

    /// An envelope without a value, good until `until`.
    async fn mark(&self, key: &str, id: &str, until: Stamp) -> Result<(), StoreError> {
        let times = Times {
            stored: self.now().min(until),
            fresh_until: until,
            stale_until: until,
        };
        let kind = key.split(':').next().unwrap_or_default();
        let header = Header::new(kind, VERSION, &[id.to_owned()], Is::Miss, times);
        index::note(&self.store, &[(key.to_owned(), until)]).await?;
        self.store.set(key, &header.line()).await
    }

    /// When the session was used last, as far as that was written down.
    async fn seen(&self, id: &str) -> Result<Option<Stamp>, StoreError> {
        let mark = self.store.get(&self.seen_key(id)).await?;
        let header = mark.as_deref().and_then(Header::split);
        Ok(header.map(|(header, _)| header.stored))
    }

    /// Writes down, after the response, that the session is in use. Not into
    /// its record: another instance may be writing that.
    fn touch(&self, id: String, end: Stamp) {
        let this = self.clone();
        self.spawner.after_response(Box::pin(async move {
            let recently = this.now();
            let seen = this.seen(&id).await.ok().flatten();
            if seen.is_some_and(|seen| recently < seen.plus(this.limits.idle / 4)) {
                return;
            }
            let until = recently.plus(this.limits.idle).min(end);
            // Should it fail, the session ends earlier than it might.
            let _ = this.mark(&this.seen_key(&id), &id, until).await;
        }));
    }

    /// The record's envelope and what it holds, once it has proved genuine.
    async fn open(&self, secret: &Opener) -> Result<(Header, Vec<u8>), SessionError> {
        let bytes = self.store.get(&self.record_key(&secret.id)).await?;
        let bytes = bytes.ok_or(SessionError::Invalid)?;
        let (header, sealed) = Header::split(&bytes).ok_or(SessionError::Invalid)?;
        let line = &bytes[..bytes.len() - sealed.len()];
        let genuine = header.is_of(self.namespace, VERSION, std::slice::from_ref(&secret.id));
        let plain = secret.decrypt(self.namespace, line, sealed);
        match plain.filter(|_| genuine) {
            Some(plain) => Ok((header, plain)),
            None => Err(SessionError::Invalid),
        }
    }

    fn seal<R: Serialize>(
        &self,
        secret: &Opener,
        record: &R,
        end: Stamp,
    ) -> Result<Vec<u8>, StoreError> {
        let stored = self.now();
        let times = Times {
            stored,
            fresh_until: stored.plus(self.limits.idle).min(end),
            stale_until: end,
        };
        let id = std::slice::from_ref(&secret.id);
        let mut bytes = Header::new(self.namespace, VERSION, id, Is::Hit, times).line();
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let sealed = serde_json::to_vec(record)
            .ok()
            .and_then(|plain| secret.encrypt(self.namespace, &bytes, nonce, &plain));
        let unwritable = || StoreError::Refused("the record cannot be written".into());
        bytes.extend(sealed.ok_or_else(unwritable)?.into_bytes());
        Ok(bytes)
    }
}

/// The form of records and marks.
const VERSION: u16 = 1;

/// A token as its holder brings it, and what is derived from it.
struct Opener {
    token: [u8; TOKEN_BYTES],
    /// The token's SHA-256, in hexadecimal.
    id: String,
}

impl Opener {
    fn new(token: [u8; TOKEN_BYTES]) -> Self {
        Self {
            token,
            id: hex(&Sha256::digest(token)),
        }
    }

    fn parse(text: &str) -> Result<Self, SessionError> {
        let mut token = [0; TOKEN_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut token) {
            Ok(TOKEN_BYTES) => Ok(Self::new(token)),
            _ => Err(SessionError::Invalid),
        }
    }

    /// The cipher of this session's records, in this namespace.
    fn cipher(&self, namespace: &str) -> XChaCha20Poly1305 {
        let mut key = [0; 32];
        let info = [b"spinlane session record:".as_slice(), namespace.as_bytes()];
        let derived = Hkdf::<Sha256>::new(None, &self.token).expand_multi_info(&info, &mut key);
        debug_assert!(derived.is_ok(), "32 bytes are not too many");
        XChaCha20Poly1305::new(&key.into())
    }

    /// The nonce and what is encrypted, as base64.
    fn encrypt(
        &self,
        namespace: &str,
        line: &[u8],
        nonce: [u8; NONCE_BYTES],
        plain: &[u8],
    ) -> Option<String> {
        let payload = Payload {
            msg: plain,
            aad: line,
        };
        let sealed = self
            .cipher(namespace)
            .encrypt(&XNonce::from(nonce), payload);
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed.ok()?].concat()))
    }

    fn decrypt(&self, namespace: &str, line: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: sealed,
            aad: line,
        };
        let plain = self
            .cipher(namespace)
            .decrypt(&XNonce::from(*nonce), payload);
        plain.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ports::{Clock, KeyValue};
    use crate::core::testing::World;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const TICK: Duration = Duration::from_millis(1);
    const SECRET: &str = "spotify-access-token-0123456789";

    fn sessions(world: &World) -> Sessions {
        let cache = Cache::new(&world.ports(), Arc::default());
        Sessions::new(&cache, "session", SessionLimits::default())
    }

    fn run<F: Future>(world: &World, request: F) -> F::Output {
        let output = world.run(request);
        world.drain();
        output
    }

    fn load(world: &World, token: &str) -> Result<String, SessionError> {
        let sessions = sessions(world);
        let session = run(world, sessions.load::<String>(token))?;
        Ok(session.record)
    }

    fn create(world: &World) -> Token {
        let sessions = sessions(world);
        run(world, sessions.create(&SECRET)).unwrap()
    }

    #[test]
    fn a_session_opens_for_its_token_alone() {
        let world = World::new();
        let (one, other) = (create(&world), create(&world));
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 43);
        assert_eq!(load(&world, one.expose()).as_deref(), Ok(SECRET));
        let forged = URL_SAFE_NO_PAD.encode([7; TOKEN_BYTES]);
        let longer = format!("{}A", one.expose());
        for token in ["", "x", &one.expose()[..42], &longer, &forged, "ü"] {
            assert_eq!(load(&world, token), Err(SessionError::Invalid), "{token}");
        }
        // Nor does it open what another kind of session has under it.
        let cache = Cache::new(&world.ports(), Arc::default());
        let codes = Sessions::new(&cache, "code", SessionLimits::default());
        let opened = run(&world, codes.load::<String>(one.expose()));
        assert_eq!(opened, Err(SessionError::Invalid));
    }

    /// A grep of the store's dump finds neither session nor access token.
    #[test]
    fn the_store_holds_neither_the_token_nor_what_it_protects() {
        let world = World::new();
        let token = create(&world);
        let sessions = sessions(&world);
        let renewed = "spotify-renewed-token-0123456789";
        run(&world, sessions.update(token.expose(), &renewed)).unwrap();
        world.clock.advance(HOUR / 2);
        load(&world, token.expose()).unwrap();
        let dump = world.store.dump();
        assert!(dump.keys().any(|key| key.starts_with("session:")));
        assert!(dump.keys().any(|key| key.starts_with("session-seen:")));
        let raw = URL_SAFE_NO_PAD.decode(token.expose()).unwrap();
        for (key, value) in dump {
            let text = format!("{key} {}", String::from_utf8_lossy(&value));
            for secret in [token.expose(), SECRET, renewed, "spotify", &hex(&raw)] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        assert_eq!(format!("{token:?}"), "***");
    }

    #[test]
    fn an_unused_session_ends_after_an_hour_and_a_used_one_after_four() {
        let world = World::new();
        let (unused, used) = (create(&world), create(&world));
        let begin = world.clock.now();
        world.clock.advance(HOUR - TICK);
        assert_eq!(load(&world, used.expose()).as_deref(), Ok(SECRET));
        world.clock.advance(TICK);
        assert_eq!(load(&world, unused.expose()), Err(SessionError::Expired));
        // In use every 44 minutes: what is written down is at most a quarter of
        // an hour older than the last use.
        for _ in 0..4 {
            assert_eq!(load(&world, used.expose()).as_deref(), Ok(SECRET));
            world.clock.advance(Duration::from_secs(44 * 60));
        }
        assert_eq!(load(&world, used.expose()).as_deref(), Ok(SECRET));
        world
            .clock
            .advance(4 * HOUR - (world.clock.now() - begin) - TICK);
        assert_eq!(load(&world, used.expose()).as_deref(), Ok(SECRET));
        world.clock.advance(TICK);
        assert_eq!(load(&world, used.expose()), Err(SessionError::Expired));
    }

    #[test]
    fn a_load_is_one_read() {
        let world = World::new();
        let token = create(&world);
        let sessions = sessions(&world);
        world.clock.advance(HOUR / 2);
        let before = world.store.calls();
        world.run(sessions.load::<String>(token.expose())).unwrap();
        assert_eq!(world.store.calls(), before + 1);
        world.drain();
    }

    #[test]
    fn a_session_that_was_ended_is_none() {
        let world = World::new();
        let sessions = sessions(&world);
        let token = create(&world);
        run(&world, sessions.revoke(token.expose())).unwrap();
        assert_eq!(load(&world, token.expose()), Err(SessionError::Invalid));
        let update = run(&world, sessions.update(token.expose(), &SECRET));
        assert_eq!(update, Err(SessionError::Invalid));
        // Ending what is none changes nothing.
        let before = world.store.dump();
        for token in [token.expose(), "x", &URL_SAFE_NO_PAD.encode([7; 32])] {
            run(&world, sessions.revoke(token)).unwrap();
        }
        assert_eq!(world.store.dump(), before);
    }

    /// A store that ends the session while another instance writes it anew.
    struct Meanwhile {
        world: World,
        token: String,
    }

    impl KeyValue for Meanwhile {
        fn get<'a>(
            &'a self,
            key: &'a str,
        ) -> crate::core::ports::BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
            self.world.store.get(key)
        }

        fn set<'a>(
            &'a self,
            key: &'a str,
            value: &'a [u8],
        ) -> crate::core::ports::BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                let other = sessions(&self.world);
                other.revoke(&self.token).await?;
                self.world.store.set(key, value).await
            })
        }

        fn delete<'a>(
            &'a self,
            key: &'a str,
        ) -> crate::core::ports::BoxFuture<'a, Result<(), StoreError>> {
            KeyValue::delete(&self.world.store, key)
        }

        fn keys(&self) -> crate::core::ports::BoxFuture<'_, Result<Vec<String>, StoreError>> {
            self.world.store.keys()
        }
    }

    #[test]
    fn a_log_out_during_an_update_stays_one() {
        let world = World::new();
        let token = create(&world);
        let mut ports = world.ports();
        ports.key_value = Some(Arc::new(Meanwhile {
            world: world.clone(),
            token: token.expose().to_owned(),
        }));
        let cache = Cache::new(&ports, Arc::default());
        let slow = Sessions::new(&cache, "session", SessionLimits::default());
        let update = run(&world, slow.update(token.expose(), &"new"));
        assert_eq!(update, Err(SessionError::Invalid));
        assert_eq!(load(&world, token.expose()), Err(SessionError::Invalid));
    }

    #[test]
    fn a_login_takes_a_new_token_and_ends_the_old_one() {
        let world = World::new();
        let sessions = sessions(&world);
        let old = create(&world);
        let new = run(&world, sessions.rotate(old.expose(), &"another")).unwrap();
        assert_eq!(load(&world, old.expose()), Err(SessionError::Invalid));
        assert_eq!(load(&world, new.expose()).as_deref(), Ok("another"));
    }

    #[test]
    fn a_store_in_trouble_opens_nothing() {
        let world = World::new();
        let token = create(&world);
        let fault = StoreError::Unavailable("gone".into());
        world.store.fail_with(Some(fault.clone()));
        assert_eq!(
            load(&world, token.expose()),
            Err(SessionError::Store(fault))
        );
        let sessions = sessions(&world);
        assert!(run(&world, sessions.create(&SECRET)).is_err());
    }

    /// Each record in the other's place: both lie under the wrong token.
    #[test]
    fn records_cannot_be_swapped() {
        let world = World::new();
        let (one, other) = (create(&world), create(&world));
        let mut records: Vec<_> = world.store.dump().into_iter().collect();
        records.retain(|(key, _)| key.starts_with("session:"));
        world.store.put_raw(&records[0].0, records[1].1.clone());
        world.store.put_raw(&records[1].0, records[0].1.clone());
        for token in [one, other] {
            assert_eq!(load(&world, token.expose()), Err(SessionError::Invalid));
        }
    }

    proptest! {
        /// Any byte changed, or the rest cut off: no session, and no longer one.
        #[test]
        fn a_record_that_was_changed_opens_nothing(
            at in any::<prop::sample::Index>(),
            byte: u8,
            cut: bool,
        ) {
            let world = World::new();
            let token = create(&world);
            let dump = world.store.dump();
            let (key, record) = dump.iter().find(|(key, _)| key.starts_with("session:")).unwrap();
            let (mut bad, at) = (record.clone(), at.index(record.len()));
            if cut {
                bad.truncate(at);
            } else {
                bad[at] = byte;
            }
            let same = bad == *record;
            world.store.put_raw(key, bad);
            let loaded = load(&world, token.expose());
            if same {
                prop_assert_eq!(loaded.as_deref(), Ok(SECRET));
            } else {
                prop_assert_eq!(loaded, Err(SessionError::Invalid));
            }
        }
    }
}
