//! Tokens in place of those that are no good any more: got once over all instances,
//! where a renewal makes the ones before it worthless.
//!
//! A user's refresh token may be good once. So who needs a new access token looks
//! whether somebody has got one, and else claims its renewal; who does not get
//! the claim looks on. The renewal itself runs to its end, and is kept, also when
//! the run that wanted it has gone: what Spotify has replaced would be lost. The
//! application's own token needs none of that: any number of them is good.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use tracing::{info, warn};

use super::accounts::{self, TokenSet};
use super::grant::Grant;
use super::tokens::{Ended, TokenStore};
use crate::AppState;
use spinlane_client::{Failure, UpstreamError};
use spinlane_core::cache::session::SessionError;
use spinlane_core::scope;
use spinlane_core::store::{Claim, Claimed};

/// The call of a renewal that was claimed may take so long in all: its turn, its
/// attempts, its answer.
const CALL: Duration = Duration::from_secs(8);

/// A claim holds for so long: for the call, and for keeping what it gives on a
/// store that is slow.
const CLAIM: Duration = Duration::from_secs(15);

/// Who waits for another's renewal looks for so long, this often.
const WAIT: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);

/// A refusal is believed, where nobody can claim, when nobody else has got new
/// tokens for so long.
const DOUBT: Duration = Duration::from_secs(2);

/// What was got is kept by so many more tries where the store fails: as long as
/// the claim holds. It is left alone for 5 s after each.
const MORE_TRIES: u32 = 2;
const TRY_AGAIN: Duration = Duration::from_secs(6);

/// The renewal of a grant.
#[derive(Clone)]
pub(super) struct Renewal {
    app: AppState,
    store: Arc<dyn TokenStore>,
}

/// Whether we may renew.
enum Right {
    /// We may beside others, whose tokens are as good.
    Free,
    /// We may, alone.
    Claimed(Claim),
    /// Everybody may, though it should be one alone: the host has no counters.
    Everybodys,
    /// We may perhaps not be alone: the store does not say.
    Unknown,
}

/// What the store says of the grant.
enum Kept {
    /// Tokens that are not those that we have.
    Others(Grant),
    /// The same.
    Same,
    /// It has ended.
    Ended,
    /// Nothing.
    Unknown,
}

/// Tokens in place of those that were no good any more.
struct Renewed {
    grant: Grant,
    /// Whether the store has them.
    kept: bool,
}

type Outcome = Result<Renewed, UpstreamError>;

impl Renewal {
    pub(super) fn new(app: &AppState, store: &Arc<dyn TokenStore>) -> Self {
        let (app, store) = (app.clone(), Arc::clone(store));
        Self { app, store }
    }

    /// Tokens in place of `old`: those that another has got meanwhile, or new
    /// ones. A session whose grant has ended ends with it. Dropping the future
    /// leaves a renewal that was claimed to its end.
    ///
    /// # Errors
    /// When there are none: [`Failure::Grant`] when the grant has ended.
    pub(super) async fn grant(&self, old: Option<Grant>) -> Result<Grant, UpstreamError> {
        let renewed = match self.store.exclusive() {
            Some(name) => self.in_turn(name, old).await,
            None => self.renew(old, &Right::Free).await,
        };
        Ok(renewed?.grant)
    }

    /// Renews it, or waits for another's renewal.
    async fn in_turn(&self, name: &str, mut old: Option<Grant>) -> Outcome {
        let clock = &self.app.ports.clock;
        let end = clock.now() + WAIT;
        loop {
            match self.look(old.as_ref()).await {
                Kept::Others(grant) if self.is_good(&grant) => return Ok(Renewed::kept(grant)),
                Kept::Others(grant) => old = Some(grant),
                Kept::Ended => return Err(accounts::grant_ended()),
                Kept::Same | Kept::Unknown => {}
            }
            match self.attempt(name, old.clone()).await {
                Some(outcome) => return outcome,
                None if clock.now() >= end => return Err(accounts::too_long()),
                None => clock.sleep(LOOK).await,
            }
        }
    }

    /// Renews, unless another does: `None`. In a task of its own, which nobody's
    /// leaving ends, from the claim on: half of one would hold the others back.
    async fn attempt(&self, name: &str, old: Option<Grant>) -> Option<Outcome> {
        let (done, outcome) = oneshot::channel();
        let this = self.clone();
        let name = format!("renewal:{name}");
        let task = async move {
            let right = match this.app.store.claim(&name, CLAIM).await {
                Ok(None) => Right::Everybodys,
                Ok(Some(Claimed::Ours(claim))) => Right::Claimed(claim),
                Ok(Some(Claimed::Theirs)) => {
                    let _ = done.send(None);
                    return;
                }
                Err(_) => Right::Unknown,
            };
            this.run(old, right, done).await;
        };
        self.app.ports.spawner.spawn(scope::inherit(task));
        let outcome = outcome.await;
        // The task tells in any case.
        outcome.unwrap_or_else(|_| Some(Err(accounts::in_doubt())))
    }

