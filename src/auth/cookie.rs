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
    /// Its name, for the document.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }

    /// Its value in a request: the first, should there be several.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<&str> {
        self.values(headers).next()
    }

    /// Each value that a request has for it. Other programs set cookies for the
    /// same host, and browsers send whatever bytes they were given: a pair that
    /// is no text hides no other.
    pub(crate) fn values(self, headers: &HeaderMap) -> impl Iterator<Item = &str> {
        let fields = headers.get_all(COOKIE).into_iter();
        let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(move |pair| {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&pair[..at], std::str::from_utf8(&pair[at + 1..]).ok()?);
            (name == self.0.as_bytes()).then_some(value)
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
        let fields: Vec<_> = fields.iter().map(|field| field.as_bytes()).collect();
        read_bytes(&fields)
    }

    fn read_bytes(fields: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, HeaderValue::from_bytes(field).unwrap());
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
    fn foreign_pairs_hide_nothing_whatever_bytes_they_have() {
        for foreign in [
            &b"utm=p\xc3\xa5"[..],
            b"utm=p\xe5",
            b"\xff\xfe=\xff",
            b"caf\xe9",
            b"__Host-spinlane-sessio\xf1=x",
            b"__Host-spinlane-session=\xe5",
            b"=",
            b"",
            b";;;",
        ] {
            let ours = &b"__Host-spinlane-session=a"[..];
            for pairs in [[foreign, ours], [ours, foreign]] {
                assert_eq!(read_bytes(&[&pairs.join(&b"; "[..])]).as_deref(), Some("a"));
                assert_eq!(read_bytes(&pairs).as_deref(), Some("a"), "{foreign:?}");
            }
            assert_eq!(read_bytes(&[foreign]), None);
        }
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
