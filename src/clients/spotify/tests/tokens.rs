//! Tokens: where they come from, how long they are good, who knows them.

use super::*;

#[test]
fn a_refused_token_is_replaced_once_for_all_calls() {
    let stage = stage(|seen| {
        let answer = match seen.authorization.as_str() {
            "Bearer token-1" => Reply::Json(200, track(1)),
            _ => Reply::Json(401, json!({"error": {"status": 401, "message": "expired"}})),
        };
        Reply::After(Duration::from_millis(100), Box::new(answer))
    });
    let tokens = Arc::default();
    let spotify = user(&stage, &tokens);
    let calls = join_all((0..5).map(|_| spotify.track(TRACK)));
    let answers = stage.world.run(calls);
    assert!(
        answers.iter().all(|answer| matches!(answer, Ok(Some(_)))),
        "{answers:?}"
    );
    assert_eq!(tokens.refreshed.load(Ordering::SeqCst), 1);
    assert_eq!(stage.seen().len(), 10);
}

#[test]
fn a_token_that_stays_refused_is_given_up() {
    let stage = stage(|_| Reply::Json(401, json!({"error": {"message": "no token-1, please"}})));
    let tokens = Arc::default();
    let error = stage.world.run(user(&stage, &tokens).me()).unwrap_err();
    assert_eq!(error.object().code, code::UPSTREAM_AUTH);
    assert_eq!(stage.seen().len(), 2);
    assert!(!format!("{error:?}").contains("token-1"), "{error:?}");
}

#[test]
fn the_applications_token_is_asked_for_once_and_again_before_its_end() {
    let stage = stage(|_| Reply::Json(200, track(1)));
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    let grants = |stage: &Stage| {
        let seen = stage.take();
        seen.iter().filter(|seen| seen.host == ACCOUNTS).count()
    };
    stage
        .world
        .run(join_all((0..5).map(|_| spotify.track(TRACK))));
    assert_eq!(grants(&stage), 1);
    stage.world.clock.advance(Duration::from_secs(3_500));
    stage.world.run(spotify.track(TRACK)).unwrap();
    assert_eq!(grants(&stage), 0);
    stage.world.clock.advance(Duration::from_secs(60));
    stage.world.run(spotify.track(TRACK)).unwrap();
    assert_eq!(grants(&stage), 1);
}

#[test]
fn a_token_that_is_said_to_last_for_ever_is_renewed_after_a_day() {
    let stage = Stage::new(&[], |seen| match seen.host.as_str() {
        ACCOUNTS => Reply::Json(200, json!({"access_token": "a", "expires_in": u64::MAX})),
        _ => Reply::Json(200, track(1)),
    });
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    for _ in 0..2 {
        stage.world.run(spotify.track(TRACK)).unwrap();
        assert_eq!(
            stage
                .take()
                .iter()
                .filter(|seen| seen.host == ACCOUNTS)
                .count(),
            1
        );
        stage.world.clock.advance(Duration::from_secs(24 * 3_600));
    }
}

/// A service whose tokens are numbered, and that takes only the newest one.
fn numbered() -> (Stage, Arc<AtomicU32>) {
    let newest = Arc::new(AtomicU32::new(0));
    let stage = {
        let newest = Arc::clone(&newest);
        Stage::new(&[], move |seen| match seen.host.as_str() {
            ACCOUNTS => {
                let number = newest.fetch_add(1, Ordering::SeqCst) + 1;
                granted(&format!("app-token-{number}"))
            }
            _ => {
                let good = format!("Bearer app-token-{}", newest.load(Ordering::SeqCst));
                match seen.authorization == good {
                    true => Reply::Json(200, track(1)),
                    false => Reply::Json(401, json!({"error": {"message": "expired"}})),
                }
            }
        })
    };
    (stage, newest)
}

#[test]
fn instances_share_the_applications_token_and_the_store_does_not_show_it() {
    let (mut stage, newest) = numbered();
    let ask = |stage: &Stage| {
        let spotify = Spotify::new(&stage.app, Access::App, nobody());
        assert!(stage.world.run(spotify.track(TRACK)).unwrap().is_some());
        stage.world.drain();
        stage.take().len()
    };
    assert_eq!(ask(&stage), 2);
    stage.restart(&[]);
    assert_eq!(ask(&stage), 1, "known from the store");
    for (key, value) in stage.world.store.dump() {
        let text = format!("{key} {}", String::from_utf8_lossy(&value));
        assert!(
            !text.contains("app-token") && !text.contains("client-secret"),
            "{text}"
        );
    }
    // Another secret opens nothing, nor does another client's name find it.
    for other in [
        ("spotify_client_secret", "other"),
        ("spotify_client_id", "other"),
    ] {
        stage.restart(&[other]);
        assert_eq!(ask(&stage), 2, "{other:?}");
    }
    assert_eq!(newest.load(Ordering::SeqCst), 3);
}

#[test]
fn a_refused_token_is_replaced_by_another_instances() {
    let (mut stage, newest) = numbered();
    let first = Spotify::new(&stage.app, Access::App, nobody());
    let ask = |world: &World, spotify: &Spotify| {
        assert!(world.run(spotify.track(TRACK)).unwrap().is_some());
        // What waits to be written is.
        world.drain();
    };
    ask(&stage.world, &first);
    // The service forgets it; two instances notice.
    newest.fetch_add(1, Ordering::SeqCst);
    stage.restart(&[]);
    let second = Spotify::new(&stage.app, Access::App, nobody());
    ask(&stage.world, &second);
    assert_eq!(newest.load(Ordering::SeqCst), 3);
    ask(&stage.world, &first);
    assert_eq!(
        newest.load(Ordering::SeqCst),
        3,
        "the second one's is in the store"
    );
}

