//! What is asked of an API: a request being built.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use serde::Serialize;

use crate::Origin;

/// What is asked of an API.
///
/// ```
/// use spinlane_client::ApiRequest;
///
/// // Reads, so it may be sent again.
/// let search = ApiRequest::get("search songs", "/search").query(&[("q", "rain & sun")]);
/// // Writes, and is sent once.
/// let add = ApiRequest::post("add a song", "/songs").json(&["rain"]);
/// # let _ = (search, add);
/// ```
#[derive(Clone)]
pub struct ApiRequest {
    /// For the log: what it is for. Never anything of the user's.
    pub(crate) what: &'static str,
    method: Method,
    /// With the query.
    path: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    /// What cannot be sent, and why.
    invalid: Option<String>,
    pub(crate) repeatable: bool,
    pub(crate) overhead: bool,
    /// What to check where there is no such thing; the service's own advice
    /// where nothing is said here.
    pub(crate) not_found: Option<&'static str>,
    pub(crate) progress: Option<Duration>,
}

/// Neither headers nor body nor the query: they may hold keys.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequest")
            .field("what", &self.what)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl ApiRequest {
    fn new(what: &'static str, method: Method, path: impl Into<String>) -> Self {
        Self {
            what,
            repeatable: method.is_safe(),
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            invalid: None,
            overhead: false,
            not_found: None,
            progress: None,
        }
    }

    /// Reads `path`, which begins with a slash and is encoded already. May be
    /// sent again.
    pub fn get(what: &'static str, path: impl Into<String>) -> Self {
        Self::new(what, Method::GET, path)
    }

    /// Writes to `path`; sent once.
    pub fn post(what: &'static str, path: impl Into<String>) -> Self {
        Self::new(what, Method::POST, path)
    }

    /// Changes what is at `path`; sent once.
    pub fn put(what: &'static str, path: impl Into<String>) -> Self {
        Self::new(what, Method::PUT, path)
    }

    /// Removes what is at `path`; sent once.
    pub fn delete(what: &'static str, path: impl Into<String>) -> Self {
        Self::new(what, Method::DELETE, path)
    }

    /// With these fields as the query.
    pub fn query(mut self, fields: &[(&str, &str)]) -> Self {
        self.path.push('?');
        self.path.push_str(&form(fields));
        self
    }

    /// With a header. One that cannot be sent fails the call, unsent.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With `body` as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = bytes.into(),
            Err(error) => self.invalid = Some(error.to_string()),
        }
        self.header(CONTENT_TYPE, "application/json")
    }

    /// With these fields as the body, as forms send them.
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.body = form(fields).into();
        self.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// May be sent again: doing it twice does no harm.
    pub fn repeatable(self) -> Self {
        Self {
            repeatable: true,
            ..self
        }
    }

    /// Is given up when its answer does not go on for so long before it can be
    /// judged.
    pub fn progress(self, limit: Duration) -> Self {
        Self {
            progress: Some(limit),
            ..self
        }
    }

    /// Is the request's own overhead: may use the budget's reserve.
    pub fn overhead(self) -> Self {
        Self {
            overhead: true,
            ..self
        }
    }

    /// With what to check where there is no such thing.
    pub fn or_check(self, not_found: &'static str) -> Self {
        Self {
            not_found: Some(not_found),
            ..self
        }
    }

    /// For the service at `base_url`.
    ///
    /// # Errors
    /// Why it cannot be sent, without what is in it.
    pub(crate) fn request(&self, base_url: &Origin) -> Result<http::Request<Bytes>, String> {
        if let Some(reason) = &self.invalid {
            return Err(reason.clone());
        }
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(base_url.url(&self.path))
            .header(USER_AGENT, concat!("spinlane/", env!("CARGO_PKG_VERSION")));
        let accepts = self.headers.iter().any(|(name, _)| name == ACCEPT);
        if !accepts {
            request = request.header(ACCEPT, "application/json");
        }
        for (name, value) in &self.headers {
            // Not in the error either: it may be a key.
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("the header `{name}` has characters that it must not"))?;
            request = request.header(name, value);
        }
        request
            .body(self.body.clone())
            .map_err(|error| error.to_string())
    }
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}
