//! Documents with every kind of fault.

use super::*;
use serde::Deserialize;
use serde_json::json;
use std::cell::Cell;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer {
    name: String,
    #[serde(default)]
    count: u8,
    #[serde(default)]
    ratio: Option<f64>,
    kind: Kind,
    #[serde(default)]
    inner: Vec<Inner>,
    #[serde(default)]
    free: Value,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    flag: bool,
    id: i64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Red,
    Blue,
}

fn faults(document: &Value) -> Vec<(String, String)> {
    let read = read::<Outer>(document);
    let faults = read.faults.into_iter();
    faults.map(|fault| (fault.pointer, fault.message)).collect()
}

fn pointers(document: &Value) -> Vec<String> {
    let mut pointers: Vec<_> = faults(document).into_iter().map(|fault| fault.0).collect();
    pointers.sort();
    pointers
}

#[test]
fn reads_what_serde_reads() {
    for document in [
        json!({"name": "a", "kind": "red"}),
        json!({"name": "a", "kind": "blue", "count": 255, "ratio": 1, "unknown": {"x": []}}),
        json!({"name": "", "kind": "red", "inner": [{"flag": true, "id": -7}], "ratio": null}),
        json!({"name": "é", "kind": "red", "free": {"a": [1, 2.5, null, "x"]}}),
    ] {
        let read = read::<Outer>(&document);
        assert_eq!(read.faults, []);
        assert_eq!(read.value, serde_json::from_value(document).ok());
    }
}

#[test]
fn whole_numbers_are_whole_however_they_are_written() {
    for (written, count) in [("7.0", 7), ("2.5e1", 25), ("0.0", 0)] {
        let document = format!(r#"{{"name": "a", "kind": "red", "count": {written}}}"#);
        let document: Value = serde_json::from_str(&document).unwrap();
        let read = read::<Outer>(&document);
        assert_eq!(
            read.value.map(|outer| outer.count),
            Some(count),
            "{written}"
        );
    }
    for written in ["7.5", "256.0", "-1.0", "1e300", "9007199254740993.0"] {
        let document = format!(r#"{{"name": "a", "kind": "red", "count": {written}}}"#);
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(pointers(&document), ["/count"], "{written}");
    }
}

#[test]
fn names_every_fault_at_once() {
    let document = json!({
        "name": 5, "count": 256, "ratio": "much", "kind": "green",
        "inner": [{"flag": true, "id": 1}, {"flag": "no", "id": 1.5}, 7, {}],
    });
    let expected = [
        "/count",
        "/inner/1/flag",
        "/inner/1/id",
        "/inner/2",
        "/inner/3/flag",
        "/inner/3/id",
        "/kind",
        "/name",
        "/ratio",
    ];
    assert_eq!(pointers(&document), expected);
}

#[test]
fn says_what_is_expected() {
    let document = json!({"name": 7, "kind": ["red"], "count": -1});
    let mut faults = faults(&document);
    faults.sort();
    let messages: Vec<_> = faults.iter().map(|fault| fault.1.as_str()).collect();
    let expected = [
        "must be a whole number from 0 to 255",
        "must be one of \"red\", \"blue\"",
        "must be a string",
    ];
    assert_eq!(messages, expected);
}

#[test]
fn absent_fields_are_required_by_name() {
    assert_eq!(pointers(&json!({})), ["/kind", "/name"]);
    let absent = json!({"inner": [{}], "kind": 1});
    assert_eq!(
        pointers(&absent),
        ["/inner/0/flag", "/inner/0/id", "/kind", "/name"]
    );
}

#[test]
fn null_is_as_left_out() {
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Optional {
        flag: bool,
        words: Vec<String>,
        count: u8,
        name: Option<String>,
        free: std::collections::BTreeMap<String, Option<u8>>,
    }
    let nulls = json!({"flag": null, "words": null, "count": null, "name": null, "free": null});
    let good = read::<Optional>(&nulls);
    assert_eq!(
        (good.value, good.faults),
        (Some(Optional::default()), vec![])
    );
    // A map's entries are its sender's own.
    let map = read::<Optional>(&json!({"free": {"a": null}}));
    let map = map.value.map(|value| value.free);
    assert_eq!(map, Some([("a".to_owned(), None)].into()));
    // In a list there is nothing that it could be left out of.
    let list = read::<Optional>(&json!({"words": [null]}));
    assert_eq!(list.faults[0].pointer, "/words/0");
    let required = json!({"name": null, "kind": "red", "inner": [{"id": null, "flag": true}]});
    assert_eq!(
        faults(&required),
        [("/name", "is required"), ("/inner/0/id", "is required")]
            .map(|(pointer, message)| (pointer.to_owned(), message.to_owned()))
    );
}

#[test]
fn a_struct_is_an_object_and_nothing_else() {
    // Derived implementations would take an array in the order of fields.
    for document in [
        json!(["a", 1]),
        json!(null),
        json!("x"),
        json!(1),
        json!(true),
    ] {
        assert_eq!(
            faults(&document),
            [(String::new(), "must be an object".into())]
        );
    }
    let nested = json!({"name": "a", "kind": "red", "inner": [[true, 1]]});
    assert_eq!(pointers(&nested), ["/inner/0"]);
}

#[test]
fn keys_are_escaped_in_pointers() {
    let document = json!({"a/b~c": {"id": true, "flag": true}});
    let read = read::<std::collections::BTreeMap<String, Inner>>(&document);
    assert_eq!(read.faults[0].pointer, "/a~1b~0c/id");
}

#[test]
fn faults_are_bounded() {
    let many = json!({"name": "a", "kind": "red", "inner": vec![json!({}); 100_000]});
    assert_eq!(faults(&many).len(), MAX_FAULTS);
    let many = json!({"name": "a", "kind": "red", "inner": vec![7; 100_000]});
    assert_eq!(faults(&many).len(), MAX_FAULTS);
}

thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// A string that counts how often one is looked at.
#[derive(Debug)]
struct Counted;

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        VISITS.set(VISITS.get() + 1);
        String::deserialize(deserializer).map(|_| Self)
    }
}

