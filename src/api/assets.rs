//! The page and its assets, embedded at build time.
//!
//! `build.rs` turns `web/` into a table of finished answers: an asset's name
//! holds a hash of its content, so browsers keep it for good; a page is asked
//! for again each time, and answered 304 while it is the same. A name is looked
//! up in the table and nowhere else: there is no file system to climb out into.

use std::borrow::Cow;
use std::io::Read as _;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::docs::answers::{NotFound, NotModified};
use super::{is_beneath, not_found};
use spinlane_http::methods;
use spinlane_http::problem::Problem;

/// A finished answer.
struct Asset {
    /// What it is served as.
    path: &'static str,
    media_type: &'static str,
    /// Quoted, as it is sent.
    etag: &'static str,
    /// Hashes of the scripts that stand in a page, as a policy has them.
    scripts: &'static str,
    /// The same of its styles.
    styles: &'static str,
    /// Its content, compressed: a host copies the memory that an instance begins with
    /// for every request, whatever it asks for.
    gzip: &'static [u8],
}

impl Asset {
    /// Its content as it was.
    fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        // Cannot fail: a test asks for each of them.
        let _ = GzDecoder::new(self.gzip).read_to_end(&mut content);
        content
    }
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Beneath these nothing falls back to the page: a program asks there, and
/// wants to know.
const NOT_PAGES: [&str; 4] = ["/api", "/assets", "/health", "/ready"];

/// An asset's name changes with its content.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// A page is kept, but asked for each time.
const ASK: &str = "no-cache";

/// Everything is the application's own, and what else stands in the page is
/// nobody's.
fn policy(page: &Asset) -> Option<HeaderValue> {
    let Asset {
        scripts, styles, ..
    } = page;
    let policy = format!(
        "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).ok()
}

/// What a page's head has beside its kind: nothing of it may reach for devices,
/// and other sites learn nothing of where a user was.
///
/// No `cross-origin-opener-policy`: a browser changes its process for a page with
/// one when the head arrives, and paints 100 ms later. The page opens no window
/// and listens to none, so there is little that an opener could do.
const PAGE_HEADERS: [(HeaderName, &str); 2] = [
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// A file of the page.
#[utoipa::path(
    get,
    path = "/assets/{file}",
    operation_id = "getAsset",
    tag = "page",
    params(("file" = String, Path, description = "A name that the page refers to.")),
    responses(
        (
            status = 200,
            description = "The file, in its own media type. Its name changes with its content.",
            headers(
                ("etag" = String, description = "Of the content."),
                ("cache-control" = String, description = "It may be kept for good.")
            )
        ),
        NotModified,
        NotFound,
    )
)]
pub(super) async fn asset(headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    match find(uri.path()) {
        Some(asset) => Ok(for_own_pages(answer(asset, &headers, FOR_GOOD))),
        None => Err(not_found(uri).await),
    }
}

