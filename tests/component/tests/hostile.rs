//! A client that means harm: it gets a 4xx or a closed connection, and whoever
//! comes next is served as ever.

use std::net::SocketAddr;
use std::time::Duration;

use spinlane_component_tests::{Dj, PATIENCE, settled};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHAT: &str = "POST /api/chat-stream/message HTTP/1.1\r\nhost: dj\r\n";

/// How long a body may take, and then some.
const SLOW: Duration = Duration::from_secs(60);

/// Sends `bytes` and reads until the connection is closed, or the answer's head
/// is there. `None`: closed without an answer.
async fn send(addr: SocketAddr, bytes: &[u8], within: Duration) -> Option<(u16, String)> {
    let exchange = async {
        let stream = TcpStream::connect(addr).await.expect("a connection");
        let (mut reader, mut writer) = stream.into_split();
        // The server may answer, and close, before it has read everything.
        let writing = async {
            let _ = writer.write_all(bytes).await;
            let _ = writer.flush().await;
            std::future::pending::<()>().await;
        };
        let reading = async {
            let mut answer = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                match reader.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => answer.extend_from_slice(&chunk[..count]),
                }
                let whole = answer.windows(4).any(|window| window == b"\r\n\r\n");
                // A little of the body as well, for what it must not hold.
                if whole && answer.len() > 1_000 {
                    break;
                }
            }
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::select! {
            answer = reading => answer,
            () = writing => unreachable!("it never ends"),
        }
    };
    let answer = tokio::time::timeout(within, exchange).await;
    let answer = answer.expect("an answer, or a closed connection");
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, answer))
}

/// Sends `bytes`, expects to be refused, and that the next request is fine.
async fn refused(dj: &Dj, what: &str, bytes: &[u8], within: Duration) -> Option<u16> {
    let answer = send(dj.host.addr(), bytes, within).await;
    let status = answer.as_ref().map(|(status, _)| *status);
    let good = status.is_none_or(|status| (400..500).contains(&status));
    assert!(good, "{what}: {answer:?}");
    if let Some((_, text)) = &answer {
        assert!(!text.contains("root:"), "{what}: {text}");
    }
    let next = reqwest::get(dj.host.url("/health")).await;
    assert_eq!(next.expect("an answer").status(), 200, "after {what}");
    status
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: dj\r\nconnection: close\r\n{headers}\r\n").into()
}

