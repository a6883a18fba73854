//! `spinlane` without the DJ, by the fixture.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use spinlane_component_tests::{
    PATIENCE, fixture, get, get_named, hosts, panics, settled, start_upstreams,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn wake_ups_inside_the_guest_are_noticed() {
    let host = fixture().await;
    let sum = tokio::time::timeout(PATIENCE, get(&host, "/wake")).await;
    assert_eq!(sum.expect("it hangs"), (200, "5050".into()));
}

#[tokio::test]
async fn an_instance_lives_until_its_work_is_done() {
    let host = fixture().await;
    assert_eq!(get(&host, "/after?ms=500").await, (200, "answered".into()));
    assert_eq!(host.instances().live, 1);
    let line = host.wait_for_log(PATIENCE, "the work after the response is done");
    line.await.expect("the work goes on");
    settled(&host).await;
}

#[tokio::test]
async fn a_panic_before_the_head_is_a_500() {
    let host = fixture().await;
    panics::before_the_head(&host.url("")).await;
    for line in [
        "panic in request one",
        "one-of-a-kind was answered with 500",
    ] {
        let line = host.wait_for_log(PATIENCE, line).await;
        line.expect("the log names it");
    }
    let ended = host
        .wait_for_instances(PATIENCE, |instances| instances.live == 0)
        .await;
    assert_eq!(ended.map(|instances| instances.trapped), Ok(1));
}

/// What a program's author wrote is logged; what was put together when it ran
/// may quote a prompt or a key, and is not.
#[tokio::test]
async fn the_text_of_a_panic_is_logged_if_it_is_a_literal() {
    let host = fixture().await;
    for path in ["/panic/before", "/panic/quoting?\u{e9}canary"] {
        let mut stream = tokio::net::TcpStream::connect(host.addr()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    }
    let ended = host
        .wait_for_instances(PATIENCE, |instances| instances.live == 0)
        .await;
    ended.expect("they end");
    let log = host.logs();
    assert!(!log.iter().any(|line| line.contains("canary")), "{log:?}");
    let lines = log.iter().filter(|line| line.contains("panic in request"));
    let lines: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{log:?}");
    for (line, told) in lines
        .iter()
        .zip(["before the head, on purpose", "withheld"])
    {
        let message = line["message"].as_str().expect("a message");
        assert!(message.contains(told), "{line}");
        let place = line["panic.location"].as_str().expect("a place");
        assert!(place.starts_with("tests/fixture/src/lib.rs:"), "{line}");
    }
}

#[tokio::test]
async fn a_panic_after_the_head_ends_the_stream_with_a_frame() {
    let host = fixture().await;
    panics::after_the_head(&host.url("")).await;
    let line = host.wait_for_log(PATIENCE, "one-of-a-kind was answered with 200");
    line.await.expect("the log has its end");
}

/// The panic tail comes after all that was queued, and after a chunk that the
/// host had taken a part of: events of 1 MB and a half do not fit at once.
#[tokio::test]
async fn a_panic_under_a_paused_reader_loses_and_tears_nothing() {
    for bytes in [1_000, 1_500_000] {
        let host = fixture().await;
        let path = format!("/panic/paused?bytes={bytes}");
        let mut response = get_named(host.url(&path)).await;
        host.wait_for_log(PATIENCE, "under a paused reader, on purpose")
            .await
            .expect("it panics while nobody reads");
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text += &String::from_utf8_lossy(&chunk);
        }
        let words = text.strip_suffix("data: panic in one-of-a-kind\n\n");
        let words = words.unwrap_or_else(|| panic!("{bytes}: no panic tail"));
        let events = words.split_terminator("\n\n").enumerate();
        for (index, event) in events {
            let (number, padding) = event["data: ".len()..].split_once(' ').unwrap();
            assert_eq!(number, (index + 1).to_string());
            assert_eq!(padding.len(), bytes, "{bytes}: event {number} is torn");
        }
    }
}

#[tokio::test]
async fn a_stream_is_whole_at_any_speed() {
    let host = fixture().await;
    let (_, text) = get(&host, "/events?n=20000").await;
    let numbers = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let numbers = numbers.filter_map(|line| line.split(' ').next());
    let expected = (1..=20_000).map(|number| number.to_string());
    assert!(numbers.eq(expected.collect::<Vec<_>>().iter().map(String::as_str)));
}

#[tokio::test]
async fn a_client_that_takes_no_byte_does_not_make_the_guest_grow() {
    let host = fixture().await;
    let response = reqwest::get(host.url("/events?n=1000000")).await.unwrap();
    // A span in which nothing may happen: there is no event to wait for.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(host.peak_memory() < 16 << 20, "{}", host.peak_memory());
    drop(response);
    host.wait_for_log(PATIENCE, "the client has gone")
        .await
        .expect("it is noticed");
    settled(&host).await;
}

#[tokio::test]
async fn counters_are_atomic_over_instances() {
    let host = fixture().await;
    let calls = (0..200).map(|_| get(&host, "/count?name=x"));
    let values = join_all(calls).await.into_iter().map(|(status, value)| {
        assert_eq!(status, 200, "{value}");
        value.parse::<i64>().unwrap()
    });
    let values: BTreeSet<i64> = values.collect();
    assert_eq!(values, (1..=200).collect());
    assert_eq!(get(&host, "/count?name=x&by=-200").await.1, "0");
}

#[tokio::test]
async fn only_allowed_hosts_are_called() {
    let host = fixture().await;
    let (status, text) = get(&host, "/call?to=example.com/").await;
    assert_eq!(status, 502);
    assert!(text.contains("allowed_outbound_hosts"), "{text}");
    let nobody = hosts::free_port();
    let (status, text) = get(&host, &format!("/call?to=127.0.0.1:{nobody}/")).await;
    assert_eq!(status, 502);
    assert!(text.contains("could not connect"), "{text}");
}

#[tokio::test]
async fn a_url_says_whether_it_is_sent_in_the_clear() {
    let (host, upstreams) = (fixture().await, start_upstreams().await);
    let origin = upstreams.deezer().origin();
    let address = origin.strip_prefix("http://").unwrap();
    for (scheme, to) in [("", address), ("ftp://", address), ("ws://", address)] {
        let (status, text) = get(&host, &format!("/call?scheme={scheme}&to={to}")).await;
        assert_eq!(status, 502, "{scheme}");
        assert!(text.contains("neither https:// nor http://"), "{text}");
    }
    assert_eq!(upstreams.deezer().counts().started, 0);
}

#[tokio::test]
async fn requests_bodies_variables_and_addresses_arrive() {
    let host = fixture().await;
    let client = reqwest::Client::new();
    let body = "ä".repeat(300_000);
    let echo = client
        .post(host.url("/echo"))
        .body(body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(echo.text().await.unwrap(), body);
    assert_eq!(get(&host, "/word").await.1, "default word");
    let forged = client
        .get(host.url("/address"))
        .header("spin-client-addr", "6.6.6.6:6");
    let addresses = forged.send().await.unwrap().text().await.unwrap();
    // The forged one comes first, the host's own last.
    let (first, last) = addresses.split_once(' ').unwrap();
    assert_eq!(first, "6.6.6.6:6");
    assert!(last.starts_with("127.0.0.1:"), "{addresses}");
}
