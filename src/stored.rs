//! What the application keeps in the store, and what it is called there.
//!
//! All of it is declared here and nowhere else, so that the operator's sweep
//! knows which keys are ours: others may use the same store.

use std::time::Duration;

use super::AppState;
use spinlane_core::cache::session::{SessionLimits, Sessions};
use spinlane_core::cache::{Kind, Policy, Signals};
use spinlane_core::limit::CallerLimit;
use spinlane_core::store::Store;
use spinlane_http::run::{resume, stop};

/// That several instances ask for the same at the same time is rare, and does
/// no harm: it is not worth an increment for each of hundreds of tracks.
const MANY: Policy = Policy::DEFAULT.without_fetch_lease();

/// Beats per minute, and of which recording. Of version 1, and of version 1 of
/// the tags, some are another track's.
pub(crate) static BPM: Kind = Kind::new("bpm", 2).with_policy(MANY);

/// Tags, listeners and plays.
pub(crate) static LASTFM: Kind = Kind::new("lastfm", 2).with_policy(MANY);

/// Names and genres of artists.
pub(crate) static ARTIST: Kind = Kind::new("artist", 1).with_policy(MANY);

/// The application's own access to the catalogue, for all instances: sealed,
/// since who reads the store must not get at the catalogue in our name. It opens
/// with the client's secret, with which one could ask for a token as well.
pub(crate) static SPOTIFY_TOKEN: Kind = Kind::new("spotify-token", 1).with_policy(
    // A token says itself when it ends, always sooner.
    Policy::keep(Duration::from_secs(24 * 3_600)).without_fetch_lease(),
);

/// All kinds of value that the cache has.
static KINDS: [&Kind; 4] = [&BPM, &LASTFM, &ARTIST, &SPOTIFY_TOKEN];

/// The sessions of users.
pub(crate) fn sessions(store: &Store) -> Sessions {
    Sessions::new(store, "session", SessionLimits::default())
}

/// How long a code is good.
pub(crate) const CODE_LASTS: Duration = Duration::from_secs(60);

/// How long a notice is remembered, and not said again.
const NOTICE_LASTS: Duration = Duration::from_secs(24 * 3_600);

/// What one-time codes stand for.
pub(crate) fn codes(store: &Store) -> Sessions {
    let limits = SessionLimits::new(CODE_LASTS, CODE_LASTS);
    Sessions::new(store, "code", limits)
}

/// Which runs are asked to end.
pub(crate) fn stops(store: &Store) -> Signals {
    Signals::new(store, "stop", stop::LASTS)
}

/// What runs say, and which of them are asked for by which key.
pub(crate) const RUNS: [&str; 2] = [resume::LOGS, resume::KEYS];

/// What the operator should know, as requests have shown it.
pub(crate) fn notices(store: &Store) -> Signals {
    Signals::new(store, "notice", NOTICE_LASTS)
}

/// The namespaces of everything here.
pub(crate) fn namespaces(app: &AppState) -> Vec<String> {
    let kinds = KINDS.iter().map(|kind| kind.namespace().to_owned());
    let sessions = [&app.sessions, &app.codes].map(Sessions::namespaces);
    let signals = [stops(&app.store), notices(&app.store)];
    let signals = signals.map(|signals| signals.namespace().to_owned());
    kinds
        .chain(sessions.into_iter().flatten())
        .chain(signals)
        .chain(RUNS.map(str::to_owned))
        .chain([CallerLimit::NAMESPACE.to_owned()])
        .collect()
}

/// What earlier versions have kept, which tests put into the store.
#[cfg(test)]
pub(crate) mod earlier {
    use spinlane_core::cache::Kind;

    pub(crate) static BPM: Kind = Kind::new("bpm", 1);
    pub(crate) static LASTFM: Kind = Kind::new("lastfm", 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames;
    use crate::testing::Stage;
    use spinlane_core::cache::Key;
    use spinlane_core::runlog::Keyed;

    #[test]
    fn every_kind_is_in_the_list() {
        let here = include_str!("stored.rs");
        let declared = here
            .lines()
            .filter(|line| line.starts_with("pub(crate) static"));
        assert_eq!(declared.count(), KINDS.len());
    }

    /// Whatever the application has written, should it be damaged, is removed
    /// by a full sweep; what is somebody else's stays.
    #[test]
    fn every_key_is_known_as_ours() {
        let stage = Stage::new(&[], |_| unreachable!("nobody is asked"));
        let (world, app) = (&stage.world, &stage.app);
        world.run(async {
            for kind in KINDS {
                let key = Key::new(["one"]);
                app.cache.typed::<u32>(kind).put(&key, Some(&1)).await;
            }
            for sessions in [&app.sessions, &app.codes] {
                let limits = sessions.limits();
                let token = sessions.create(&1).await.unwrap();
                world.clock.advance(limits.idle / 2);
                sessions.load::<u32>(token.expose()).await.unwrap();
                sessions.revoke(token.expose()).await.unwrap();
                sessions.create(&1).await.unwrap();
            }
            stops(&app.store).raise(&"0".repeat(32)).await.unwrap();
            let runs = frames::runs(app);
            let log = runs.logs.unwrap().begin("run", None).await.unwrap();
            drop(log);
            let keyed = runs.keys.unwrap().claim("me", "key", b"").await.unwrap();
            let Keyed::Ours(claim) = keyed else {
                panic!("nobody else has it")
            };
            claim.fulfil("run").await.unwrap();
            notices(&app.store).raise("one").await.unwrap();
            let limits = app.caller_limits().unwrap();
            for _ in 0..=limits.requests.quota().requests.get() {
                limits.requests.check("a", 1).await.unwrap();
            }
        });
        world.drain();
        let ours = |key: &String| !key.starts_with("~index:");
        let keys: Vec<_> = world.store.dump().into_keys().filter(ours).collect();
        let written: Vec<_> = keys
            .iter()
            .filter_map(|key| key.split(':').next())
            .collect();
        let namespaces = namespaces(app);
        for namespace in &namespaces {
            assert!(
                written.contains(&namespace.as_str()),
                "nothing in {namespace}"
            );
        }
        let theirs = format!("user:{}", "0".repeat(32));
        for key in keys.iter().chain([&theirs]) {
            world.store.put_raw(key, b"{".to_vec());
        }
        let sweep = app.store.full_sweep(&namespaces);
        let swept = world.run(sweep).unwrap();
        assert_eq!(swept.removed, keys.len() as u64);
        let left: Vec<_> = world.store.dump().into_keys().filter(ours).collect();
        assert_eq!(left, [theirs]);
    }
}
