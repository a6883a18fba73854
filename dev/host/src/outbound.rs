//! Calls of the component to the outside, where the manifest allows them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Uri, uri::Scheme};
use http_body_util::BodyExt;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::logs::Logs;

/// Each timeout that the guest leaves open, as under Spin.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// `allowed_outbound_hosts`, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedHosts(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// `None` is any.
    scheme: Option<String>,
    host: Host,
    /// `None` is any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// `*.example.com`: `.example.com`, with which a host must end.
    Below(String),
    Exactly(String),
}

impl AllowedHosts {
    /// Reads `scheme://host[:port]` patterns, with `*` for any scheme, host,
    /// subdomain or port.
    ///
    /// # Errors
    /// A pattern with a path, without a scheme, or otherwise not of that form:
    /// Spin refuses to load such an application as well.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self> {
        let parse = |text: &String| {
            Pattern::parse(text).with_context(|| format!("allowed_outbound_hosts: {text:?}"))
        };
        patterns.iter().map(parse).collect::<Result<_>>().map(Self)
    }

    /// Whether a call may go there.
    pub(crate) fn allow(&self, scheme: &str, host: &str, port: u16) -> bool {
        let allowed = |pattern: &Pattern| {
            let host_allowed = match &pattern.host {
                Host::Any => true,
                Host::Below(domain) => host
                    .len()
                    .checked_sub(domain.len())
                    .and_then(|at| host.get(at..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(domain)),
                Host::Exactly(known) => host.eq_ignore_ascii_case(known),
            };
            host_allowed
                && pattern
                    .scheme
                    .as_deref()
                    .is_none_or(|known| known == scheme)
                && pattern.port.is_none_or(|known| known == port)
        };
        self.0.iter().any(allowed)
    }

    fn allow_uri(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host() else { return false };
        let scheme = uri.scheme_str().unwrap_or("https");
        let port = uri.port_u16().or_else(|| default_port(scheme));
        port.is_some_and(|port| self.allow(scheme, host, port))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            bail!("has no scheme: write https://host");
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            bail!("has a path: only scheme, host and port count");
        }
        // The colons of an IPv6 address are inside brackets.
        let colon = rest.rfind(':').filter(|at| !rest[*at..].contains(']'));
        let (host, port) = match colon {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let scheme = (scheme != "*").then(|| scheme.to_ascii_lowercase());
        let port = match port {
            Some("*") => None,
            Some(port) => Some(port.parse().context("has a bad port")?),
            None => Some(
                scheme
                    .as_deref()
                    .and_then(default_port)
                    .context("needs a port")?,
            ),
        };
        let host = match host.strip_prefix('*') {
            Some("") => Host::Any,
            Some(domain) if domain.len() > 1 && domain.starts_with('.') => {
                if domain.contains('*') {
                    bail!("has a wildcard within its host");
                }
                Host::Below(domain.to_owned())
            }
            None if !host.is_empty() && !host.contains('*') => Host::Exactly(host.to_owned()),
            _ => bail!("has a bad host"),
        };
        Ok(Self { scheme, host, port })
    }
}

/// The component's way out.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) allowed: Arc<AllowedHosts>,
    pub(crate) logs: Logs,
}

type Sent = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Outbound {
    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTPS)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let allowed = self.allowed.allow_uri(request.uri());
        if !allowed {
            self.tell_refused(request.uri());
        }
        Box::new(async move {
            if !allowed {
                return Err(Error::from(ErrorCode::HttpRequestDenied));
            }
            // The library's connect timeout leaves TLS out: a peer that accepts
            // and then says nothing would hold the guest for ever.
            let head = connect_and_head(options.as_ref());
            let sent = tokio::time::timeout(head, default_send_request(request, options));
            let (response, io) = sent.await.map_err(|_| Error::ConnectionTimeout)??;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as _))
        })
    }
}

impl Outbound {
    /// A component sees no more than "denied": its author needs the host.
    fn tell_refused(&self, uri: &Uri) {
        let scheme = uri.scheme_str().unwrap_or("https");
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // A password may stand before the host.
        let host = authority.rsplit('@').next().unwrap_or_default();
        self.logs.push(format!(
            "host: a call to {scheme}://{host} was refused: allowed_outbound_hosts does not name it"
        ));
    }
}

/// The longest that a call may take up to its response's head.
fn connect_and_head(options: Option<&RequestOptions>) -> Duration {
    let connect = options.and_then(|options| options.connect_timeout);
    let first_byte = options.and_then(|options| options.first_byte_timeout);
    let or_default = |timeout: Option<Duration>| timeout.unwrap_or(DEFAULT_TIMEOUT);
    or_default(connect).saturating_add(or_default(first_byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(patterns: &[&str]) -> Result<AllowedHosts> {
        AllowedHosts::parse(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_named_is_allowed_and_nothing_else() {
        let cases = [
            ("https://a.example", "https", "a.example", 443, true),
            ("https://a.example/", "https", "A.example", 443, true),
            ("https://a.example", "http", "a.example", 443, false),
            ("https://a.example", "https", "a.example", 8443, false),
            ("https://a.example", "https", "b.a.example", 443, false),
            ("http://127.0.0.1:*", "http", "127.0.0.1", 4000, true),
            ("http://127.0.0.1:4000", "http", "127.0.0.1", 4001, false),
            ("*://*:*", "https", "x", 1, true),
            ("https://*.a.example", "https", "b.a.example", 443, true),
            ("https://*.a.example", "https", "a.example", 443, false),
            ("https://*.a.example", "https", "c.b.A.example", 443, true),
            ("https://*.a.example", "https", "xa.example", 443, false),
            ("http://[::1]:80", "http", "[::1]", 80, true),
        ];
        for (pattern, scheme, host, port, expected) in cases {
            let allowed = hosts(&[pattern]).unwrap().allow(scheme, host, port);
            assert_eq!(allowed, expected, "{pattern} {scheme}://{host}:{port}");
        }
        assert!(!hosts(&[]).unwrap().allow("https", "a.example", 443));
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "a.example",
            "https://a/v1",
            "https://",
            "https://a:x",
            "ftp://a",
            "*://a",
            "https://a.*",
            "https://*a.example",
            "https://*.*.example",
            "https://*.",
            "",
        ] {
            assert!(hosts(&[bad]).is_err(), "{bad}");
        }
    }
}
