//! The headers by which Spin tells a component where a request came from and
//! how it was routed.

use std::net::SocketAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Request, Uri};

/// The only route that this host knows.
const ROUTE: HeaderValue = HeaderValue::from_static(crate::manifest::ROUTE);

/// Appends them, so that a forged one stays and comes first, as under Spin.
pub(crate) fn append<B>(request: &mut Request<B>, client: SocketAddr) {
    let path = HeaderValue::try_from(request.uri().path()).ok();
    let url = full_url(request.uri(), request.headers());
    let client = HeaderValue::try_from(client.to_string()).ok();
    let headers = [
        ("spin-path-info", path),
        ("spin-full-url", url),
        ("spin-matched-route", Some(ROUTE)),
        ("spin-base-path", Some(HeaderValue::from_static("/"))),
        ("spin-raw-component-route", Some(ROUTE)),
        ("spin-component-route", Some(HeaderValue::from_static(""))),
        ("spin-client-addr", client),
    ];
    for (name, value) in headers {
        if let Some(value) = value {
            let name = HeaderName::from_static(name);
            request.headers_mut().append(name, value);
        }
    }
}

fn full_url(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| uri.authority().map(Authority::as_str));
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    HeaderValue::try_from(format!("http://{}{path}", host.unwrap_or("localhost"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(request: &Request<()>, name: &str) -> Vec<String> {
        let values = request.headers().get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_forged_address_comes_first() {
        let mut request = Request::builder()
            .uri("/a/b?c=d")
            .header("host", "example.com:3000")
            .header("spin-client-addr", "10.0.0.1:1")
            .body(())
            .unwrap();
        append(&mut request, "[::1]:4000".parse().unwrap());
        let all = |name| values(&request, name);
        assert_eq!(all("spin-client-addr"), ["10.0.0.1:1", "[::1]:4000"]);
        assert_eq!(all("spin-full-url"), ["http://example.com:3000/a/b?c=d"]);
        assert_eq!(all("spin-path-info"), ["/a/b"]);
        assert_eq!(all("spin-component-route"), [""]);
        assert_eq!(all("spin-matched-route"), ["/..."]);
    }
}
