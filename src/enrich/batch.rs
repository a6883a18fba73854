//! One source asked about many tracks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use tracing::{info, warn};

use super::reservation::Reservation;
use super::skip::SkipReason;
use super::throttled::Steps;
use crate::error::{Code, ErrorObject, code};
use crate::music::Track;
use spinlane_client::{Failure, UpstreamError};
use spinlane_core::limit::{Budget, BusyCause};
use spinlane_core::ports::{BoxFuture, Clock, HttpError, Instant};

/// Tracks that are looked up at a time.
const AT_ONCE: usize = 10;

/// Failures in a row after which a source is left alone.
const GIVE_UP: u32 = 5;

/// Answers in a row, about their track and of no use, after which it is: one is
/// skipped alone, but where there is no other kind something else answers.
const GIVE_UP_ANSWERS: u32 = 20;

/// Something that can be found out about tracks.
pub(super) trait Source: Sync {
    /// What is found out.
    type Value: Clone + Send;

    /// Its name in the log.
    const NAME: &'static str;

    /// Tracks with the same one are looked up once.
    fn identity(track: &Track) -> String;

    /// What is known without a call.
    fn known<'a>(&'a self, track: &'a Track) -> BoxFuture<'a, Known<Self::Value>>;

    /// Finds it out. `reserved` holds the calls that [`Known::No`] has named.
    fn find<'a>(
        &'a self,
        track: &'a Track,
        reserved: Reservation,
    ) -> BoxFuture<'a, Result<Option<Self::Value>, UpstreamError>>;
}

/// What is known without a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known<T> {
    /// The value, or that there is none.
    Yes(Option<T>),
    /// It takes so many calls at most, repeated attempts not counted.
    No { calls: u32 },
}

/// What came of one track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome<T> {
    Found(T),
    /// The source has nothing about it.
    Nothing,
    Skipped(SkipReason),
}

/// What came of all.
#[derive(Clone, Debug)]
pub(super) struct LookedUp<T> {
    /// One for each track.
    pub(super) outcomes: Vec<Outcome<T>>,
    /// The first failure, if there was one.
    pub(super) failure: Option<ErrorObject>,
}

/// One source being asked about all tracks.
pub(super) struct Batch<'a, S: Source> {
    source: &'a S,
    tracks: &'a [Track],
    budget: Budget,
    steps: &'a Steps<'a>,
    clock: &'a dyn Clock,
    so_far: Mutex<Progress<S::Value>>,
}

struct Progress<T> {
    /// `None`: not yet.
    outcomes: Vec<Option<Outcome<T>>>,
    failure: Option<ErrorObject>,
    /// Failures in a row, bad answers left out.
    failures: u32,
    /// Bad answers in a row.
    bad_answers: u32,
    /// Nothing more is begun, and why.
    given_up: Option<SkipReason>,
}

/// A track to look up, with all its places in the list.
struct Job<'a> {
    track: &'a Track,
    places: Vec<usize>,
    calls: u32,
}

impl<'a, S: Source> Batch<'a, S> {
    pub(super) fn new(
        source: &'a S,
        tracks: &'a [Track],
        budget: Budget,
        steps: &'a Steps<'a>,
        clock: &'a dyn Clock,
    ) -> Self {
        let so_far = Progress {
            outcomes: tracks.iter().map(|_| None).collect(),
            failure: None,
            failures: 0,
            bad_answers: 0,
            given_up: None,
        };
        Self {
            source,
            tracks,
            budget,
            steps,
            clock,
            so_far: Mutex::new(so_far),
        }
    }

    /// Asks about all of them, or as many as the budget and the time until
    /// `deadline` allow.
    pub(super) async fn until(self, deadline: Option<Instant>) -> LookedUp<S::Value> {
        match deadline {
            None => self.run().await,
            Some(deadline) => {
                let run = std::pin::pin!(self.run());
                let run = select(run, self.clock.sleep_until(deadline)).await;
                if matches!(run, Either::Right(_)) {
                    info!(
                        source = S::NAME,
                        "the lookups end at the request's deadline"
                    );
                }
            }
        }
        self.looked_up()
    }

