//! URLs that are origins: scheme, host, port, and nothing after them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

/// The origin of a service, such as `https://api.anthropic.com`.
///
/// Normalised: lower case, no default port, no slash at the end; so that equal
/// origins are equal strings, and a path can be appended.
///
/// ```
/// use spinlane_client::Origin;
///
/// let origin = Origin::parse("https://API.example:443/")?;
/// assert_eq!(origin.as_str(), "https://api.example");
/// assert_eq!(origin.url("/v1/songs"), "https://api.example/v1/songs");
/// assert!(Origin::parse("https://api.example/v1").is_err());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Parses an origin. One slash at the end is taken off.
    ///
    /// # Errors
    /// What is expected instead, without the value (which may hold a password).
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "must be an origin such as https://api.example.com: \
             http or https, a host, at most a port, no path";
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let Some(scheme @ ("http" | "https")) = uri.scheme_str() else {
            return Err(EXPECTED);
        };
        let authority = uri.authority().ok_or(EXPECTED)?;
        let host = authority.host().to_ascii_lowercase();
        let bare = uri.path() == "/" && uri.query().is_none() && !text.contains('#');
        if !bare || host.is_empty() || authority.as_str().contains('@') {
            return Err(EXPECTED);
        }
        let port = match authority.port_u16() {
            None if authority.as_str().len() > host.len() => return Err(EXPECTED),
            None => None,
            Some(80) if scheme == "http" => None,
            Some(443) if scheme == "https" => None,
            port => port,
        };
        Ok(Self(match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }

    /// An origin from this source code, already in its normal form.
    pub fn known(text: &'static str) -> Self {
        debug_assert_eq!(Self::parse(text).as_ref().map(Self::as_str), Ok(text));
        Self(text.to_owned())
    }

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Host and port, as in a request's `Host`.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, rest)| rest)
    }

    /// The host name, or the address without brackets.
    pub fn host(&self) -> &str {
        host(self.authority())
    }

    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether it names this machine, where stand-ins live.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => address.is_loopback(),
            Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST,
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }
}

/// The host name of an authority, or its address without brackets.
pub fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_normalised() {
        for (text, expected) in [
            ("https://api.anthropic.com", "https://api.anthropic.com"),
            ("https://API.anthropic.com/", "https://api.anthropic.com"),
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:80/", "http://a.example"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
            ("http://[::1]:4000", "http://[::1]:4000"),
        ] {
            assert_eq!(
                Origin::parse(text).map(|origin| origin.0),
                Ok(expected.into())
            );
        }
    }

    #[test]
    fn parts_are_told() {
        for (text, authority, host) in [
            ("https://a.example", "a.example", "a.example"),
            ("http://127.0.0.1:4000", "127.0.0.1:4000", "127.0.0.1"),
            ("http://[::1]:4000", "[::1]:4000", "::1"),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!((origin.authority(), origin.host()), (authority, host));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "api.anthropic.com",
            "/v1",
            "ftp://a.example",
            "https://",
            "https://a.example/v1",
            "https://a.example//",
            "https://a.example?x",
            "https://a.example#x",
            "https://user:password@a.example",
            "https://a.example:99999",
            "https://a.example:",
            "https://a b",
            "https://a.example\n",
        ] {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        let loopback = |text| Origin::parse(text).map(|origin| origin.is_loopback());
        for text in [
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:1",
            "http://localhost:1",
            "http://x.localhost",
        ] {
            assert_eq!(loopback(text), Ok(true), "{text}");
        }
        for text in [
            "http://10.0.0.1",
            "https://localhost.example",
            "http://[::2]",
        ] {
            assert_eq!(loopback(text), Ok(false), "{text}");
        }
    }
}
