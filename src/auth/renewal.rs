//! Renewing a user's access to Spotify: once over all instances.
//!
//! A refresh token may be good once. So who needs a new access token looks
//! whether somebody has got one, and else claims its renewal; who does not get
//! the claim looks on. The renewal itself runs to its end, and is kept, also when
//! the run that wanted it has gone: what Spotify has replaced would be lost.

use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use tracing::{info, warn};

use super::{Account, silent};
use crate::AppState;
use crate::clients::spotify::accounts::{self, Accounts, TokenSet};
use crate::config::Secret;
use spinlane_client::{Failure, UpstreamError};
use spinlane_core::cache::session::SessionError;
use spinlane_core::scope;
use spinlane_core::store::{Claim, Claimed};

/// The call may take so long in all: its turn, its attempts, its answer.
const CALL: Duration = Duration::from_secs(8);

/// A claim holds for so long: for the call, and for keeping what it gives on a
/// store that is slow.
const CLAIM: Duration = Duration::from_secs(15);

/// Who waits for another's renewal looks for so long, this often.
const WAIT: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);

/// Where nobody can claim, a refusal is believed when nobody else has got new
/// tokens for so long.
const DOUBT: Duration = Duration::from_secs(2);

/// Where the store fails, what was got is kept by so many more tries: as long as
/// the claim holds. It is left alone for 5 s after each.
const MORE_TRIES: u32 = 2;
const TRY_AGAIN: Duration = Duration::from_secs(6);

/// The session whose tokens are renewed.
#[derive(Clone)]
pub(super) struct Renewal {
    pub(super) app: AppState,
    /// What opens the session.
    pub(super) token: Secret,
    /// Names it.
    pub(super) id: String,
}

/// Whether we may renew.
enum Right {
    /// Alone.
    Claimed(Claim),
    /// As everybody: the host has no counters.
    Everybodys,
    /// Perhaps not alone: the store does not say.
    Unknown,
}

/// What the store says of the session.
enum Kept {
    /// Tokens that are not those that we have.
    Others(Account),
    /// The same.
    Same,
    /// It has ended.
    Ended,
    /// Nothing.
    Unknown,
}

/// Tokens in place of those that were no good any more.
pub(super) enum Renewed {
    /// Another has got them.
    Elsewhere(Account),
    /// Ours, and kept.
    Here(Account),
    /// Ours, and kept as soon as the store works.
    Unkept(Account),
}

impl Renewal {
    /// Tokens in place of `old`: those that another has got meanwhile, or new
    /// ones. A session whose grant has ended ends with it. Dropping the future
    /// leaves a renewal that was begun to its end.
    ///
    /// # Errors
    /// When there are none: [`Failure::Grant`] when the session has ended.
    pub(super) async fn of(&self, mut old: Account) -> Result<Renewed, UpstreamError> {
        let clock = &self.app.ports.clock;
        let end = clock.now() + WAIT;
        loop {
            match self.look(&old).await {
                Kept::Others(account) if self.is_good(&account) => {
                    return Ok(Renewed::Elsewhere(account));
                }
                Kept::Others(account) => old = account,
                Kept::Ended => return Err(accounts::grant_ended()),
                Kept::Same | Kept::Unknown => {}
            }
            match self.attempt(old.clone()).await {
                Some(outcome) => return outcome,
                None if clock.now() >= end => return Err(accounts::too_long()),
                None => clock.sleep(LOOK).await,
            }
        }
    }

