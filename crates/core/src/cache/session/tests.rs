//! Sessions in virtual time.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use futures::future::{join, select};

use super::*;
use crate::hex;
use crate::ports::{BoxFuture, Clock, Instant, KeyValue, Ports};
use crate::testing::{SeededEntropy, StoreDouble, TestSpawner, World, all, schedules};

const HOUR: Duration = Duration::from_secs(3_600);
const TICK: Duration = Duration::from_millis(1);
const SECRET: &str = "spotify-access-token-0123456789";

fn sessions(world: &World) -> Sessions {
    let store = Store::open(&world.ports());
    Sessions::new(&store, "session", SessionLimits::default())
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
    let store = Store::open(&world.ports());
    let codes = Sessions::new(&store, "code", SessionLimits::default());
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
        for secret in [
            token.expose(),
            SECRET,
            renewed,
            "spotify",
            &hex::encode(&raw),
        ] {
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

/// That a session is in use is written down once in a quarter of its idle time.
#[test]
fn a_use_is_written_down_a_quarter_of_the_idle_time_after_the_last() {
    let world = World::new();
    let token = create(&world);
    let quarter = SessionLimits::default().idle / 4;
    let seen = |wait| {
        world.clock.advance(wait);
        load(&world, token.expose()).unwrap();
        let mut marks = world.store.dump().into_iter();
        marks.find(|(key, _)| key.starts_with("session-seen:"))
    };
    let first = seen(quarter);
    assert!(first.is_some());
    assert_eq!(seen(quarter - TICK), first);
    assert_ne!(seen(TICK), first);
}

#[test]
fn a_load_is_two_reads() {
    let world = World::new();
    let token = create(&world);
    let sessions = sessions(&world);
    world.clock.advance(HOUR / 2);
    let before = world.store.calls();
    world.run(sessions.load::<String>(token.expose())).unwrap();
    assert_eq!(world.store.calls(), before + 2);
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
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.world.store.get(key)
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let other = sessions(&self.world);
            other.revoke(&self.token).await?;
            self.world.store.set(key, value).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        KeyValue::delete(&self.world.store, key)
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
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
    let store = Store::open(&ports);
    let slow = Sessions::new(&store, "session", SessionLimits::default());
    let update = run(&world, slow.update(token.expose(), &"new"));
    assert_eq!(update, Err(SessionError::Invalid));
    assert_eq!(load(&world, token.expose()), Err(SessionError::Invalid));
}

/// Sessions of an instance whose calls of the store go as `double`'s do.
fn on(world: &World, double: &StoreDouble) -> Sessions {
    let ports = Ports {
        // What a dead instance has spawned goes on for nobody.
        spawner: Arc::new(TestSpawner::default()),
        ..double.in_ports(world.ports())
    };
    Sessions::new(&Store::open(&ports), "session", SessionLimits::default())
}

/// One instance ends the session while others write it anew and open it, on a
/// store whose calls take up to 0.9 s. Whoever comes after the log-out finds it
/// ended, and so do all in the end.
#[test]
fn a_log_out_stays_one_on_any_schedule() {
    for seed in 0..u64::from(schedules()) {
        let world = World::new();
        let token = create(&world);
        let token = token.expose();
        let random = SeededEntropy::new(seed);
        let up_to = |millis: u64| TICK * u32::try_from(random.below(millis + 1)).unwrap();
        let most = up_to(900);
        let instance = |n: u64| {
            let double = StoreDouble::delaying(&world.store, &world.clock, seed ^ n << 32, most);
            (on(&world, &double), up_to(3_000))
        };
        let ended: std::cell::Cell<Option<Instant>> = std::cell::Cell::default();
        let (leaving, when) = instance(0);
        let leave = async {
            world.clock.sleep(when).await;
            leaving.revoke(token).await.unwrap();
            ended.set(Some(world.clock.now()));
        };
        let writers = (1..4).map(instance).map(|(sessions, when)| {
            let clock = &world.clock;
            async move {
                clock.sleep(when).await;
                let _ = sessions.update(token, &"new").await;
            }
        });
        let readers = (4..8).map(instance).map(|(sessions, when)| {
            let (clock, ended) = (&world.clock, &ended);
            async move {
                clock.sleep(2 * when).await;
                let was_ended = ended.get().is_some();
                let loaded = sessions.load::<String>(token).await;
                assert!(loaded.is_err() || !was_ended, "seed {seed}: {loaded:?}");
            }
        });
        world.run(join(leave, join(all(writers), all(readers))));
        assert_eq!(
            load(&world, token),
            Err(SessionError::Invalid),
            "seed {seed}"
        );
    }
}

/// Nor does an instance undo it that dies while it writes the session anew.
#[test]
fn a_log_out_stays_one_whoever_dies() {
    for calls in 0..6 {
        for acts in [false, true] {
            let world = World::new();
            let token = create(&world);
            let double = StoreDouble::dying(&world.store, calls, acts);
            let (dying, other) = (on(&world, &double), sessions(&world));
            let update = async {
                let update = Box::pin(dying.update(token.expose(), &"new"));
                drop(select(update, double.death()).await);
            };
            let (left, ()) = world.run(join(other.revoke(token.expose()), update));
            left.unwrap();
            let loaded = load(&world, token.expose());
            assert_eq!(loaded, Err(SessionError::Invalid), "{calls} {acts}");
        }
    }
}

/// Wherever an instance dies that begins a session: nothing is left that nobody
/// finds again.
#[test]
fn what_a_dying_instance_has_begun_is_removed_by_others() {
    let mut died = 0;
    for calls in 0..8 {
        for acts in [false, true] {
            let world = World::new();
            let double = StoreDouble::dying(&world.store, calls, acts);
            let dying = on(&world, &double);
            world.run(async {
                let create = Box::pin(dying.create(&SECRET));
                drop(select(create, double.death()).await);
            });
            died += u32::from(double.is_dead());
            for _ in 0..40 {
                world.clock.advance(HOUR);
                let _ = load(&world, "x".repeat(43).as_str());
                let other = sessions(&world);
                let _ = run(
                    &world,
                    other.revoke(&URL_SAFE_NO_PAD.encode([7; TOKEN_BYTES])),
                );
            }
            let left = world.store.dump().into_keys();
            let left: Vec<_> = left.filter(|key| key.starts_with("session")).collect();
            assert!(left.is_empty(), "{calls} {acts}: {left:?}");
        }
    }
    assert!(died >= 4, "{died}");
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

#[test]
fn a_slow_store_keeps_sessions() {
    let world = World::new();
    world
        .store
        .slow_down(&world.clock, Duration::from_millis(300));
    let sessions = sessions(&world);
    world.run(async {
        let old = sessions.create(&SECRET).await.unwrap();
        sessions.update(old.expose(), &"renewed").await.unwrap();
        let session = sessions.load::<String>(old.expose()).await.unwrap();
        assert_eq!(session.record, "renewed");
        let new = sessions.rotate(old.expose(), &SECRET).await.unwrap();
        sessions.revoke(new.expose()).await.unwrap();
        let ended = sessions.load::<String>(new.expose()).await;
        assert_eq!(ended, Err(SessionError::Invalid));
    });
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