    async fn run(&self) {
        let jobs = self.jobs().await;
        let mut under_way = FuturesUnordered::new();
        for job in jobs {
            loop {
                if let Some(reason) = self.with(|so_far| so_far.given_up) {
                    self.settle(&job, &Outcome::Skipped(reason));
                    break;
                }
                if under_way.len() < AT_ONCE
                    && let Some(reserved) = Reservation::reserve(&self.budget, job.calls)
                {
                    under_way.push(self.look_up(job, reserved));
                    break;
                }
                // Who ends may leave calls for this one.
                if under_way.next().await.is_none() {
                    self.settle(&job, &Outcome::Skipped(SkipReason::Budget));
                    break;
                }
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// What has to be looked up; the rest is settled.
    async fn jobs(&self) -> Vec<Job<'a>> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut jobs: Vec<Job<'a>> = Vec::new();
        for (place, track) in self.tracks.iter().enumerate() {
            let known = places.get(&S::identity(track));
            if let Some(job) = known.and_then(|job| jobs.get_mut(*job)) {
                job.places.push(place);
                continue;
            }
            let mut job = Job {
                track,
                places: vec![place],
                calls: 0,
            };
            match self.source.known(track).await {
                Known::Yes(value) => self.settle(&job, &found(value)),
                Known::No { calls } => {
                    places.insert(S::identity(track), jobs.len());
                    job.calls = calls;
                    jobs.push(job);
                }
            }
        }
        jobs
    }

    async fn look_up(&self, job: Job<'a>, reserved: Reservation) {
        let outcome = match self.source.find(job.track, reserved).await {
            Ok(value) => {
                self.with(|so_far| (so_far.failures, so_far.bad_answers) = (0, 0));
                found(value)
            }
            Err(error) => Outcome::Skipped(self.failed(&error)),
        };
        self.settle(&job, &outcome);
    }

    /// Why a lookup failed; and whether others are worth trying.
    fn failed(&self, error: &UpstreamError) -> SkipReason {
        let object = error.object();
        let reason = reason(object.code);
        self.with(|so_far| {
            if reason == SkipReason::Budget {
                return;
            }
            match is_bad_answer(error) {
                true => so_far.bad_answers += 1,
                false => so_far.failures += 1,
            }
            if so_far.failure.is_none() {
                so_far.failure = Some(object);
            }
            let hopeless = is_hopeless(error)
                || so_far.failures >= GIVE_UP
                || so_far.bad_answers >= GIVE_UP_ANSWERS;
            if hopeless && so_far.given_up.is_none() {
                warn!(%error, source = S::NAME, "nothing more is looked up");
                so_far.given_up = Some(reason);
            }
        });
        reason
    }

    fn settle(&self, job: &Job<'_>, outcome: &Outcome<S::Value>) {
        self.with(|so_far| {
            for place in &job.places {
                if let Some(slot) = so_far.outcomes.get_mut(*place) {
                    *slot = Some(outcome.clone());
                }
            }
        });
        self.steps.done(job.places.len());
    }

    fn looked_up(self) -> LookedUp<S::Value> {
        let so_far = self.so_far.into_inner();
        let so_far = so_far.unwrap_or_else(PoisonError::into_inner);
        let outcomes = so_far.outcomes.into_iter();
        let late = || Outcome::Skipped(SkipReason::Deadline);
        LookedUp {
            outcomes: outcomes
                .map(|outcome| outcome.unwrap_or_else(late))
                .collect(),
            failure: so_far.failure,
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Progress<S::Value>) -> T) -> T {
        f(&mut self.so_far.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn found<T>(value: Option<T>) -> Outcome<T> {
    value.map_or(Outcome::Nothing, Outcome::Found)
}

fn reason(code: Code) -> SkipReason {
    match code {
        code::BUDGET_EXHAUSTED => SkipReason::Budget,
        code::RATE_LIMITED | code::OVERLOADED | code::BUSY => SkipReason::RateLimited,
        _ => SkipReason::UpstreamFailed,
    }
}

/// Whether it is the answer about this track that is of no use, which says
/// nothing of others.
fn is_bad_answer(error: &UpstreamError) -> bool {
    match &error.failure {
        Failure::Protocol(_) => true,
        Failure::Status { status, .. } => {
            status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 408 | 429)
        }
        Failure::Reported { code, .. } => *code == code::UPSTREAM_REJECTED,
        _ => false,
    }
}

/// Whether every other call would fail in the same way.
fn is_hopeless(error: &UpstreamError) -> bool {
    match &error.failure {
        Failure::Http(error) => matches!(error, HttpError::Denied | HttpError::Invalid(_)),
        Failure::Status { status, .. } => matches!(status.as_u16(), 401 | 403),
        Failure::Reported { code, .. } => *code == code::UPSTREAM_AUTH,
        Failure::NotConfigured(_) => true,
        Failure::Limit(error) => error.busy() == Some(BusyCause::Paused),
        _ => false,
    }
}
