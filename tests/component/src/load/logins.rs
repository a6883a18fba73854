//! Logins, by hand, and logouts.

use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::client::{Client, head};
use super::judge::{self, Broken, Judged, ensure};
use super::services::Upstream;
use super::{ABANDONED, Load, Visit, traceparent};
use crate::browser::SESSION;

/// A login whose user has agreed: what is left is the way back.
struct Agreed {
    /// The login's own.
    cookie: String,
    /// Where the user is sent back to.
    back: String,
}

/// Where a redirect leads to.
fn location(response: &Response) -> Judged<String> {
    let status = response.status();
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    match location {
        Some(location) if status == 303 => Ok(location.to_owned()),
        _ => Err(Broken(format!("{status} in the place of a redirect"))),
    }
}

/// The cookies that `response` sets, as they are sent back.
fn cookies(response: &Response) -> impl Iterator<Item = &str> {
    let fields = response.headers().get_all(SET_COOKIE).iter();
    let fields = fields.filter_map(|field| field.to_str().ok());
    fields.map(|field| field.split(';').next().unwrap_or_default())
}

async fn sent(request: RequestBuilder) -> Judged<Response> {
    let response = head(request, Client::Stays).await?;
    response.ok_or_else(|| Broken("no answer".into()))
}

/// Begins a login and agrees to it.
async fn agree(load: &Load<'_>) -> Judged<Agreed> {
    let login = load.client.get(format!("{}/api/auth/login", load.origin));
    let begun = sent(login).await?;
    let page = location(&begun)?;
    let cookie = cookies(&begun).collect::<Vec<_>>().join("; ");
    let form = page.replacen("/authorize?", "/authorize/answer?", 1);
    let back = location(&sent(load.client.post(form).body("answer=agree")).await?)?;
    Ok(Agreed { cookie, back })
}

impl Agreed {
    fn callback(&self, load: &Load<'_>, trace: &str) -> RequestBuilder {
        let request = load.client.get(&self.back);
        request
            .header("cookie", &self.cookie)
            .header("accept", "application/json")
            .header("traceparent", traceparent(trace))
    }
}

/// The session that a callback's answer opens.
fn opened(load: &Load<'_>, response: &Response) -> Judged<String> {
    let there = location(response)?;
    ensure!(there == "/", "a login that leads to {there}");
    let mut cookies = cookies(response).filter_map(|cookie| cookie.split_once('='));
    let session = cookies.find(|(name, _)| *name == SESSION);
    let Some((_, session)) = session else {
        return Err(Broken("a login without a session".into()));
    };
    load.secrets.add(session);
    load.secrets.refresh(load.upstreams);
    Ok(session.to_owned())
}

/// Logs in: the session.
pub(super) async fn log_in(load: &Load<'_>, trace: &str) -> Judged<String> {
    let agreed = agree(load).await?;
    opened(load, &sent(agreed.callback(load, trace)).await?)
}

/// A login with whatever goes wrong, and a logout, after which the session opens nothing.
pub(super) async fn login_and_logout(visit: &Visit<'_>) -> Judged {
    let load = visit.load;
    let begun = agree(load).await;
    let agreed = match begun {
        Ok(agreed) => agreed,
        // A login takes a store.
        Err(_) if load.is_in_trouble() => return Ok(()),
        Err(broken) => return Err(broken),
    };
    if visit.goes_wrong {
        visit.service_goes_wrong(visit.chance.pick(&[Upstream::Accounts, Upstream::Spotify]));
    }
    visit.count_client();
    let callback = agreed.callback(load, &visit.trace);
    let Some(response) = head(callback, visit.client).await? else {
        visit.gone(ABANDONED);
        return Ok(());
    };
    visit.status(response.status().as_u16());
    if response.status() != 303 {
        let refused = judge::refused(response).await?;
        let code = refused.code.as_str();
        let of_upstream = judge::UPSTREAM_ERRORS.contains(&code) || code == "login_code";
        if visit.goes_wrong && of_upstream {
            visit.tally().count("refusals", code);
            return load.secrets.are_not_in("a refusal", &refused.text);
        }
        return visit.is_explained(&refused);
    }
    let session = opened(load, &response)?;
    if let Some(who) = visit.whoami(&session).await? {
        ensure!(who["connected"] == true, "a session that is none: {who}");
    }
    let logout = visit.request(Method::POST, "/api/auth/logout");
    let logout = sent(logout.bearer_auth(&session)).await?;
    visit.status(logout.status().as_u16());
    if logout.status() != 204 {
        return visit.is_explained(&judge::refused(logout).await?);
    }
    let who = visit.request(Method::GET, "/api/auth/session");
    let who = sent(who.bearer_auth(&session)).await?;
    visit.status(who.status().as_u16());
    let refused = judge::refused(who).await?;
    match (refused.status, refused.code.as_str()) {
        (401, "session_invalid") => Ok(()),
        _ => visit.is_explained(&refused),
    }
}

impl Visit<'_> {
    /// Whose session it is; `None` where a store in trouble does not say.
    async fn whoami(&self, session: &str) -> Judged<Option<Value>> {
        let request = self.request(Method::GET, "/api/auth/session");
        let response = sent(request.bearer_auth(session)).await?;
        self.status(response.status().as_u16());
        if response.status() != 200 {
            self.is_explained(&judge::refused(response).await?)?;
            return Ok(None);
        }
        let text = response.text().await;
        let text = text.map_err(|error| Broken(format!("half an answer: {error}")))?;
        self.load.secrets.are_not_in("a session", &text)?;
        let who = serde_json::from_str(&text);
        who.map(Some)
            .map_err(|error| Broken(format!("{error}: {text}")))
    }
}
