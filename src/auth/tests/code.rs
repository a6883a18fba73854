//! A login for a page on another origin: one-time codes.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join;

use super::*;
use crate::AppState;
use crate::auth::code;
use crate::clients::spotify::Grant;
use crate::config::Config;
use spinlane_core::ports::Clock;
use spinlane_core::testing::{SeededEntropy, StoreDouble, all, schedules};

const FRONTEND: &[(&str, &str)] = &[("frontend_url", "https://dj.example")];

/// Logs in for a page on another origin; its one-time code.
fn one_time_code(browser: &mut Browser<'_>) -> String {
    let answer = browser.come_back("/api/auth/login?state=s-1", "code=c");
    let location = answer.location();
    assert!(
        location.starts_with("https://dj.example/#auth_code="),
        "{location}"
    );
    assert_eq!(field(location, "state").as_deref(), Some("s-1"));
    assert_eq!(browser.cookie(SESSION), None);
    field(location, "auth_code").unwrap()
}

#[test]
fn a_page_on_another_origin_exchanges_a_code_once() {
    let stage = stage(FRONTEND);
    let mut browser = Browser::new(&stage);
    let code = one_time_code(&mut browser);
    let body = json!({"code": code}).to_string();
    let answer = browser.post("/api/auth/token", &body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.json();
    assert_eq!(
        (&answer["tokenType"], &answer["expiresIn"]),
        (&"Bearer".into(), &14_400.into())
    );
    let token = answer["token"].as_str().unwrap();
    let session = bearer(&stage, "GET", "/api/auth/session", token);
    assert_eq!(session.json()["name"], "Ada");
    // The code is no session, and the session no code.
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", &code).status,
        401
    );
    for code in [&code, token, "x", &"A".repeat(43)] {
        let answer = browser.post("/api/auth/token", &json!({"code": code}).to_string());
        assert_eq!((answer.status, answer.code().as_str()), (400, "login_code"));
    }
    assert_eq!(browser.post("/api/auth/token", "{}").status, 422);
    let counters = stage.world.store.counters();
    assert!(
        counters.keys().all(|name| !name.starts_with("code")),
        "{counters:?}"
    );
}

#[test]
fn a_code_ends_after_a_minute() {
    let stage = stage(FRONTEND);
    let mut browser = Browser::new(&stage);
    let code = one_time_code(&mut browser);
    stage.world.clock.advance(Duration::from_secs(60));
    let answer = browser.post("/api/auth/token", &json!({"code": code}).to_string());
    assert_eq!((answer.status, answer.code().as_str()), (400, "login_code"));
}

#[test]
fn a_code_that_two_bring_at_once_is_good_for_one() {
    let stage = stage(FRONTEND);
    for _ in 0..10 {
        let code = one_time_code(&mut Browser::new(&stage));
        let body = json!({"code": code}).to_string();
        let exchange = || {
            let request =
                Request::post("/api/auth/token").header("content-type", "application/json");
            send(&stage, request, &body)
        };
        let (one, two) = stage.world.run(join(exchange(), exchange()));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
    }
}

/// Many bring one code, each to an instance of its own, on a store in which their
/// calls interleave.
#[test]
fn a_code_is_good_once_on_any_schedule() {
    for seed in 0..u64::from(schedules()) {
        let stage = stage(&[]);
        let world = &stage.world;
        let account = json!({"access": "a", "refresh": "r", "until": 1, "user": null});
        let account: Grant = serde_json::from_value(account).unwrap();
        let given = world.run(code::issue(&stage.app, &account)).unwrap();
        let random = SeededEntropy::new(seed);
        let most = Duration::from_millis(1 + random.below(400));
        let apps: Vec<_> = (0..4)
            .map(|n| {
                let store = StoreDouble::delaying(&world.store, &world.clock, seed ^ n << 32, most);
                let config = Config::new(|_| None);
                AppState::new(store.in_ports(world.ports()), config)
            })
            .collect();
        let tries = apps.iter().map(|app| {
            let (begin, given) = (Duration::from_millis(random.below(3_000)), given.expose());
            async move {
                world.clock.sleep(begin).await;
                code::redeem(app, given).await.is_ok()
            }
        });
        let good = world.run(all(tries));
        let good = good.into_iter().filter(|good| *good).count();
        assert_eq!(good, 1, "seed {seed}");
    }
}

/// One is held up before any of its calls of the store, while another brings the
/// same code.
#[test]
fn a_code_is_good_once_whoever_is_held_up() {
    for calls in 1..60 {
        let stage = stage(&[]);
        let account = json!({"access": "a", "refresh": "r", "until": 1, "user": null});
        let account: Grant = serde_json::from_value(account).unwrap();
        let given = stage.world.run(code::issue(&stage.app, &account)).unwrap();
        let config = Config::new(|_| None);
        let other = AppState::new(stage.world.ports(), config);
        let mut held = Box::pin(code::redeem(&stage.app, given.expose()));
        // It gives others a turn before each.
        if (0..calls).any(|_| (&mut held).now_or_never().is_some()) {
            assert!(calls > 12, "{calls}");
            return;
        }
        let second = stage.world.run(code::redeem(&other, given.expose()));
        let first = stage.world.run(held);
        assert!(
            first.is_ok() != second.is_ok(),
            "at {calls}: {} and {}",
            first.is_ok(),
            second.is_ok()
        );
    }
    panic!("it never ends");
}

#[test]
fn a_page_on_another_origin_is_told_what_went_wrong() {
    let stage = stage(FRONTEND);
    let mut browser = Browser::new(&stage);
    let answer = browser.come_back("/api/auth/login?state=s-1", "error=access_denied");
    let told = "https://dj.example/#auth_error=login_denied&state=s-1";
    assert_eq!(answer.location(), told);
    // Our own page begins its logins with a path to return to.
    let answer = browser.come_back("/api/auth/login?return_to=%2F", "code=c");
    assert_eq!(answer.location(), "/");
    assert!(browser.is_connected());
}
