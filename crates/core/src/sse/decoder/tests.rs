//! The vectors below (inputs and expectations) are taken from the test suite
//! `eventsource/` of web-platform-tests, under its 3-Clause BSD licence:
//!
//! Copyright © web-platform-tests contributors. Redistribution and use in
//! source and binary forms, with or without modification, are permitted
//! provided that the following conditions are met: redistributions of source
//! code must retain the above copyright notice, this list of conditions and the
//! following disclaimer; redistributions in binary form must reproduce them in
//! the documentation and/or other materials provided with the distribution;
//! neither the name of the copyright holder nor the names of its contributors
//! may be used to endorse or promote products derived from this software
//! without specific prior written permission. THIS SOFTWARE IS PROVIDED BY THE
//! COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED
//! WARRANTIES ARE DISCLAIMED. IN NO EVENT SHALL THEY BE LIABLE FOR ANY DAMAGES
//! ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE.

use proptest::prelude::*;

use super::*;
use crate::sse::Event;

/// Type, data, id.
type Seen = (String, String, String);

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Seen>, Decoder) {
    let mut decoder = Decoder::new(1 << 20);
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder
            .push(chunk, |event| {
                seen.push((
                    event.event.into_owned(),
                    event.data.into_owned(),
                    event.id.to_owned(),
                ));
            })
            .unwrap();
    }
    (seen, decoder)
}

/// Decodes `input` whole, at every split into two, and one byte at a time.
fn at_every_split(input: &[u8]) -> Vec<Seen> {
    let (whole, _) = decode([input]);
    for split in 0..=input.len() {
        let (left, right) = input.split_at(split);
        assert_eq!(decode([left, right]).0, whole, "split at {split}");
        assert_eq!(decode([left, &[], right]).0, whole, "split at {split}");
    }
    assert_eq!(decode(input.chunks(1)).0, whole, "one byte at a time");
    whole
}

#[track_caller]
fn check(input: &str, expected: &[(&str, &str, &str)]) {
    let seen = at_every_split(input.as_bytes());
    let seen: Vec<_> = seen
        .iter()
        .map(|(event, data, id)| (event.as_str(), data.as_str(), id.as_str()))
        .collect();
    assert_eq!(seen, expected, "{input:?}");
}

/// Data of events of the default type without id.
#[track_caller]
fn check_data(input: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|data| ("message", *data, "")).collect();
    check(input, &expected);
}

#[test]
fn byte_order_mark() {
    check_data(
        "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n\n",
        &["1", "3"],
    );
    check_data(
        "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n\n",
        &["2", "3"],
    );
}

#[test]
fn comments() {
    let long = "x".repeat(2048);
    check_data(
        &format!("data:1\r:\0\n:\r\ndata:2\n:{long}\rdata:3\n:data:fail\r:{long}\ndata:4\n\n"),
        &["1\n2\n3\n4"],
    );
}

#[test]
fn data_before_final_empty_line() {
    let input = "retry:1000\ndata:test1\n\nid:test\ndata:test2\n";
    check_data(input, &["test1"]);
    let (_, decoder) = decode([input.as_bytes()]);
    assert!(decoder.has_partial());
    assert_eq!(decoder.last_event_id(), "");
    assert_eq!(decoder.retry(), Some(Duration::from_secs(1)));
}

#[test]
fn field_data() {
    check_data(
        "data:\n\ndata\ndata\n\ndata:test\n\n\n",
        &["", "\n", "test"],
    );
}

#[test]
fn field_event() {
    check(
        "event:test\ndata:x\n\ndata:x\n\n\n",
        &[("test", "x", ""), ("message", "x", "")],
    );
    check_data("event: \ndata:data\n\n\n", &["data"]);
}

