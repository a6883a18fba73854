//! Whether a request that changes something comes from our own page.
//!
//! Browsers send the session's cookie by themselves. `SameSite=Lax` keeps it
//! from other sites' POSTs, and bodies are taken as JSON only, which no other
//! origin may send without a preflight. This is the third lock, and the one that
//! also holds between hosts of one site. Requests with a Bearer token need none:
//! no browser adds that by itself.

use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;

use crate::config::{Config, Origin};

/// How the page that asks relates to us; browsers do not let pages set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether `request` may act with the session of its cookie.
///
/// The configured pages may. Of others the browser says how they relate to us,
/// or at least where they are, which has to be where the request goes. What says
/// neither is not a browser.
pub(crate) fn may_act(request: &Parts, config: &Config) -> bool {
    if request.method.is_safe() {
        return true;
    }
    let known = |origin: &str| {
        let pages = [
            Some(&config.edge().public_url),
            config.pages().frontend_url.origin(),
        ];
        pages
            .into_iter()
            .flatten()
            .any(|page| page.as_str() == origin)
    };
    let field = |name: HeaderName| {
        let value = request.headers.get(name)?;
        // What cannot be read is not ours.
        Some(value.to_str().unwrap_or_default())
    };
    match (field(SEC_FETCH_SITE), field(ORIGIN)) {
        (_, Some(origin)) if known(origin) => true,
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let origin = Origin::parse(origin);
            origin.is_ok_and(|origin| authority(request) == Some(origin.authority()))
        }
        (None, None) => true,
    }
}

/// The host and port that the request was sent to.
pub(crate) fn authority(request: &Parts) -> Option<&str> {
    let target = request.uri.authority().map(http::uri::Authority::as_str);
    target.or_else(|| request.headers.get(HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn may(method: &str, fields: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/api/auth/logout");
        request = request.header("host", "127.0.0.1:3000");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let config = Config::new(|name| match name {
            "public_url" => Some("https://api.dj.example".into()),
            "frontend_url" => Some("https://dj.example".into()),
            _ => None,
        });
        may_act(&parts, &config)
    }

    #[test]
    fn our_own_page_and_programs_may() {
        for fields in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://127.0.0.1:3000")],
            &[("origin", "https://api.dj.example")],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://dj.example"),
            ],
        ] {
            assert!(may("POST", fields), "{fields:?}");
        }
    }

    #[test]
    fn other_pages_may_not() {
        for fields in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://x.dj.example"),
            ],
            &[("origin", "http://127.0.0.1:3001")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://dj.example.evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
        ] {
            assert!(!may("POST", fields), "{fields:?}");
            assert!(may("GET", fields), "reading changes nothing");
        }
    }
}
