//! One renewal over all instances. Each refresh token is good once here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join, join_all, select};

use super::*;
use crate::AppState;
use crate::auth::UserSession;
use crate::clients::spotify::{AccessTokens, Grant};
use crate::config::{Config, Secret};
use spinlane_client::Failure;
use spinlane_core::ports::{Clock, Ports};
use spinlane_core::store::{Claimed, Store};
use spinlane_core::testing::{SeededEntropy, StoreDouble, all, schedules};

const TICK: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// An accounts service that replaces refresh tokens.
#[derive(Clone, Default)]
struct Rotating(Arc<Mutex<Service>>);

#[derive(Default)]
struct Service {
    /// Replies take so long, the next ones in this order, and then the last.
    delays: Vec<Duration>,
    /// Renewals that were granted, and refused.
    granted: u32,
    refused: u32,
}

impl Rotating {
    fn delays(&self, delays: &[Duration]) {
        self.0.lock().unwrap().delays = delays.iter().rev().copied().collect();
    }

    /// Granted, and refused.
    fn counts(&self) -> (u32, u32) {
        let service = self.0.lock().unwrap();
        (service.granted, service.refused)
    }

    fn reply(&self, request: &Seen) -> Reply {
        let Some((_, token)) = request.body.split_once("refresh_token=refresh-") else {
            return spotify(request);
        };
        let mut service = self.0.lock().unwrap();
        let reply = match token == (service.granted + 1).to_string() {
            true => {
                service.granted += 1;
                let number = service.granted + 1;
                let granted = json!({
                    "access_token": format!("access-{number}"),
                    "refresh_token": format!("refresh-{number}"),
                    "expires_in": 600,
                });
                Reply::Json(200, granted)
            }
            false => {
                service.refused += 1;
                Reply::Json(400, json!({"error": "invalid_grant"}))
            }
        };
        let delay = match service.delays.len() {
            0 => TICK,
            1 => service.delays[0],
            _ => service.delays.pop().unwrap(),
        };
        Reply::After(delay, Box::new(reply))
    }
}

/// The service, an application, and a session whose access token has ended.
fn ended() -> (Rotating, Stage, Secret) {
    let service = Rotating::default();
    let stage = {
        let service = service.clone();
        Stage::new(&[], move |request| service.reply(request))
    };
    let mut browser = Browser::new(&stage);
    browser.log_in();
    stage.world.drain();
    let token = Secret::new(browser.session());
    stage.world.clock.advance(Duration::from_secs(600));
    (service, stage, token)
}

/// One more instance of the application, on these ports.
fn instance(ports: Ports) -> AppState {
    let config = Config::new(|name| {
        let mut keys = crate::testing::KEYS.iter();
        let key = keys.find(|(known, _)| *known == name);
        key.map(|(_, value)| (*value).to_owned())
    });
    AppState::new(ports, config)
}

/// What a run of an instance of its own gets, and its session.
async fn access(app: &AppState, token: &Secret) -> Result<Secret, Failure> {
    let user = UserSession::open(app, token.clone()).await;
    let access = user.unwrap().token(None).await;
    access.map_err(|error| error.failure)
}

fn session(stage: &Stage, token: &Secret) -> Option<Grant> {
    let app = instance(stage.world.ports());
    let session = app.sessions.load::<Grant>(token.expose());
    let session = stage.world.run(session);
    session.ok().map(|session| session.record)
}

fn assert_kept(stage: &Stage, token: &Secret, number: u32) {
    let grant = session(stage, token).expect("the session is open");
    assert_eq!(grant.access().expose(), format!("access-{number}"));
    assert_eq!(
        grant.refresh().unwrap().expose(),
        format!("refresh-{number}")
    );
}

/// The reply of the one who asks first takes longer than the other's would.
#[test]
fn two_instances_renew_once() {
    let (service, stage, token) = ended();
    service.delays(&[150 * TICK, 50 * TICK]);
    let apps = [(); 2].map(|()| instance(stage.world.ports()));
    let runs = join_all(apps.iter().map(|app| access(app, &token)));
    for access in stage.world.run(runs) {
        assert_eq!(access, Ok(Secret::new("access-2")));
    }
    stage.world.drain();
    assert_eq!(service.counts(), (1, 0));
    assert_kept(&stage, &token, 2);
}

#[test]
fn a_renewal_runs_to_its_end_when_its_run_has_gone() {
    let (service, stage, token) = ended();
    service.delays(&[1_200 * TICK]);
    let app = instance(stage.world.ports());
    stage.world.run(async {
        let run = Box::pin(access(&app, &token));
        drop(select(run, stage.world.clock.sleep(300 * TICK)).await);
    });
    stage.world.drain();
    assert_eq!(service.counts(), (1, 0));
    assert_kept(&stage, &token, 2);
    let claims = stage.world.store.counters().into_keys();
    assert_eq!(
        claims.filter(|name| name.starts_with("renewal:")).count(),
        0
    );
}

