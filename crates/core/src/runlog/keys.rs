//! The same prompt twice: one run for each caller and key, over all instances.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Key;
use crate::hex;
use crate::ports::StoreError;
use crate::seal::{self, Cipher};
use crate::store::{Claim, Claimed, Header, Is, Store, Times, Timestamp};

/// A key is known for so long, and at most twice as long.
const PERIOD: Duration = Duration::from_secs(24 * 3_600);

/// How long others wait for the one who has claimed a key, and how often they look.
const WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

const VERSION: u16 = 1;

/// The keys of an application's runs.
///
/// The claim of a key is a counter. Who has it writes down, under caller and key, the
/// run's id and a MAC of what was asked, encrypted under a key that is derived from the
/// key itself.
///
/// ```
/// use spinlane_core::runlog::{Keyed, Keys, Known};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let keys = || Keys::new(&Store::open(&world.ports()), "run-key");
/// world.run(async {
///     let Keyed::Ours(claim) = keys().claim("me", "my key", b"{}").await? else { panic!() };
///     claim.fulfil("the run's id").await?;
///     let again = keys().claim("me", "my key", b"{}").await?;
///     assert!(matches!(again, Keyed::Known(Known::Run(id)) if id == "the run's id"));
///     let other = keys().claim("me", "my key", b"{ }").await?;
///     assert!(matches!(other, Keyed::Known(Known::Other)));
///     Ok::<(), spinlane_core::ports::StoreError>(())
/// })?;
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Keys {
    store: Store,
    namespace: &'static str,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Whose a key is.
///
/// ```
/// use spinlane_core::runlog::{Keyed, Keys};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let keys = Keys::new(&Store::open(&world.ports()), "run-key");
/// let first = world.run(keys.claim("me", "a key", b"{}"))?;
/// assert!(matches!(first, Keyed::Ours(_)));
/// // Its run has not begun.
/// let second = world.run(keys.claim("me", "a key", b"{}"))?;
/// assert!(matches!(second, Keyed::Pending));
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Debug)]
pub enum Keyed {
    /// Nobody has used it: a run may begin.
    Ours(KeyClaim),
    /// There is a run by it.
    Known(Known),
    /// Somebody has claimed it, and does not say what for: it has died, or is slow.
    Pending,
}

/// What a key stands for.
///
/// ```
/// use spinlane_core::runlog::Known;
///
/// // What a request is answered that comes with a key that is known.
/// let answer = |known: &Known| match known {
///     Known::Run(id) => format!("200, run {id}"),
///     Known::Other => "422".to_owned(),
/// };
/// assert_eq!(answer(&Known::Run("7".to_owned())), "200, run 7");
/// assert_eq!(answer(&Known::Other), "422");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The run of this id, for which the same was asked.
    Run(String),
    /// Something else was asked by it.
    Other,
}

/// The right to begin the run of a key.
///
/// ```
/// use spinlane_core::runlog::{Keyed, Keys};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let keys = Keys::new(&Store::open(&world.ports()), "run-key");
/// world.run(async {
///     let Keyed::Ours(claim) = keys.claim("me", "a key", b"{}").await? else { panic!() };
///     // The caller has no quota left: the key is free again.
///     claim.release().await;
///     assert!(matches!(keys.claim("me", "a key", b"{}").await?, Keyed::Ours(_)));
///     Ok::<(), spinlane_core::ports::StoreError>(())
/// })?;
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
pub struct KeyClaim {
    keys: Keys,
    claim: Claim,
    entry: Entry,
    mac: String,
}

impl fmt::Debug for KeyClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyClaim").finish_non_exhaustive()
    }
}

/// Where a key's record is, and what opens it.
struct Entry {
    hash: String,
    cipher: Cipher,
}

#[derive(Serialize, Deserialize)]
struct Record {
    run: String,
    mac: String,
}

impl Keys {
    /// Keys in `store`, in a namespace of their own.
    pub fn new(store: &Store, namespace: &'static str) -> Self {
        Self {
            store: store.clone(),
            namespace,
        }
    }