    /// Renews, keeps what comes of it, and tells `done`.
    async fn run(self, old: Option<Grant>, right: Right, done: oneshot::Sender<Option<Outcome>>) {
        let outcome = self.renew(old, &right).await;
        let unkept = match &outcome {
            Ok(Renewed { grant, kept: false }) => Some(grant.clone()),
            _ => None,
        };
        // Who waits for it may have gone.
        let _ = done.send(Some(outcome));
        if let Some(grant) = unkept {
            self.keep_later(&grant).await;
        }
        if let Right::Claimed(claim) = right
            && let Err(error) = claim.release().await
        {
            warn!(%error, "the next renewal of this session has to wait for a while");
        }
    }

    async fn renew(&self, old: Option<Grant>, right: &Right) -> Outcome {
        // Others may have been faster.
        let old = match self.look(old.as_ref()).await {
            Kept::Others(grant) if self.is_good(&grant) => return Ok(Renewed::kept(grant)),
            Kept::Others(grant) => Some(grant),
            Kept::Ended => return Err(accounts::grant_ended()),
            Kept::Same | Kept::Unknown => old,
        };
        let granted = match self.ask(old.as_ref(), right).await {
            Ok(granted) => granted,
            Err(error) if matches!(error.failure, Failure::Grant) => {
                return self.refused(old.as_ref(), right, error).await;
            }
            Err(error) => return Err(error),
        };
        let now = self.app.ports.clock.unix();
        let grant = match old {
            Some(old) => old.renewed(granted, now),
            None => Grant::new(granted, now),
        };
        match self.store.keep(&grant).await {
            Ok(()) => Ok(Renewed::kept(grant)),
            Err(SessionError::Store(error)) => {
                // This run goes on with what it has got.
                warn!(%error, "a renewed token could not be kept yet");
                Ok(Renewed { grant, kept: false })
            }
            // Logged out meanwhile.
            Err(_) => Err(accounts::grant_ended()),
        }
    }

    /// Asks for new tokens; where others are held back, for as long as that lasts.
    async fn ask(&self, old: Option<&Grant>, right: &Right) -> Result<TokenSet, UpstreamError> {
        let asked = self.store.ask(old);
        if matches!(right, Right::Free) {
            return asked.await;
        }
        match select(asked, self.app.ports.clock.sleep(CALL)).await {
            Either::Left((granted, _)) => granted,
            Either::Right(((), _)) => Err(accounts::too_long()),
        }
    }

    /// The refresh token is not accepted. Where others may have used it at the
    /// same time, that is no wonder, and ends nothing.
    async fn refused(&self, old: Option<&Grant>, right: &Right, error: UpstreamError) -> Outcome {
        if matches!(right, Right::Free) {
            return Err(error);
        }
        let clock = &self.app.ports.clock;
        let doubt = match right {
            Right::Everybodys => DOUBT,
            Right::Free | Right::Claimed(_) | Right::Unknown => Duration::ZERO,
        };
        let end = clock.now() + doubt;
        loop {
            match self.look(old).await {
                Kept::Others(grant) if self.is_good(&grant) => return Ok(Renewed::kept(grant)),
                Kept::Ended => return Err(error),
                Kept::Others(_) | Kept::Unknown => return Err(accounts::in_doubt()),
                Kept::Same => {}
            }
            if clock.now() >= end {
                break;
            }
            clock.sleep(LOOK).await;
        }
        let is_last_word = match right {
            Right::Claimed(claim) => claim.holds(clock.now()),
            Right::Everybodys => true,
            Right::Free | Right::Unknown => false,
        };
        if !is_last_word {
            return Err(accounts::in_doubt());
        }
        info!("Spotify does not accept this login any more: its session has ended");
        self.store.end().await;
        Err(error)
    }

    fn is_good(&self, grant: &Grant) -> bool {
        grant.usable(self.app.ports.clock.unix()).is_some()
    }

    async fn look(&self, ours: Option<&Grant>) -> Kept {
        match self.store.load().await {
            Ok(Some(grant)) if ours.is_none_or(|ours| grant.differs(ours)) => Kept::Others(grant),
            Ok(Some(_)) => Kept::Same,
            Ok(None) => Kept::Unknown,
            Err(Ended) => Kept::Ended,
        }
    }

    /// Tries again to keep it, while the claim holds others back.
    async fn keep_later(&self, grant: &Grant) {
        for _ in 0..MORE_TRIES {
            self.app.ports.clock.sleep(TRY_AGAIN).await;
            if !matches!(self.store.keep(grant).await, Err(SessionError::Store(_))) {
                return;
            }
        }
        warn!("a renewed token is lost: the user may have to log in again");
    }
}

impl Renewed {
    fn kept(grant: Grant) -> Self {
        Self { grant, kept: true }
    }
}
