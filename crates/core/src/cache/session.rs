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
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::StoreError;
use crate::store::{Header, Is, Store, Times, Timestamp};

mod token;

pub use token::Token;
use token::{Opener, TOKEN_BYTES};

/// The form of records and marks.
const VERSION: u16 = 1;

/// When sessions end.
///
/// ```
/// use std::time::Duration;
///
/// use spinlane_core::cache::session::{SessionError, SessionLimits, Sessions};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let limits = SessionLimits::new(Duration::from_secs(600), Duration::from_secs(3_600));
/// let sessions = Sessions::new(&Store::open(&world.ports()), "session", limits);
/// let token = world.run(sessions.create(&7))?;
/// world.clock.advance(limits.idle);
/// let unused = world.run(sessions.load::<u32>(token.expose()));
/// assert_eq!(unused, Err(SessionError::Expired));
/// # Ok::<(), SessionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionLimits {
    /// Not used for so long. That it is used is written down at most every
    /// quarter of this, so it may end as much earlier.
    pub idle: Duration,
    /// So long after they began, whatever is done with them.
    pub absolute: Duration,
}

impl SessionLimits {
    /// They end when they were not used for `idle`, and `absolute` after they began.
    pub const fn new(idle: Duration, absolute: Duration) -> Self {
        Self { idle, absolute }
    }
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

/// Why there is no session.
///
/// ```
/// use spinlane_core::cache::session::{SessionError, SessionLimits, Sessions};
/// use spinlane_core::ports::StoreError;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let sessions = Sessions::new(&Store::open(&world.ports()), "session", SessionLimits::default());
/// let load = |token: &str| world.run(sessions.load::<u32>(token));
/// // Its holder has to log in.
/// assert_eq!(load("none of ours"), Err(SessionError::Invalid));
/// let token = world.run(sessions.create(&7))?;
/// world.store.fail_with(Some(StoreError::Unavailable("it is gone".into())));
/// // Its holder has to try again: the session may be good still.
/// assert!(matches!(load(token.expose()), Err(SessionError::Store(_))));
/// # Ok::<(), SessionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
///
/// ```
/// use spinlane_core::cache::session::{Session, SessionError, SessionLimits, Sessions};
/// use spinlane_core::ports::Clock;
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let sessions = Sessions::new(&Store::open(&world.ports()), "session", SessionLimits::default());
/// let token = world.run(sessions.create(&7))?;
/// let session: Session<u32> = world.run(sessions.load(token.expose()))?;
/// assert_eq!(session.until(), world.clock.unix() + sessions.limits().absolute);
/// // So it may be in a log.
/// assert!(world.run(sessions.load::<u32>(session.id())).is_err());
/// # Ok::<(), SessionError>(())
/// ```
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
///
/// ```
/// use spinlane_core::cache::session::{SessionError, SessionLimits, Sessions};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let sessions = Sessions::new(&Store::open(&world.ports()), "session", SessionLimits::default());
/// let token = world.run(sessions.create(&"what is stored"))?;
/// let session = world.run(sessions.load::<String>(token.expose()))?;
/// assert_eq!(session.record, "what is stored");
/// world.run(sessions.revoke(token.expose()))?;
/// let gone = world.run(sessions.load::<String>(token.expose()));
/// assert_eq!(gone, Err(SessionError::Invalid));
/// # Ok::<(), SessionError>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    store: Store,
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
    /// Sessions in `store`. `namespace` tells those of several
    /// kinds apart: a token of one opens none of another.
    pub fn new(store: &Store, namespace: &'static str, limits: SessionLimits) -> Self {
        Self {
            store: store.clone(),
            limits,
            namespace,
        }
    }