#[test]
fn the_applications_refused_token_is_replaced_once_for_all_calls() {
    let (stage, newest) = numbered();
    let first = Spotify::new(&stage.app, Access::App, nobody());
    let second = Spotify::new(&stage.app, Access::App, nobody());
    stage.world.run(first.track(TRACK)).unwrap();
    newest.fetch_add(1, Ordering::SeqCst);
    let calls = (0..6).map(|n| if n % 2 == 0 { &first } else { &second });
    let calls = join_all(calls.map(|spotify| spotify.track(TRACK)));
    let answers = stage.world.run(calls);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(newest.load(Ordering::SeqCst), 3);
}

#[test]
fn a_refused_token_is_not_given_again_when_there_is_no_other() {
    let down = Arc::new(AtomicU32::new(0));
    let stage = {
        let down = Arc::clone(&down);
        Stage::new(&[], move |seen| match seen.host.as_str() {
            ACCOUNTS if down.load(Ordering::SeqCst) > 0 => Reply::Text(400, "{}"),
            ACCOUNTS => granted("app-token"),
            _ => Reply::Json(401, json!({"error": {"message": "expired"}})),
        })
    };
    let spotify = Spotify::new(&stage.app, Access::App, nobody());
    stage.world.run(spotify.track(TRACK)).unwrap_err();
    down.store(1, Ordering::SeqCst);
    stage.world.run(spotify.track(TRACK)).unwrap_err();
    stage.take();
    stage.world.run(spotify.track(TRACK)).unwrap_err();
    assert!(stage.seen().iter().all(|seen| seen.host == ACCOUNTS));
}

#[test]
fn codes_and_refresh_tokens_become_tokens() {
    let stage = Stage::new(&[], |_| {
        Reply::Json(
            200,
            json!({"access_token": "at", "refresh_token": "rt", "scope": "a b", "expires_in": 60}),
        )
    });
    let accounts = Accounts::new(&stage.app, nobody());
    let (code, verifier) = (Secret::new("the code"), Secret::new("ver"));
    let redirect = "http://127.0.0.1:3000/api/auth/callback";
    let tokens = stage
        .world
        .run(accounts.exchange_code(&code, &verifier, redirect))
        .unwrap();
    assert_eq!(tokens.refresh_token, Some(Secret::new("rt")));
    assert_eq!(
        (tokens.expires_in, tokens.scope.as_str()),
        (Duration::from_secs(60), "a b")
    );
    stage
        .world
        .run(accounts.refresh(&Secret::new("rt+1")))
        .unwrap();
    let bodies: Vec<_> = stage.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(
        bodies,
        [
            "grant_type=authorization_code&code=the+code&redirect_uri=\
         http%3A%2F%2F127.0.0.1%3A3000%2Fapi%2Fauth%2Fcallback&code_verifier=ver",
            "grant_type=refresh_token&refresh_token=rt%2B1",
        ]
    );
}

#[test]
fn refusals_of_the_accounts_service_are_told_apart() {
    let refused = |error: &'static str| {
        let stage = Stage::new(&[], move |_| {
            Reply::Json(
                400,
                json!({"error": error, "error_description": "no rt-secret"}),
            )
        });
        let accounts = Accounts::new(&stage.app, nobody());
        let error = stage
            .world
            .run(accounts.refresh(&Secret::new("rt-secret")))
            .unwrap_err();
        assert!(!format!("{error:?}").contains("rt-secret"));
        error
    };
    assert_eq!(refused("invalid_grant").failure, Failure::Grant);
    assert!(
        refused("invalid_grant")
            .object()
            .message
            .contains("log in again")
    );
    let error = refused("invalid_client").object();
    assert_eq!(error.code, code::UPSTREAM_AUTH);
    assert!(error.message.contains("spotify_client_secret"), "{error:?}");
    assert_eq!(
        refused("invalid_request").object().code,
        code::UPSTREAM_REJECTED
    );
}

#[test]
fn unset_keys_are_named_and_nothing_is_sent() {
    for variable in ["spotify_client_id", "spotify_client_secret"] {
        let stage = Stage::new(&[(variable, "")], |_| Reply::Text(200, "{}"));
        let spotify = Spotify::new(&stage.app, Access::App, nobody());
        let error = stage.world.run(spotify.track(TRACK)).unwrap_err();
        assert_eq!(error.failure, Failure::NotConfigured(variable));
        assert_eq!(error.object().code, code::NOT_CONFIGURED);
        assert!(stage.seen().is_empty());
    }
}

#[test]
fn tokens_are_paid_from_the_reserve() {
    let stage = stage(|_| Reply::Json(200, track(1)));
    let mut accounts = Accounts::new(&stage.app, nobody());
    let budget = Budget::with_reserve(10, 1);
    let _ = budget.take(9).unwrap();
    accounts = accounts.paid_by(budget.clone());
    assert!(stage.world.run(accounts.client_credentials()).is_ok());
    assert_eq!(budget.used(), 10);
    let error = stage.world.run(accounts.client_credentials()).unwrap_err();
    let error = error.object();
    assert_eq!(error.code, code::BUDGET_EXHAUSTED);
    assert_eq!(error.message.matches("subrequest_budget").count(), 1);
    assert_eq!(error.message.matches("ask for less").count(), 1);
    assert_eq!(stage.seen().len(), 1);
}