/// Nobody can claim: the one who is refused looks for what the other has got.
#[test]
fn without_counters_a_refusal_is_doubted_for_two_seconds() {
    let (service, stage, token) = ended();
    let apps = [(); 2].map(|()| {
        instance(Ports {
            counters: None,
            ..stage.world.ports()
        })
    });
    service.delays(&[1_900 * TICK, 50 * TICK]);
    let runs = join_all(apps.iter().map(|app| access(app, &token)));
    for access in stage.world.run(runs) {
        assert_eq!(access, Ok(Secret::new("access-2")));
    }
    assert_eq!(service.counts(), (1, 1));
    assert_kept(&stage, &token, 2);
    // Where nobody gets anything, the session ends.
    service.0.lock().unwrap().granted = 7;
    stage.world.clock.advance(Duration::from_secs(600));
    let begin = stage.world.clock.now();
    let refused = stage.world.run(access(&apps[0], &token));
    assert_eq!(refused, Err(Failure::Grant));
    assert!(stage.world.clock.now() - begin >= 2 * SECOND);
    assert_eq!(session(&stage, &token), None);
}

/// Others may renew without a claim: a host without counters does.
#[test]
fn a_refusal_of_what_is_not_the_newest_token_ends_nothing() {
    let (service, stage, token) = ended();
    service.0.lock().unwrap().granted = 1;
    service.delays(&[200 * TICK]);
    let app = instance(stage.world.ports());
    let newest = json!({"access": "access-2", "refresh": "refresh-2", "until": u32::MAX,
        "user": null});
    let newest: Grant = serde_json::from_value(newest).unwrap();
    let other = async {
        stage.world.clock.sleep(100 * TICK).await;
        let kept = app.sessions.update(token.expose(), &newest);
        kept.await.unwrap();
    };
    let (access, ()) = stage.world.run(join(access(&app, &token), other));
    assert_eq!(access, Ok(Secret::new("access-2")));
    assert_eq!(service.counts(), (1, 1));
    assert_kept(&stage, &token, 2);
}

#[test]
fn the_call_takes_eight_seconds_at_most_and_ends_no_session() {
    let (service, stage, token) = ended();
    service.delays(&[60 * SECOND]);
    let app = instance(stage.world.ports());
    let begin = stage.world.clock.now();
    let renewed = stage.world.run(access(&app, &token));
    assert!(matches!(renewed, Err(Failure::Http(_))), "{renewed:?}");
    assert_eq!(stage.world.clock.now() - begin, 8 * SECOND);
    assert!(session(&stage, &token).is_some());
}

/// Who has claimed the renewal dies: it holds the others back for 15 s, and for
/// no more than a third longer.
#[test]
fn a_claim_without_its_holder_ends() {
    for after in [0, 3, 6] {
        let (service, stage, token) = ended();
        let dead = Store::open(&stage.world.ports());
        let app = instance(stage.world.ports());
        let open = UserSession::open(&app, token.clone());
        let user = stage.world.run(open).unwrap();
        let id = app.sessions.load::<Grant>(token.expose());
        let id = stage.world.run(id).map(|session| session.id().to_owned());
        let name = format!("renewal:{}", id.unwrap());
        let claim = stage.world.run(dead.claim(&name, 15 * SECOND));
        assert!(matches!(claim, Ok(Some(Claimed::Ours(_)))), "{claim:?}");
        let begin = stage.world.clock.now();
        stage.world.clock.advance(after * SECOND);
        // Tries until it works, as its user would.
        let access = stage.world.run(async {
            loop {
                match user.token(None).await {
                    Ok(access) => break access,
                    Err(error) => assert_ne!(error.failure, Failure::Grant),
                }
            }
        });
        assert_eq!(access.expose(), "access-2");
        let took = stage.world.clock.now() - begin;
        assert!(took >= 15 * SECOND, "{took:?}");
        assert!(took <= 21 * SECOND, "{took:?}");
        assert_eq!(service.counts(), (1, 0));
    }
}

/// Several instances, each on a store whose calls take up to 0.9 s, whose clients
/// come and go: Spotify is asked once, and what it gives is kept.
#[test]
fn there_is_one_renewal_on_any_schedule() {
    for seed in 0..u64::from(schedules()) {
        let (service, stage, token) = ended();
        let world = &stage.world;
        let random = SeededEntropy::new(seed);
        let up_to = |millis: u64| TICK * u32::try_from(random.below(millis + 1)).unwrap();
        service.delays(&[up_to(1_000)]);
        let most = up_to(900);
        let apps: Vec<_> = (0..2 + random.below(3))
            .map(|n| {
                let store = StoreDouble::delaying(&world.store, &world.clock, seed ^ n << 32, most);
                let ports = Ports {
                    clock: Arc::new(world.clock.skewed(up_to(250))),
                    ..store.in_ports(world.ports())
                };
                instance(ports)
            })
            .collect();
        let runs = apps.iter().map(|app| {
            let (begin, leaves) = (up_to(500), random.below(4) == 0);
            let leave = if leaves { up_to(6_000) } else { 60 * SECOND };
            let token = &token;
            async move {
                world.clock.sleep(begin).await;
                let run = Box::pin(access(app, token));
                match select(run, world.clock.sleep(leave)).await {
                    futures::future::Either::Left((access, _)) => Some(access),
                    futures::future::Either::Right(_) => None,
                }
            }
        });
        let runs = world.run(all(runs));
        world.drain();
        let stayed: Vec<_> = runs.into_iter().flatten().collect();
        let got = Ok(Secret::new("access-2"));
        assert!(
            stayed.iter().all(|access| *access == got),
            "seed {seed}: {stayed:?}"
        );
        match service.counts() {
            // All had gone before it was begun.
            (0, 0) if stayed.is_empty() => {}
            counts => {
                assert_eq!(counts, (1, 0), "seed {seed}");
                assert_kept(&stage, &token, 2);
            }
        }
    }
}
