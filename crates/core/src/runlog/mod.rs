//! Runs outlive connections: what a run says is kept in the store, encrypted, so that
//! it can be read again from any instance.
//!
//! **The log.** The run alone writes it ([`LogWriter`]). Segment k holds the frames
//! 64k+1 to 64k+64, as they were on the wire, under `{namespace}:{SHA-256(id)}:{k}`,
//! encrypted under a key that is derived from the run's id: who reads the store reads no
//! conversation. One entry in the index stands for all of them. The newest segment is
//! written again while frames come, and at least every 5 s with another touch number, by
//! which readers see that the run lives.
//!
//! **Pace.** The log may end, the answer never. A write-out that took t is followed by
//! the next no sooner than the larger of 250 ms and 20 t, above 64 KiB no sooner than a
//! second. The pause is never longer than 10 s: readers take a run for lost whose touch
//! number stays for 20 s. What the pause then does not bound ends the log: the third
//! call in a row above 500 ms; writes that have taken more than 1.5 s, and more than a
//! tenth of the run's time; and one call that fails.
//!
//! **Reading** ([`LogReader`]): frames after a number, then what comes. A reader notes
//! every 5 s that it is there, so that a run whose client has gone knows whether
//! anybody still wants it ([`Readers`]).
//!
//! **The same again** ([`Keys`]): one run for each caller and key, over all instances.

mod keys;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use keys::{KeyClaim, Keyed, Keys, Known};
pub use reader::{LogReader, Piece, Readers};
pub use writer::LogWriter;

use crate::hex;
use crate::ports::StoreError;
use crate::seal::Cipher;
use crate::store::{READER, Store, Timestamp};
use segment::Segment;

/// Frames in a segment.
const FRAMES: usize = 64;

/// How often the newest segment is touched, where no frame comes, and how often a reader
/// notes that it is there.
const TOUCH: Duration = Duration::from_secs(5);

/// A run whose touch number stays for so long, by the reader's own clock, is lost.
const LOST: Duration = Duration::from_secs(20);

/// A log is kept for so long after its run's end, and for so long at most.
const KEPT: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(3_600);

/// The logs of an application's runs.
///
/// ```
/// use spinlane_core::runlog::{Piece, RunLogs};
/// use spinlane_core::sse::{self, Event, WriterConfig};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let logs = || RunLogs::new(&Store::open(&world.ports()), "run").expect("there are counters");
/// let numbered = WriterConfig::default().numbered(true);
/// let (writer, body) = sse::channel(world.ports().clock, numbered, None);
/// let recording = writer.record();
/// world.run(async {
///     let log = logs().begin("the run's id", None).await.unwrap();
///     writer.feed(Event::data("hello")).await.unwrap();
///     // Its client goes, and its work ends.
///     drop((body, writer));
///     log.keep(recording).await;
///     // Another instance.
///     let mut reader = logs().open("the run's id", None, 0).await.unwrap();
///     assert_eq!(reader.next().await, Piece::Frames("id: 1\ndata: hello\n\n".into()));
///     assert_eq!(reader.next().await, Piece::Ended);
/// });
/// ```
#[derive(Clone)]
pub struct RunLogs {
    store: Store,
    namespace: &'static str,
}

impl fmt::Debug for RunLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLogs")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Why there is nothing to read.
///
/// ```
/// use spinlane_core::runlog::{RunLogs, Unreadable};
/// use spinlane_core::store::Store;
/// use spinlane_core::testing::World;
///
/// let world = World::new();
/// let logs = RunLogs::new(&Store::open(&world.ports()), "run").expect("there are counters");
/// let log = world.run(logs.begin("its id", Some("me")))?;
/// let open = |id, reader| world.run(logs.open(id, reader, 0)).map(drop);
/// assert_eq!(open("its id", Some("me")), Ok(()));
/// // Others do not learn that it is there.
/// assert_eq!(open("its id", Some("you")), Err(Unreadable::Unknown));
/// assert_eq!(open("another", Some("me")), Err(Unreadable::Unknown));
/// # drop(log);
/// # Ok::<(), spinlane_core::ports::StoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// There is no such run for this reader, or not any more.
    #[error("there is no such run")]
    Unknown,
    /// Its log has ended before the run has.
    #[error("what the run says is not kept any more")]
    Gone,
    /// It has ended, and the reader has all of it.
    #[error("the run has ended, and nothing is left of it")]
    NothingLeft,
    /// Nobody can say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunLogs {
    /// Logs in `store`, in a namespace of their own. `None` where the host has no store,
    /// or none with counters: it may be another one for each instance.
    pub fn new(store: &Store, namespace: &'static str) -> Option<Self> {
        (store.is_there() && store.has_counters()).then(|| Self {
            store: store.clone(),
            namespace,
        })
    }

    /// Their namespace in the store. For the [full sweep](Store::full_sweep).
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Begins the log of the run called `id`, which is to be 128 random bits or more:
    /// who knows it can read the log. Where it has an `owner`, only who is the same can.
    /// One call of the store: the log is there when this resolves.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn begin(&self, id: &str, owner: Option<&str>) -> Result<LogWriter, StoreError> {
        LogWriter::begin(self.place(id), owner).await
    }

    /// What the run called `id` has said after its frame number `after`, and will say,
    /// for `reader`. Mostly one call of the store, and a few more where `after` is
    /// beyond the first segment.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub async fn open(
        &self,
        id: &str,
        reader: Option<&str>,
        after: u64,
    ) -> Result<LogReader, Unreadable> {
        LogReader::open(self.place(id), reader, after).await
    }

    fn place(&self, id: &str) -> Place {
        let hash = hex::encode(&Sha256::digest(id));
        Place(Arc::new(Run {
            prefix: format!("{}:{hash}:", self.namespace),
            store: self.store.clone(),
            namespace: self.namespace,
            cipher: Cipher::derived(id.as_bytes(), &[b"spinlane run log"]),
            hash,
        }))
    }
}

/// Where one run's log is, and what opens it.
#[derive(Clone)]
struct Place(Arc<Run>);

struct Run {
    store: Store,
    namespace: &'static str,
    /// The id's SHA-256, in hexadecimal.
    hash: String,
    /// Begins the keys.
    prefix: String,
    cipher: Cipher,
}

impl std::ops::Deref for Place {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.0
    }
}

impl Run {
    fn key(&self, segment: u64) -> String {
        format!("{}{segment}", self.prefix)
    }

    fn reader_key(&self) -> String {
        format!("{}{READER}", self.prefix)
    }

    /// What a key's value says that it is of.
    fn named(&self, part: impl fmt::Display) -> [String; 2] {
        [self.hash.clone(), part.to_string()]
    }

    async fn read(&self, number: u64) -> Result<Option<Segment>, StoreError> {
        let bytes = self.store.get(&self.key(number)).await?;
        Ok(bytes.and_then(|bytes| self.decoded(number, &bytes)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::new(self.store.unix())
    }
}

/// Tells an owner from others, without naming it.
fn mark_of(owner: &str) -> String {
    hex::encode(&Sha256::digest(owner)[..16])
}