#[test]
fn field_id() {
    check(
        "id: \u{2026}\nretry: 200\ndata: hello\n\n",
        &[("message", "hello", "\u{2026}")],
    );
    check(
        "id: 1\ndata: 1\n\ndata: 2\n\nid: 2\ndata:3\n\ndata:4\n\n",
        &[
            ("message", "1", "1"),
            ("message", "2", "1"),
            ("message", "3", "2"),
            ("message", "4", "2"),
        ],
    );
    for empty in ["id:", "id"] {
        check(
            &format!("id: 1\ndata: 1\n\n{empty}\ndata:2\n\ndata:3\n\n"),
            &[
                ("message", "1", "1"),
                ("message", "2", ""),
                ("message", "3", ""),
            ],
        );
    }
}

#[test]
fn field_id_with_nul() {
    for id in ["\0\0", "x\0", "\0x", "x\0x", " \0"] {
        check_data(
            &format!("id: {id}\nretry: 200\ndata: hello\n\n"),
            &["hello"],
        );
    }
    // It does not wipe an id that was there.
    check(
        "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        &[("message", "a", "1"), ("message", "b", "1")],
    );
}

#[test]
fn field_parsing() {
    check_data(
        "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
        &["\0\n 2\n1\n3\n\n4"],
    );
}

#[test]
fn field_retry() {
    let retry = |input: &str| {
        at_every_split(input.as_bytes());
        decode([input.as_bytes()]).1.retry()
    };
    let three = Some(Duration::from_secs(3));
    assert_eq!(retry("retry:03000\ndata:x\n\n\n"), three);
    assert_eq!(retry("retry:3000\nretry:1000x\ndata:x\n\n\n"), three);
    assert_eq!(retry("retry:3000\nretry\ndata:test\n\n\n"), three);
    assert_eq!(
        retry("retry:3000\nretry:99999999999999999999999\ndata:x\n\n"),
        three
    );
    assert_eq!(retry("retry:+3\ndata:x\n\n"), None);
    check_data("retry\ndata:test\n\n\n", &["test"]);
}

#[test]
fn unknown_fields_spaces_and_newlines() {
    check_data(
        "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n\n",
        &["test\n\ntest"],
    );
    check_data("data:\ttest\rdata: \ndata:test\n\n\n", &["\ttest\n\ntest"]);
    check_data("data:test\r\ndata\ndata:test\r\n\r\n", &["test\n\ntest"]);
    check_data("data:\0\n\n\n\n\n", &["\0"]);
    check_data("data:ok\u{2026}\n\n\n", &["ok\u{2026}"]);
    check_data(
        "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
        &["msg\nmsg", "", "end"],
    );
}

#[test]
fn an_event_leaves_at_its_carriage_return() {
    // Not one byte later: the LF may never come.
    let (seen, _) = decode([&b"data: x\r\r"[..]]);
    assert_eq!(seen.len(), 1);
}

#[test]
fn invalid_utf8_is_replaced() {
    let seen = at_every_split(b"data: a\xff\xc3\n\ndata: \xe2\x82\xac\n\n");
    assert_eq!(seen[0].1, "a\u{fffd}\u{fffd}");
    assert_eq!(seen[1].1, "€");
}

#[test]
fn memory_is_bounded_and_the_error_is_final() {
    for line in [
        &b"data: xxxxxxxx"[..],
        b"xxxxxxxxxxxxxx",
        b"event: xxxxxxx",
        b"id: xxxxxxxxx",
    ] {
        let mut decoder = Decoder::new(64);
        let mut result = Ok(());
        for _ in 0..100 {
            result = decoder.push(line, |_| panic!("no event is complete"));
            assert!(decoder.buffered() <= 64);
        }
        let error = DecodeError::TooLarge { limit: 64 };
        assert_eq!(result, Err(error));
        assert_eq!(decoder.push(b"\n\ndata: y\n\n", |_| panic!()), Err(error));
    }
}

/// That everything with a length is counted and within `limit`, and no more than
/// twice as much while a line was taken apart.
#[track_caller]
fn assert_held(decoder: &Decoder, limit: usize) {
    let pending = decoder.pending_id.as_ref().map_or(0, String::len);
    let event = decoder.data.len() + decoder.event.len();
    let held = decoder.line.len() + event + pending + decoder.id.len();
    assert_eq!(decoder.buffered(), held);
    assert!(held <= limit, "limit {limit}: {held} bytes held");
    let peak = decoder.peak;
    assert!(
        peak <= 2 * limit,
        "limit {limit}: {peak} bytes within a push"
    );
}