    /// Their namespace in the store. For the [full sweep](Store::full_sweep).
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Claims `key` of `caller`, by which `body` is asked: two increments, or one and a
    /// read where it is known. Waits up to 5 s for who has it to say what for.
    ///
    /// # Errors
    /// When the store fails, is left alone, or has no counters: nobody knows then.
    pub async fn claim(&self, caller: &str, key: &str, body: &[u8]) -> Result<Keyed, StoreError> {
        let entry = Entry {
            hash: Key::exact([caller, key]).hash(),
            cipher: Cipher::derived(key.as_bytes(), &[b"spinlane idempotency key"]),
        };
        let secret = [b"spinlane idempotent body:", key.as_bytes()].concat();
        let mac = hex::encode(&seal::mac(&secret, body));
        let name = format!("{}:{}", self.namespace, entry.hash);
        match self.store.claim_once(&name, PERIOD).await? {
            Some(Claimed::Ours(claim)) => Ok(Keyed::Ours(KeyClaim {
                keys: self.clone(),
                claim,
                entry,
                mac,
            })),
            Some(Claimed::Theirs) => self.known(&entry, &mac).await,
            None => Err(StoreError::Unavailable("this host has no counters".into())),
        }
    }

    /// What somebody else's claim comes to.
    async fn known(&self, entry: &Entry, mac: &str) -> Result<Keyed, StoreError> {
        let clock = self.store.clock();
        let begin = clock.now();
        loop {
            if let Some(record) = self.read(entry).await? {
                return Ok(Keyed::Known(match record.mac == mac {
                    true => Known::Run(record.run),
                    false => Known::Other,
                }));
            }
            if clock.now() - begin >= WAIT {
                return Ok(Keyed::Pending);
            }
            clock.sleep(LOOK).await;
        }
    }

    async fn read(&self, entry: &Entry) -> Result<Option<Record>, StoreError> {
        let bytes = self.store.get(&self.key(entry)).await?;
        Ok(bytes.and_then(|bytes| {
            let (header, sealed) = Header::split(&bytes)?;
            let hash = std::slice::from_ref(&entry.hash);
            let line = &bytes[..bytes.len() - sealed.len()];
            let is_ours = header.is_of(self.namespace, VERSION, hash);
            let plain = entry.cipher.open(line, sealed).filter(|_| is_ours)?;
            serde_json::from_slice(&plain).ok()
        }))
    }

    fn key(&self, entry: &Entry) -> String {
        format!("{}:{}", self.namespace, entry.hash)
    }
}

impl KeyClaim {
    /// Says that the run called `id` is what the key stands for, as long as the claim
    /// holds.
    ///
    /// # Errors
    /// When the store does not take it. Nobody else can begin a run by the key.
    pub async fn fulfil(&self, id: &str) -> Result<(), StoreError> {
        let store = &self.keys.store;
        let until = Timestamp::new(self.claim.end());
        let times = Times {
            stored: Timestamp::new(store.unix()).min(until),
            fresh_until: until,
            stale_until: until,
        };
        let hash = std::slice::from_ref(&self.entry.hash);
        let header = Header::new(self.keys.namespace, VERSION, hash, Is::Hit, times);
        let mut bytes = header.line();
        let record = Record {
            run: id.to_owned(),
            mac: self.mac.clone(),
        };
        let plain = serde_json::to_vec(&record).unwrap_or_default();
        let sealed = self.entry.cipher.seal(&**store.entropy(), &bytes, &plain);
        let unwritable = || StoreError::Refused("the record cannot be written".into());
        bytes.extend(sealed.ok_or_else(unwritable)?);
        store
            .put(&self.keys.key(&self.entry), &bytes, until.unix())
            .await
    }

    /// Gives the key back, where no run has begun by it.
    pub async fn release(self) {
        // Where it fails the key stays taken until the claim's time is over.
        let _ = self.claim.release().await;
    }
}