fn chat(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{CHAT}connection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

const JSON: &str = "content-type: application/json\r\n";

/// No instance has trapped, and none is left.
async fn nothing_is_left(dj: &Dj) {
    settled(&dj.host).await;
    assert_eq!(dj.upstreams.anthropic().counts().started, 0);
}

#[tokio::test]
async fn heads() {
    let dj = Dj::start(&[]).await;
    let many: String = (0..5_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let large = format!("x-large: {}\r\n", "x".repeat(1 << 20));
    let parameters: Vec<String> = (0..10_000).map(|n| format!("p{n}=v{n}")).collect();
    let parameters = parameters.join("&");
    let bare = "a&".repeat(10_000);
    let long = "x".repeat(1 << 20);
    for (what, bytes) in [
        ("many headers", get("/health", &many)),
        ("a large header", get("/health", &large)),
        (
            "10,000 parameters",
            get(&format!("/health?{parameters}"), ""),
        ),
        ("10,000 bare parameters", get(&format!("/?{bare}"), "")),
        ("a long path", get(&format!("/{long}"), "")),
        (
            "a path that is just too long",
            get(&format!("/{}", &long[..9_000]), ""),
        ),
        (
            "bytes in the path",
            b"GET /\xff\xfe HTTP/1.1\r\nhost: dj\r\n\r\n".to_vec(),
        ),
        ("a NUL in a header", get("/health", "x-a: \0\r\n")),
        ("a header without a name", get("/health", ": x\r\n")),
        ("a space before the colon", get("/health", "x-a : 1\r\n")),
        (
            "no HTTP at all",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10),
        ),
        (
            "a method of its own",
            b"BREW /api/status HTTP/1.1\r\nhost: dj\r\nconnection: close\r\n\r\n".to_vec(),
        ),
        (
            "a version of its own",
            b"GET / HTTP/9.9\r\nhost: dj\r\n\r\n".to_vec(),
        ),
        (
            "two lengths",
            format!("{CHAT}{JSON}content-length: 5\r\ncontent-length: 6\r\n\r\nhello").into(),
        ),
        (
            "a length that is none",
            format!("{CHAT}{JSON}content-length: -1\r\n\r\n").into(),
        ),
        (
            "two media types",
            chat(
                &format!("{JSON}content-type: text/plain\r\n"),
                b"{\"message\":\"x\"}",
            ),
        ),
    ] {
        refused(&dj, what, &bytes, PATIENCE).await;
    }
    // Where the application answers, not the host, it says why.
    let too_long = get(&format!("/health?{}", &parameters[..20_000]), "");
    let (status, answer) = send(dj.host.addr(), &too_long, PATIENCE)
        .await
        .expect("an answer");
    assert_eq!(status, 414);
    assert!(answer.contains("application/problem+json"), "{answer}");
    nothing_is_left(&dj).await;
}

#[tokio::test]
async fn paths_that_would_climb_out() {
    let dj = Dj::start(&[]).await;
    for path in [
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets/....//....//etc/passwd",
        "/assets//etc/passwd",
        "/assets/..\\..\\etc\\passwd",
        "/assets/%00",
        "/assets/app.js%00.png",
        "/assets/%ff%fe",
        "/assets/\u{ff0e}\u{ff0e}/etc/passwd",
        "/problems/..%2f..%2fetc%2fpasswd",
        "/problems/%ff",
        "/api/../api/nothing",
    ] {
        let status = refused(&dj, path, &get(path, ""), PATIENCE).await;
        assert!(matches!(status, Some(404 | 400)), "{path}: {status:?}");
    }
    nothing_is_left(&dj).await;
}

#[tokio::test]
async fn bodies() {
    let dj = Dj::start(&[]).await;
    let deep = format!(
        "{{\"message\":{}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let wide: Vec<String> = (0..30_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let faulty = format!(
        "{{\"message\":1,\"conversationHistory\":[{}1]}}",
        "1,".repeat(100_000)
    );
    let number = format!("{{\"message\":{}}}", "9".repeat(100_000));
    let promised = format!("{CHAT}{JSON}connection: close\r\ncontent-length: 999999999\r\n\r\n{{");
    let chunk = "x".repeat(1 << 20);
    let chunked = format!("{CHAT}{JSON}connection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    let endless = format!("{chunked}{}", format!("100000\r\n{chunk}\r\n").repeat(3));
    for (what, bytes) in [
        ("deep", chat(JSON, deep.as_bytes())),
        ("wide", chat(JSON, wide.as_bytes())),
        ("full of faults", chat(JSON, faulty.as_bytes())),
        ("a long number", chat(JSON, number.as_bytes())),
        ("no UTF-8", chat(JSON, b"{\"message\":\"\xc3\x28\"}")),
        ("half a surrogate", chat(JSON, b"{\"message\":\"\\udc00\"}")),
        ("a NUL", chat(JSON, b"{\"message\":\0}")),
        (
            "twice the same key",
            chat(JSON, b"{\"message\":1,\"message\":2}"),
        ),
        ("more than a body may be", promised.into()),
        ("chunks without end", endless.into()),
        (
            "a chunk size that is none",
            format!("{chunked}zz\r\n{{}}\r\n0\r\n\r\n").into(),
        ),
    ] {
        refused(&dj, what, &bytes, PATIENCE).await;
    }
    nothing_is_left(&dj).await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let dj = Dj::start(&[]).await;
    let slow = format!("{CHAT}{JSON}content-length: 100\r\n\r\n{{\"message\":");
    // Many at once, and others are served meanwhile.
    let waiting = (0..20).map(|n| {
        let what = format!("slow body {n}");
        let (dj, slow) = (&dj, slow.as_bytes());
        async move { refused(dj, &what, slow, SLOW).await }
    });
    let statuses = futures::future::join_all(waiting);
    let meanwhile = async {
        for _ in 0..20 {
            let next = reqwest::get(dj.host.url("/health")).await;
            assert_eq!(next.expect("an answer").status(), 200);
        }
    };
    let (statuses, ()) = futures::future::join(statuses, meanwhile).await;
    assert!(
        statuses.iter().all(|status| *status == Some(408)),
        "{statuses:?}"
    );
    nothing_is_left(&dj).await;
}