/// Events, how the stream ended, and the id and time that it left.
type Outcome = (Vec<Seen>, Result<(), DecodeError>, String, Option<Duration>);

fn outcome<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(limit);
    let (mut seen, mut result) = (Vec::new(), Ok(()));
    for chunk in chunks {
        result = decoder.push(chunk, |event| {
            let text = event.event.len() + event.data.len() + event.id.len();
            assert!(
                text <= "message".len() + 3 * limit,
                "limit {limit}: {text} bytes"
            );
            let (name, data) = (event.event.into_owned(), event.data.into_owned());
            seen.push((name, data, event.id.to_owned()));
        });
        assert_held(&decoder, limit);
    }
    let id = decoder.last_event_id().to_owned();
    (seen, result, id, decoder.retry())
}

/// What comes of `input` whole, and that the same comes of it at every split
/// into two and one byte at a time.
fn outcome_at_every_split(limit: usize, input: &[u8]) -> Outcome {
    let whole = outcome(limit, [input]);
    for split in 0..=input.len() {
        let (left, right) = input.split_at(split);
        let of_two = outcome(limit, [left, right]);
        assert_eq!(of_two, whole, "limit {limit}, split at {split}");
    }
    assert_eq!(outcome(limit, input.chunks(1)), whole, "limit {limit}");
    whole
}

#[test]
fn what_is_too_large_does_not_depend_on_chunks() {
    let long = "x".repeat(20);
    for input in [
        format!("data: {long}\n\n"),
        format!("data:{long}\r\ndata:{long}\r\n\r\n"),
        format!("event: {long}\nevent: y\ndata: z\n\n"),
        format!("id: {long}\ndata: a\n\nid: y\ndata: z\n\n"),
        format!("unknown: {long}\ndata: z\n\n"),
        format!("{long}\ndata: z\n\n"),
        format!("data\n:{long}\n: {long}\ndata: z\n\n"),
        format!("\u{feff}:{long}\ndata: z\n\n"),
        format!("\u{feff}data: {long}\n\n"),
        format!("\u{feff}\u{feff}{long}\ndata: z\n\n"),
        "\u{feee}data: z\n\ndata: z\n\n".to_owned(),
    ] {
        for limit in 0..64 {
            drop(outcome_at_every_split(limit, input.as_bytes()));
        }
    }
}

#[test]
fn ids_are_held_within_the_limit() {
    let id = "x".repeat(20);
    let fits = |limit, input: &str| outcome_at_every_split(limit, input.as_bytes()).1.is_ok();
    // The one in force counts, and beside it the one that will be.
    let in_force = format!("id:{id}\n\ndata: {id}\n\n");
    assert!(fits(46, &in_force) && !fits(45, &in_force));
    let next = format!("id:{id}\n\nid:{id}\n\n");
    assert!(fits(43, &next) && !fits(42, &next));
    // Counted as they are kept: each byte becomes a character of three.
    let invalid = [b"id:".as_slice(), &[0xff; 20], b"\n\n"].concat();
    assert!(outcome_at_every_split(60, &invalid).1.is_ok());
    assert!(outcome_at_every_split(59, &invalid).1.is_err());
}

#[test]
fn a_line_counts_without_its_end_and_a_comment_not_at_all() {
    let fits = |limit, input: &str| outcome_at_every_split(limit, input.as_bytes()).1.is_ok();
    for (input, bytes) in [
        ("data: 345\n\n", 9),
        ("data: 345\r\n\r\n", 9),
        ("unknown\ndata\n\n", 7),
        ("data\ndata\n\n", 5),
        ("\u{feff}data: 345\n\n", 9),
        (": long, and longer\n", 0),
        ("\u{feff}: long, and longer\n", 0),
        ("data\n: long, and longer\n\n", 4),
    ] {
        assert!(fits(bytes, input), "{input:?}");
        assert!(bytes == 0 || !fits(bytes - 1, input), "{input:?}");
    }
}