    /// When they end.
    pub const fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// The namespaces of the store that they use: their own, and those of marks
    /// that one was used or ended. For the [full sweep](Store::full_sweep).
    pub fn namespaces(&self) -> [String; 3] {
        [
            self.namespace.to_owned(),
            self.seen_space(),
            self.ended_space(),
        ]
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn create<R: Serialize>(&self, record: &R) -> Result<Token, StoreError> {
        let mut bytes = [0; TOKEN_BYTES];
        self.store.entropy().fill(&mut bytes);
        let secret = Opener::new(bytes);
        let end = self.now().plus(self.limits.absolute);
        let key = self.record_key(&secret.id);
        let encrypted = self.encrypted_record(&secret, record, end)?;
        self.store.put(&key, &encrypted, end.unix()).await?;
        Ok(secret.token())
    }

    /// The session that `token` opens. Two reads of the store, of its record and
    /// of the mark that it was ended; a third one when its record was not written
    /// for longer than the idle limit. A session that is marked is ended,
    /// whatever its record says: a write that was under way when it was ended may
    /// have brought that back.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn load<R: DeserializeOwned>(&self, token: &str) -> Result<Session<R>, SessionError> {
        let secret = Opener::parse(token)?;
        let (header, plain) = self.open(&secret).await?;
        if self.is_ended(&secret.id).await? {
            return Err(SessionError::Invalid);
        }
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
        let encrypted = self.encrypted_record(&secret, record, header.stale_until)?;
        self.store.set(&key, &encrypted).await?;
        // Whoever ended it wrote the mark before the record was removed: either
        // the removal came after our write, or we see the mark here. Should the
        // store fail in between, `load` sees it.
        if self.is_ended(&secret.id).await? {
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
        // For those who are about to write it anew: see `load`. It lasts for as
        // long as the record could.
        let ended = self.ended_key(&secret.id);
        let end = self.now().plus(self.limits.absolute);
        self.mark(&ended, &secret.id, end).await?;
        self.store.delete(&record).await
    }

    fn record_key(&self, id: &str) -> String {
        format!("{}:{id}", self.namespace)
    }

    fn seen_space(&self) -> String {
        format!("{}-seen", self.namespace)
    }

    fn ended_space(&self) -> String {
        format!("{}-ended", self.namespace)
    }

    fn seen_key(&self, id: &str) -> String {
        format!("{}:{id}", self.seen_space())
    }

    fn ended_key(&self, id: &str) -> String {
        format!("{}:{id}", self.ended_space())
    }

    fn now(&self) -> Timestamp {
        Timestamp::new(self.store.unix())
    }

    /// An envelope without a value, good until `until`.
    async fn mark(&self, key: &str, id: &str, until: Timestamp) -> Result<(), StoreError> {
        let times = Times {
            stored: self.now().min(until),
            fresh_until: until,
            stale_until: until,
        };
        let kind = key.split(':').next().unwrap_or_default();
        let header = Header::new(kind, VERSION, &[id.to_owned()], Is::Miss, times);
        self.store.put(key, &header.line(), until.unix()).await
    }

    /// Whether somebody has ended it.
    async fn is_ended(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.store.get(&self.ended_key(id)).await?.is_some())
    }

    /// When the session was used last, as far as that was written down.
    async fn seen(&self, id: &str) -> Result<Option<Timestamp>, StoreError> {
        let mark = self.store.get(&self.seen_key(id)).await?;
        let header = mark.as_deref().and_then(Header::split);
        Ok(header.map(|(header, _)| header.stored))
    }

    /// Writes down, after the response, that the session is in use. Not into
    /// its record: another instance may be writing that.
    fn touch(&self, id: String, end: Timestamp) {
        let this = self.clone();
        self.store.spawner().after_response(Box::pin(async move {
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
        let (header, encrypted) = Header::split(&bytes).ok_or(SessionError::Invalid)?;
        let line = &bytes[..bytes.len() - encrypted.len()];
        let genuine = header.is_of(self.namespace, VERSION, std::slice::from_ref(&secret.id));
        let plain = secret.decrypt(self.namespace, line, encrypted);
        match plain.filter(|_| genuine) {
            Some(plain) => Ok((header, plain)),
            None => Err(SessionError::Invalid),
        }
    }

    fn encrypted_record<R: Serialize>(
        &self,
        secret: &Opener,
        record: &R,
        end: Timestamp,
    ) -> Result<Vec<u8>, StoreError> {
        let stored = self.now();
        let times = Times {
            stored,
            fresh_until: stored.plus(self.limits.idle).min(end),
            stale_until: end,
        };
        let id = std::slice::from_ref(&secret.id);
        let mut bytes = Header::new(self.namespace, VERSION, id, Is::Hit, times).line();
        let entropy = &**self.store.entropy();
        let encrypted = serde_json::to_vec(record)
            .ok()
            .and_then(|plain| secret.encrypt(self.namespace, &bytes, entropy, &plain));
        let unwritable = || StoreError::Refused("the record cannot be written".into());
        bytes.extend(encrypted.ok_or_else(unwritable)?.into_bytes());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