/// Every path without a route: the page, which finds its way by the path.
pub(super) async fn fallback(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = uri.path();
    if NOT_PAGES.iter().any(|prefix| is_beneath(path, prefix)) {
        return Err(not_found(uri).await);
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        let allow = (ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Err(methods::not_allowed(method).await.with_headers([allow]));
    }
    Ok(page("/index.html", &headers))
}

/// A page, by the name that its file has.
pub(super) fn page(path: &str, headers: &HeaderMap) -> Response {
    let Some(page) = find(path) else {
        // Cannot be: a test asks for each page.
        return Response::new(Body::empty());
    };
    let mut response = for_own_pages(answer(page, headers, ASK));
    let policy = policy(page).map(|policy| (CONTENT_SECURITY_POLICY, policy));
    response.headers_mut().extend(policy);
    for (name, value) in PAGE_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// The OpenAPI document, which `build.rs` adds to the page's files.
pub(super) fn document(headers: &HeaderMap) -> Response {
    let document = find("/api/openapi.json");
    // It is always there: a test asks for it.
    document.map_or_else(Response::default, |document| answer(document, headers, ASK))
}

fn for_own_pages(mut response: Response) -> Response {
    let own = HeaderValue::from_static("same-origin");
    let head = response.headers_mut();
    head.insert(CROSS_ORIGIN_RESOURCE_POLICY, own);
    response
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

fn answer(asset: &'static Asset, headers: &HeaderMap, cache: &'static str) -> Response {
    let gzip = takes_gzip(headers);
    let etag = match gzip {
        // What differs in its bytes differs in its tag.
        true => Cow::Owned(format!("{}-gzip\"", asset.etag.trim_end_matches('"'))),
        false => Cow::Borrowed(asset.etag),
    };
    let known = is_known(headers, &etag);
    let body = match (known, gzip) {
        (true, _) => Bytes::new(),
        (false, true) => Bytes::from_static(asset.gzip),
        (false, false) => asset.content().into(),
    };
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    let head = response.headers_mut();
    head.extend(HeaderValue::try_from(&*etag).map(|etag| (ETAG, etag)));
    head.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    head.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    head.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    head.insert(CONTENT_LENGTH, length);
    if gzip {
        head.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether the client says that it takes gzip (RFC 9110, 12.5.3). Who says nothing, or
/// `*`, gets what nobody has to unpack.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=");
        let refused = weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Whether the client says that it has the content already: `If-None-Match`,
/// compared weakly (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use http::Request;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::api::tests::{Answer, ask, get};

    /// The served name of an asset that the page refers to.
    fn referred(page: &Answer, stem: &str) -> String {
        let html = std::str::from_utf8(&page.body).unwrap();
        let begin = format!("/assets/{stem}-");
        let start = html.find(&begin).unwrap_or_else(|| panic!("{html}"));
        html[start..].split('"').next().unwrap().to_owned()
    }

    fn ask_known(path: &str, etags: &str) -> Answer {
        let request = Request::get(path).header(IF_NONE_MATCH, etags);
        ask(request.body(Body::empty()).unwrap())
    }

    /// The hashes of what stands in a page's elements of this kind, as its policy
    /// has them.
    fn inside(html: &[u8], kind: &str) -> String {
        let html = std::str::from_utf8(html).unwrap();
        let (begin, end) = (format!("<{kind}>"), format!("</{kind}>"));
        let hashes = html.split(&begin).skip(1).map(|rest| {
            let (code, _) = rest.split_once(&end).unwrap();
            format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(code)))
        });
        let hashes: String = hashes.collect();
        assert!(!hashes.is_empty(), "{kind}");
        hashes
    }

    #[test]
    fn the_page_is_at_every_path_that_is_not_a_programs() {
        let index = ask(get("/"));
        for path in [
            "/",
            "/index.html",
            "/playlists/7?x=1",
            "/apis",
            "//api/status",
            "/..%2f..%2fetc/passwd",
        ] {
            let answer = ask(get(path));
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert_eq!(answer.body, index.body, "{path}");
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        }
        for path in [
            "/api",
            "/api/",
            "/api/nothing",
            "/health/x",
            "/assets",
            "/assets/",
            "/assets/app.js",
            "/assets/../Cargo.toml",
            "/assets/..%2f..%2fCargo.toml",
            "/assets//etc/passwd",
            "/assets/index.html",
        ] {
            let answer = ask(get(path));
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.problem(), "not_found", "{path}");
        }
    }

    #[test]
    fn the_page_lets_nothing_in_that_is_not_its_own() {
        let page = ask(get("/"));
        let policy = page.header("content-security-policy");
        let (scripts, styles) = (inside(&page.body, "script"), inside(&page.body, "style"));
        let (scripts, styles) = (
            format!("script-src 'self'{scripts}"),
            format!("style-src 'self'{styles}"),
        );
        for directive in [
            "default-src 'none'",
            &scripts,
            &styles,
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|own| own == directive), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert!(page.header("permissions-policy").contains("camera=()"));
        // What the policy forbids is not there in the first place.
        for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".html")) {
            let content = asset.content();
            let html = std::str::from_utf8(&content).unwrap();
            for inline in ["style=", "onclick=", "javascript:"] {
                assert!(!html.contains(inline), "{}: {inline}", asset.path);
            }
            let (scripts, styles) = (inside(&content, "script"), inside(&content, "style"));
            assert_eq!((asset.scripts, asset.styles), (&*scripts, &*styles));
            // All others are files, and have nothing inside.
            let files = html.matches("<script ").count();
            assert_eq!(html.matches("\"></script>").count(), files, "{html}");
            assert!(!html.contains("<style "), "{html}");
        }
    }

    #[test]
    fn assets_are_kept_for_good_and_pages_asked_for() {
        let page = ask(get("/"));
        assert_eq!(page.header("cache-control"), "no-cache");
        let files = ASSETS
            .iter()
            .filter(|asset| asset.path.starts_with("/assets/"));
        let files: Vec<_> = files.collect();
        for kind in ["text/javascript; charset=utf-8", "image/svg+xml"] {
            assert!(files.iter().any(|asset| asset.media_type == kind), "{kind}");
        }
        for asset in files {
            let answer = ask(get(asset.path));
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.body.is_empty(), "{}", asset.path);
            assert_eq!(answer.header("content-type"), asset.media_type);
            assert_eq!(answer.header("cache-control"), FOR_GOOD);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), length);
        }
        let answer = ask(get(&referred(&page, "app")));
        assert_eq!(answer.status, StatusCode::OK);
    }

    #[test]
    fn authors_lines_stay_at_home() {
        // What others wrote is left as they wrote it, licence and all.
        let code = |asset: &&Asset| {
            let own = !asset.path.starts_with("/assets/vendor/");
            own && [".js", ".css"].iter().any(|end| asset.path.ends_with(end))
        };
        let mut seen = 0;
        for asset in ASSETS.iter().filter(code) {
            let content = asset.content();
            let text = std::str::from_utf8(&content).unwrap();
            for line in text.lines() {
                seen += 1;
                assert_eq!(line, line.trim(), "{}", asset.path);
                let comment = line.is_empty() || line.starts_with("//") || line.starts_with("/*");
                assert!(!comment, "{}: {line:?}", asset.path);
            }
        }
        assert!(seen > 1000, "{seen}");
        // Nor are they in what has become part of a page.
        let page = ask(get("/")).body;
        let html = std::str::from_utf8(&page).unwrap();
        assert!(!html.contains("\n/*") && !html.contains("\n//"));
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let page = ask(get("/"));
        let etag = page.header("etag").to_owned();
        for known in [
            &etag,
            "*",
            &format!("W/{etag}"),
            &format!("\"x\", {etag} ,\"y\""),
        ] {
            let answer = ask_known("/deep/link", known);
            assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{known}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), etag);
            assert_eq!(answer.header("content-type"), "");
        }
        for other in ["\"x\"", etag.trim_matches('"'), ""] {
            assert_eq!(ask_known("/", other).status, StatusCode::OK, "{other}");
        }
        let asset = referred(&page, "app");
        let etag = ask(get(&asset)).header("etag").to_owned();
        assert_eq!(ask_known(&asset, &etag).status, StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn who_takes_gzip_gets_it_and_nobody_else() {
        for path in ["/", "/api/docs", "/api/openapi.json"] {
            let plain = ask(get(path));
            for (taken, gzip) in [
                ("gzip", true),
                ("deflate, GZIP;q=0.5, br", true),
                ("gzip;q=0", false),
                ("br, gzip; q=0.000", false),
                ("*", false),
                ("identity", false),
                ("gzipped", false),
            ] {
                let request = Request::get(path).header("accept-encoding", taken);
                let answer = ask(request.body(Body::empty()).unwrap());
                assert_eq!(
                    answer.header("vary").split(", ").next(),
                    Some("accept-encoding")
                );
                let length = answer.body.len().to_string();
                assert_eq!(answer.header("content-length"), length);
                let encoding = answer.header("content-encoding");
                assert_eq!(encoding, if gzip { "gzip" } else { "" }, "{taken}");
                let is_other = answer.header("etag") != plain.header("etag");
                assert_eq!(is_other, gzip, "{taken}");
                let mut content = answer.body.to_vec();
                if gzip {
                    content.clear();
                    let mut body = GzDecoder::new(&answer.body[..]);
                    body.read_to_end(&mut content).unwrap();
                    // A tag is known in the coding that it was given for.
                    let etag = answer.header("etag").to_owned();
                    assert_eq!(ask_known(path, &etag).status, StatusCode::OK);
                }
                assert!(content == plain.body, "{path} {taken}");
            }
        }
    }

    #[test]
    fn other_methods() {
        let page = ask(get("/"));
        for path in ["/", &referred(&page, "app")] {
            let whole = ask(get(path));
            let head = ask(Request::head(path).body(Body::empty()).unwrap());
            assert_eq!(head.status, StatusCode::OK);
            assert!(head.body.is_empty());
            for name in ["content-length", "content-type", "etag", "cache-control"] {
                assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
            }
            let answer = ask(Request::post(path).body(Body::empty()).unwrap());
            assert_eq!(answer.problem(), "method_not_allowed");
            assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
            let answer = ask(Request::options(path).body(Body::empty()).unwrap());
            let allow = answer.header("allow");
            assert_eq!((answer.status.as_u16(), allow), (204, "GET, HEAD, OPTIONS"));
        }
    }
}