    /// Renews, unless another does: `None`. In a task of its own, which nobody's
    /// leaving ends, from the claim on: half of one would hold the others back.
    async fn attempt(&self, old: Account) -> Option<Result<Renewed, UpstreamError>> {
        let (done, outcome) = oneshot::channel();
        let this = self.clone();
        let task = async move {
            let name = format!("renewal:{}", this.id);
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
    async fn run(
        self,
        old: Account,
        right: Right,
        done: oneshot::Sender<Option<Result<Renewed, UpstreamError>>>,
    ) {
        let outcome = self.renew(old, &right).await;
        let unkept = match &outcome {
            Ok(Renewed::Unkept(account)) => Some(account.clone()),
            _ => None,
        };
        // Who waits for it may have gone.
        let _ = done.send(Some(outcome));
        if let Some(account) = unkept {
            self.keep_later(&account).await;
        }
        if let Right::Claimed(claim) = right
            && let Err(error) = claim.release().await
        {
            warn!(%error, "the next renewal of this session has to wait for a while");
        }
    }

    async fn renew(&self, old: Account, right: &Right) -> Result<Renewed, UpstreamError> {
        // Others may have been faster, before the claim was ours.
        let mut account = match self.look(&old).await {
            Kept::Others(account) if self.is_good(&account) => {
                return Ok(Renewed::Elsewhere(account));
            }
            Kept::Others(account) => account,
            Kept::Ended => return Err(accounts::grant_ended()),
            Kept::Same | Kept::Unknown => old,
        };
        let granted = match self.ask(account.refresh()).await {
            Ok(granted) => granted,
            Err(error) if matches!(error.failure, Failure::Grant) => {
                return self.refused(&account, right, error).await;
            }
            Err(error) => return Err(error),
        };
        account.renew(granted, self.app.ports.clock.unix());
        match self.keep(&account).await {
            Ok(()) => Ok(Renewed::Here(account)),
            Err(SessionError::Store(error)) => {
                // This run goes on with what it has got.
                warn!(%error, "a renewed token could not be kept yet");
                Ok(Renewed::Unkept(account))
            }
            // Logged out meanwhile.
            Err(_) => Err(accounts::grant_ended()),
        }
    }

    async fn ask(&self, refresh: &Secret) -> Result<TokenSet, UpstreamError> {
        let accounts = Accounts::new(&self.app, silent());
        let asked = Box::pin(accounts.refresh(refresh));
        match select(asked, self.app.ports.clock.sleep(CALL)).await {
            Either::Left((granted, _)) => granted,
            Either::Right(((), _)) => Err(accounts::too_long()),
        }
    }

    /// The refresh token is not accepted. Where others may have used it at the
    /// same time, that is no wonder, and ends nothing.
    async fn refused(
        &self,
        account: &Account,
        right: &Right,
        error: UpstreamError,
    ) -> Result<Renewed, UpstreamError> {
        let clock = &self.app.ports.clock;
        let doubt = match right {
            Right::Everybodys => DOUBT,
            Right::Claimed(_) | Right::Unknown => Duration::ZERO,
        };
        let end = clock.now() + doubt;
        loop {
            match self.look(account).await {
                Kept::Others(account) if self.is_good(&account) => {
                    return Ok(Renewed::Elsewhere(account));
                }
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
            Right::Unknown => false,
        };
        if !is_last_word {
            return Err(accounts::in_doubt());
        }
        self.end().await;
        Err(error)
    }

    fn is_good(&self, account: &Account) -> bool {
        account.access(self.app.ports.clock.unix()).is_some()
    }

    async fn look(&self, ours: &Account) -> Kept {
        let session = self.app.sessions.load::<Account>(self.token.expose());
        match session.await {
            Ok(session) if session.record.differs(ours) => Kept::Others(session.record),
            Ok(_) => Kept::Same,
            Err(SessionError::Store(_)) => Kept::Unknown,
            Err(_) => Kept::Ended,
        }
    }

    async fn keep(&self, account: &Account) -> Result<(), SessionError> {
        let sessions = &self.app.sessions;
        sessions.update(self.token.expose(), account).await
    }

    /// Tries again to keep it, while the claim holds others back.
    async fn keep_later(&self, account: &Account) {
        for _ in 0..MORE_TRIES {
            self.app.ports.clock.sleep(TRY_AGAIN).await;
            if !matches!(self.keep(account).await, Err(SessionError::Store(_))) {
                return;
            }
        }
        warn!("a renewed token is lost: the user may have to log in again");
    }

    async fn end(&self) {
        info!("Spotify does not accept this login any more: its session has ended");
        if let Err(error) = self.app.sessions.revoke(self.token.expose()).await {
            warn!(%error, "the session could not be removed: it ends by its time");
        }
    }
}