/// A type's required fields are found one by one, however many of its
/// values lack them: a document full of gaps is not read over and over.
#[test]
fn work_does_not_grow_with_the_number_of_gaps() {
    #[derive(Debug, Deserialize)]
    struct Item {
        #[serde(rename = "title")]
        _title: Counted,
        #[serde(rename = "artist")]
        _artist: Counted,
        #[serde(rename = "note", default)]
        _note: Option<Counted>,
    }
    for gaps in [1, 5, 25] {
        let mut items = vec![json!({"title": "", "artist": ""}); 1000];
        items.resize(1000 + gaps, json!({}));
        VISITS.set(0);
        let faults = read::<Vec<Item>>(&json!(items)).faults;
        assert_eq!(faults.len(), 2 * gaps);
        // A pass for each of the two, and one that notes the gaps.
        let visits = VISITS.get();
        assert!(visits <= 3 * 2 * items.len(), "{gaps} gaps: {visits}");
    }
}

#[test]
fn what_a_type_says_itself_is_told() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Even;
    impl TryFrom<String> for Even {
        type Error = &'static str;
        fn try_from(text: String) -> Result<Self, Self::Error> {
            text.len()
                .is_multiple_of(2)
                .then_some(Self)
                .ok_or("must be of even length")
        }
    }
    #[derive(Debug, Deserialize)]
    struct Holder {
        #[serde(rename = "word")]
        _word: Even,
    }
    let read = read::<Holder>(&json!({"word": "odd"}));
    // The conversion runs outside the value, so the struct reports it.
    assert_eq!(read.faults.len(), 1);
    assert_eq!(read.faults[0].message, "must be of even length");
}
