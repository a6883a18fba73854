//! What leaves together, on a host that holds small segments back as Spin does:
//! the second of two would wait for the client's delayed acknowledgement.

use spinlane_component_tests::wire::Connection;
use spinlane_component_tests::{KEY, dj_host, fixture_host, settled, start_upstreams};
use spinlane_upstreams::anthropic::Script;

/// Enough that the client's kernel no longer acknowledges at once, as it does on
/// a new connection.
const REQUESTS: usize = 20;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: dj\r\n\r\n")
}

/// Whether `answer` is a head and the body that it announces.
fn is_whole(answer: &str) -> bool {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let length = format!("content-length: {}", body.len());
    !body.is_empty() && head.lines().any(|line| line == length)
}

/// On two threads: on one, a head and a body that is written after it would leave as one
/// by accident.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_answer_is_one_read() {
    let host = dj_host("http://127.0.0.1:9").as_spin(true).start().await;
    let host = host.expect("the host starts");
    let mut connection = Connection::open(&host.url("")).await;
    for path in ["/health", "/api/status", "/api/nothing-here"] {
        for n in 0..REQUESTS {
            let answer = connection.first_read(&get(path)).await;
            assert!(is_whole(&answer), "{path}, request {n}: {answer:?}");
        }
    }
    settled(&host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_answered_in_one_read() {
    let host = fixture_host().as_spin(true).start().await;
    let host = host.expect("the host starts");
    let mut connection = Connection::open(&host.url("")).await;
    for n in 0..REQUESTS {
        let answer = connection.first_read(&get("/panic/before")).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer:?}");
        assert!(is_whole(&answer), "request {n}: {answer:?}");
    }
}

/// The upstream is never reached: the frames come from the application alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_a_stream_leaves_with_its_first_frames() {
    let upstreams = start_upstreams().await;
    let anthropic = upstreams.anthropic();
    let host = dj_host(&anthropic.origin()).as_spin(true).start().await;
    let host = host.expect("the host starts");
    let mut connection = Connection::open(&host.url("")).await;
    let body = r#"{"message":"hello"}"#;
    let request = format!(
        "POST /api/chat-stream/message HTTP/1.1\r\nhost: dj\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Kept alive, and no longer new.
    for _ in 0..REQUESTS {
        connection.first_read(&get("/health")).await;
    }
    anthropic.script(Script::text(["x"]).hang_after(0));
    let answer = connection.first_read(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    for frame in [r#"{"type":"run","#, r#"{"type":"thinking","#] {
        assert!(answer.contains(frame), "{frame}: {answer:?}");
    }
    assert!(!answer.contains(KEY));
}
