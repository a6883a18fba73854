//! Cookies: for this host alone, out of reach of scripts.
//!
//! `__Host-` makes browsers insist on what is sent with it: no domain, the path
//! `/`, `Secure`. They take such a cookie over https, and over http from
//! loopback addresses.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Holds the session.
pub(crate) const SESSION: Cookie = Cookie("__Host-spinlane-session");
/// Holds a login that is under way.
pub(crate) const LOGIN: Cookie = Cookie("__Host-spinlane-login");

/// A cookie, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie(&'static str);

impl Cookie {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }

    /// Its value in a request: the first, should there be several.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<&str> {
        let fields = headers.get_all(COOKIE).into_iter();
        let mut pairs = fields
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(';'));
        pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.0).then_some(value)
        })
    }

    /// `Set-Cookie` with a value in base64url.
    pub(crate) fn set(self, value: &str, lasts: Duration) -> HeaderValue {
        let field = format!(
            "{}={value}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax",
            self.0,
            lasts.as_secs()
        );
        // Never fails: names and values are plain ASCII.
        let field = HeaderValue::from_str(&field);
        let mut field = field.unwrap_or(HeaderValue::from_static(""));
        field.set_sensitive(true);
        field
    }

    /// `Set-Cookie` that removes it.
    pub(crate) fn clear(self) -> HeaderValue {
        self.set("", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, field.parse().unwrap());
        }
        SESSION.read(&headers).map(str::to_owned)
    }

    #[test]
    fn is_found_among_others() {
        assert_eq!(read(&["__Host-spinlane-session=a"]).as_deref(), Some("a"));
        let many = [
            "x=1; y=2",
            "z=__Host-spinlane-session=no;  __Host-spinlane-session=b ; w=3",
        ];
        assert_eq!(read(&many).as_deref(), Some("b"));
        assert_eq!(read(&["__Host-spinlane-session"]), None);
        assert_eq!(read(&["x__Host-spinlane-session=a"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn carries_its_flags() {
        assert_eq!(
            SESSION.set("abc", Duration::from_secs(14_400)),
            "__Host-spinlane-session=abc; Path=/; Max-Age=14400; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            LOGIN.clear(),
            "__Host-spinlane-login=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
    }
}
