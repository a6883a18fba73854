//! The access to Spotify that a session gives, and its renewal.

use std::time::Duration;

use futures::future::join;
use http::StatusCode;

use super::*;
use crate::auth::UserSession;
use crate::clients::spotify::AccessTokens;
use crate::config::Secret;
use crate::error::code;
use spinlane_client::Failure;
use spinlane_core::ports::StoreError;

/// An open session of a user who has just logged in.
fn user(stage: &Stage) -> (UserSession, Secret) {
    let mut browser = Browser::new(stage);
    browser.log_in();
    stage.take();
    let token = Secret::new(browser.session());
    let open = UserSession::open(&stage.app, token.clone());
    (stage.world.run(open).unwrap(), token)
}

fn access(stage: &Stage, user: &UserSession, refused: Option<&str>) -> String {
    let refused = refused.map(Secret::new);
    let token = stage.world.run(user.token(refused.as_ref())).unwrap();
    token.expose().to_owned()
}

#[test]
fn an_access_token_is_renewed_before_it_ends() {
    let stage = stage(&[]);
    let (user, token) = user(&stage);
    assert_eq!(access(&stage, &user, None), "access-1");
    stage.world.clock.advance(Duration::from_secs(539));
    assert_eq!(access(&stage, &user, None), "access-1");
    assert!(stage.seen().is_empty());
    stage.world.clock.advance(Duration::from_secs(1));
    let (one, two) = stage.world.run(join(user.token(None), user.token(None)));
    assert_eq!(
        (one.unwrap().expose(), two.unwrap().expose()),
        ("access-2", "access-2")
    );
    assert_eq!(stage.take().len(), 1, "renewed once");
    // The next request finds it.
    let next = stage
        .world
        .run(UserSession::open(&stage.app, token))
        .unwrap();
    assert_eq!(access(&stage, &next, None), "access-2");
    assert!(stage.seen().is_empty());
}

#[test]
fn a_refused_token_is_replaced_at_once_and_once() {
    let stage = stage(&[]);
    let (user, _) = user(&stage);
    let refused = Secret::new("access-1");
    let (one, two) = (user.token(Some(&refused)), user.token(Some(&refused)));
    let (one, two) = stage.world.run(join(one, two));
    assert_eq!(
        (one.unwrap().expose(), two.unwrap().expose()),
        ("access-2", "access-2")
    );
    assert_eq!(stage.take().len(), 1);
    // Who was late to say so gets the new one.
    assert_eq!(access(&stage, &user, Some("access-1")), "access-2");
    assert!(stage.seen().is_empty());
    assert_eq!(access(&stage, &user, Some("access-2")), "access-3");
}

#[test]
fn what_another_instance_has_renewed_is_taken_over() {
    let stage = stage(&[]);
    let (user, token) = user(&stage);
    let other = stage
        .world
        .run(UserSession::open(&stage.app, token))
        .unwrap();
    stage.world.clock.advance(Duration::from_secs(590));
    assert_eq!(access(&stage, &other, None), "access-2");
    assert_eq!(stage.take().len(), 1);
    assert_eq!(access(&stage, &user, None), "access-2");
    assert!(stage.seen().is_empty());
}

#[test]
fn a_login_that_spotify_has_ended_ends_the_session() {
    let stage = Stage::new(&[], |request| {
        match request.body.contains("refresh_token=") {
            true => Reply::Json(400, json!({"error": "invalid_grant"})),
            false => spotify(request),
        }
    });
    let (user, token) = user(&stage);
    stage.world.clock.advance(Duration::from_secs(600));
    let error = stage.world.run(user.token(None)).unwrap_err();
    assert_eq!(error.failure, Failure::Grant);
    let object = error.object();
    assert_eq!(object.code, code::SESSION_EXPIRED);
    assert!(object.message.contains("log in again"), "{object:?}");
    let answer = bearer(&stage, "GET", "/api/auth/session", token.expose());
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "session_invalid")
    );
}

#[test]
fn a_session_that_was_ended_meanwhile_is_not_renewed() {
    let stage = stage(&[]);
    let (user, token) = user(&stage);
    assert_eq!(
        bearer(&stage, "POST", "/api/auth/logout", token.expose()).status,
        204
    );
    stage.world.clock.advance(Duration::from_secs(600));
    let error = stage.world.run(user.token(None)).unwrap_err();
    assert_eq!(error.failure, Failure::Grant);
    assert!(stage.seen().is_empty());
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", token.expose()).status,
        401
    );
}

#[test]
fn trouble_at_the_accounts_service_ends_no_session() {
    let stage = Stage::new(&[], |request| {
        match request.body.contains("refresh_token=") {
            true => Reply::Json(503, json!({})),
            false => spotify(request),
        }
    });
    let (user, token) = user(&stage);
    stage.world.clock.advance(Duration::from_secs(600));
    let error = stage.world.run(user.token(None)).unwrap_err();
    let unavailable = matches!(
        error.failure,
        Failure::Status {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..
        }
    );
    assert!(unavailable, "{error}");
    assert_eq!(
        bearer(&stage, "GET", "/api/auth/session", token.expose()).status,
        200
    );
}

#[test]
fn a_renewed_token_serves_even_if_it_cannot_be_kept() {
    let stage = stage(&[]);
    let (user, _) = user(&stage);
    stage.world.clock.advance(Duration::from_secs(600));
    let fault = StoreError::Unavailable("down".into());
    stage.world.store.fail_with(Some(fault));
    assert_eq!(access(&stage, &user, None), "access-2");
    assert_eq!(access(&stage, &user, None), "access-2");
    assert_eq!(stage.take().len(), 1);
}