#[test]
fn many_data_lines_are_bounded_too() {
    let mut decoder = Decoder::new(64);
    let result = (0..100).try_for_each(|_| decoder.push(b"data: 12345678\n", |_| ()));
    assert_eq!(result, Err(DecodeError::TooLarge { limit: 64 }));
}

#[test]
fn a_long_comment_costs_no_memory() {
    let mut decoder = Decoder::new(64);
    decoder.push(b":", |_| ()).unwrap();
    for _ in 0..1000 {
        decoder.push(&[b'x'; 1000], |_| ()).unwrap();
        assert!(decoder.buffered() <= 1);
    }
}

#[test]
fn time_is_linear_in_a_long_line() {
    let mut input = b"data: ".to_vec();
    input.resize(8 << 20, b'x');
    input.extend_from_slice(b"\n\n");
    let mut decoder = Decoder::new(16 << 20);
    let mut events = 0;
    for chunk in input.chunks(input.len() / 1024) {
        decoder.push(chunk, |_| events += 1).unwrap();
    }
    assert_eq!(events, 1);
    // Each byte is looked for an end, kept, moved as the line grows by doubling,
    // looked for a colon, and copied: not once for every chunk.
    let work = decoder.work / input.len();
    assert!(work < 7, "{work} times the length of the line");
}

/// Bytes that make fields likely.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"data".to_vec()),
        Just(b"event".to_vec()),
        Just(b"id".to_vec()),
        Just(b"retry".to_vec()),
        Just(b":".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b"id:7\n".to_vec()),
        Just(b"data:x\n".to_vec()),
        Just(BOM.to_vec()),
        Just("…".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn chunking_changes_nothing(
        input in stream_bytes(),
        cuts in proptest::collection::vec(1..9_usize, 0..200),
    ) {
        let (whole, _) = decode([input.as_slice()]);
        let mut rest = input.as_slice();
        let mut chunks = Vec::new();
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks.push(rest);
        prop_assert_eq!(decode(chunks).0, whole);
    }

    /// Nor what is held, which stays within the bound throughout.
    #[test]
    fn chunking_does_not_change_what_is_too_large(input in stream_bytes(), limit in 0..48_usize) {
        drop(outcome_at_every_split(limit, &input));
    }

    #[test]
    fn what_is_encoded_is_decoded(
        data in any::<String>(),
        name in "[^\r\n]{0,12}",
        id in "[^\r\n\0]{0,12}",
    ) {
        let event = Event::data(&data).event(&name).unwrap().id(&id).unwrap();
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        let (seen, decoder) = decode([bytes.as_slice()]);
        let name = if name.is_empty() { "message".to_owned() } else { name };
        let data = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(seen, vec![(name, data, id)]);
        prop_assert!(!decoder.has_partial());
    }
}

/// The standard drops an event without its blank line; who asks is given it.
#[test]
fn an_unfinished_event_is_given_to_who_asks_for_it() {
    for (input, expected) in [
        ("event: a\ndata: x\n", Some(("a", "x"))),
        ("data: x\r", Some(("message", "x"))),
        ("data: x\ndata: y", Some(("message", "x\ny"))),
        ("data", Some(("message", ""))),
        ("event: a", None),
        (": comment", None),
        ("\u{feff}", None),
        ("", None),
    ] {
        let (seen, decoder) = decode([input.as_bytes()]);
        assert_eq!(seen, [], "{input:?}");
        let mut given = None;
        let finished = decoder.finish(|event| {
            given = Some((event.event.into_owned(), event.data.into_owned()));
        });
        assert_eq!(finished, Ok(()), "{input:?}");
        let given = given.as_ref();
        let given = given.map(|(event, data)| (event.as_str(), data.as_str()));
        assert_eq!(given, expected, "{input:?}");
    }
    let mut full = Decoder::new(4);
    let error = full.push(b"data: x", |_| {}).unwrap_err();
    assert_eq!(full.finish(|_| {}), Err(error));
}
