//! What a tool found, made small enough for the model.
//!
//! A result is read again with every later turn, so it has a limit in bytes. It
//! comes in the richest of three tiers that fits: everything in detail; a
//! compact list; or the summary with as much of that list as there is room for,
//! and how much was left out.

use serde_json::{Map, Value};

/// The most that a result takes, in bytes of its JSON.
pub(super) const LIMIT: usize = 5_000;

/// The same where a person sees it, who does not pay for it with every turn: the
/// page shows a playlist's tracks with all that was found out.
pub(super) const SHOWN: usize = 24_000;

/// What a list is called.
const TRACKS: &str = "tracks";

/// A tool's result, before it is made to fit.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::chat) struct Report {
    /// All of it in a sentence or two: the part that is always given.
    pub(super) summary: String,
    /// What belongs to the summary: figures, names, ids.
    pub(super) facts: Map<String, Value>,
    /// What the list is called: `tracks`, unless they are something else to the
    /// playlist.
    pub(super) list: &'static str,
    pub(super) tracks: Vec<Entry>,
}

/// An entry of a report's list, at two lengths.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::chat) struct Entry {
    pub(super) detail: Value,
    pub(super) compact: Value,
}

/// How much of a report is in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chat) enum Tier {
    Detail,
    List,
    Summary,
}

impl Report {
    /// A report without a list.
    pub(super) fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            facts: Map::new(),
            list: TRACKS,
            tracks: Vec::new(),
        }
    }

    /// Adds a fact.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The result: at most `limit` bytes of JSON (not below 200), and what it
    /// holds.
    pub(super) fn fit(&self, limit: usize) -> (Value, Tier) {
        let base = self.base(limit);
        let details = self.tracks.iter().map(|entry| &entry.detail);
        let whole = self.with_list(&base, details, 0);
        if size(&whole) <= limit {
            return (whole, Tier::Detail);
        }
        let compact = || self.tracks.iter().map(|entry| &entry.compact);
        let list = self.with_list(&base, compact(), 0);
        if size(&list) <= limit {
            return (list, Tier::List);
        }
        // As if all were left out: no count of them has more digits.
        let mut used = size(&self.with_list(&base, [].into_iter(), self.tracks.len()));
        let fits = |entry: &&Value| {
            used += size(entry) + ",".len();
            used <= limit
        };
        let first = compact().take_while(fits).count();
        let omitted = self.tracks.len() - first;
        let part = self.with_list(&base, compact().take(first), omitted);
        (part, Tier::Summary)
    }

    /// The summary and its facts; should they alone be too long, the longest
    /// facts go first, then the summary's end.
    fn base(&self, limit: usize) -> Map<String, Value> {
        let mut base = self.facts.clone();
        base.insert("summary".into(), self.summary.as_str().into());
        // Room for the list's own frame, with nothing in it.
        let limit = limit - r#","omitted":18446744073709551615,"":[]"#.len() - self.list.len();
        while object_size(&base) > limit {
            let longest = base.iter().filter(|(name, _)| *name != "summary");
            let longest = longest.max_by_key(|(name, value)| name.len() + size(value));
            let Some(name) = longest.map(|(name, _)| name.clone()) else {
                break;
            };
            base.remove(&name);
        }
        if object_size(&base) > limit {
            let room = limit - r#"{"summary":""}"#.len();
            base.insert("summary".into(), cut(&self.summary, room).into());
        }
        base
    }

    fn with_list<'a>(
        &self,
        base: &Map<String, Value>,
        tracks: impl Iterator<Item = &'a Value>,
        omitted: usize,
    ) -> Value {
        let mut result = base.clone();
        let tracks: Vec<Value> = tracks.cloned().collect();
        if !tracks.is_empty() || omitted > 0 {
            result.insert(self.list.into(), tracks.into());
        }
        if omitted > 0 {
            result.insert("omitted".into(), omitted.into());
        }
        Value::Object(result)
    }
}

/// The beginning of `text` that takes at most `room` bytes within JSON.
fn cut(text: &str, room: usize) -> String {
    let mut used = "…".len();
    let fits = |char: &char| {
        used += size(&Value::from(char.to_string())) - r#""""#.len();
        used <= room
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

fn object_size(object: &Map<String, Value>) -> usize {
    serde_json::to_string(object).map_or(usize::MAX, |json| json.len())
}

/// Bytes of `value` as JSON.
pub(super) fn size(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn entry(n: usize, detail: usize) -> Entry {
        Entry {
            detail: json!({"id": n, "more": "x".repeat(detail)}),
            compact: json!({"id": n}),
        }
    }

    fn report(tracks: Vec<Entry>) -> Report {
        let tracks_in_all = tracks.len();
        Report {
            tracks,
            ..Report::new("All of it").with("total", tracks_in_all)
        }
    }

    #[test]
    fn the_richest_tier_that_fits_is_taken() {
        let (result, tier) = report(vec![entry(0, 10), entry(1, 10)]).fit(LIMIT);
        assert_eq!(tier, Tier::Detail);
        assert_eq!(
            result,
            json!({
                "summary": "All of it", "total": 2,
                "tracks": [{"id": 0, "more": "xxxxxxxxxx"}, {"id": 1, "more": "xxxxxxxxxx"}],
            })
        );
        let (result, tier) = report((0..10).map(|n| entry(n, 1000)).collect()).fit(LIMIT);
        assert_eq!(tier, Tier::List);
        assert_eq!(result["tracks"].as_array().map(Vec::len), Some(10));
        assert_eq!(result["tracks"][9], json!({"id": 9}));
        assert_eq!(result.get("omitted"), None);
        let (result, tier) = report((0..2000).map(|n| entry(n, 1000)).collect()).fit(LIMIT);
        assert_eq!(tier, Tier::Summary);
        let shown = result["tracks"].as_array().unwrap().len();
        assert_eq!(result["omitted"], 2000 - shown);
        assert!(size(&result) > LIMIT - 100, "room was left");
        let (result, tier) = Report::new("Done").fit(LIMIT);
        assert_eq!((result, tier), (json!({"summary": "Done"}), Tier::Detail));
    }

    #[test]
    fn what_is_too_long_by_itself_is_cut() {
        let long = Report::new("é\"\u{1}".repeat(5_000))
            .with("short", 1)
            .with("long", "x".repeat(10_000));
        let (result, _) = long.fit(LIMIT);
        assert!(size(&result) <= LIMIT);
        assert!(result["summary"].as_str().unwrap().ends_with('…'));
        let facts = Report::new("Short").with("short", 1);
        let (result, _) = facts.with("long", "x".repeat(10_000)).fit(LIMIT);
        assert_eq!(result, json!({"summary": "Short", "short": 1}));
    }

    prop_compose! {
        fn any_entry()(name in "\\PC{0,60}", raw in any::<String>(), n in any::<u32>()) -> Entry {
            let detail = json!({"id": n, "title": name, "more": raw});
            Entry { detail, compact: json!([n, name]) }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_result_never_exceeds_its_limit(
            summary in "(?s).{0,300}",
            facts in proptest::collection::btree_map("\\PC{0,20}", "(?s).{0,200}", 0..6),
            tracks in proptest::collection::vec(any_entry(), 0..60),
            limit in 200..4_000usize,
        ) {
            let mut report = Report { tracks, ..Report::new(summary) };
            for (name, value) in facts {
                let known = ["summary", "tracks", "omitted"].contains(&name.as_str());
                report = if known { report } else { report.with(&name, value) };
            }
            let (result, tier) = report.fit(limit);
            let json = serde_json::to_string(&result).unwrap();
            prop_assert!(json.len() <= limit, "{} of {limit}", json.len());
            prop_assert!(result["summary"].is_string());
            let shown = result["tracks"].as_array().map_or(0, Vec::len);
            let omitted = result["omitted"].as_u64().unwrap_or(0) as usize;
            prop_assert_eq!(shown + omitted, report.tracks.len());
            prop_assert_eq!(tier == Tier::Summary, omitted > 0);
            for (n, track) in result["tracks"].as_array().into_iter().flatten().enumerate() {
                let entry = &report.tracks[n];
                let expected = if tier == Tier::Detail { &entry.detail } else { &entry.compact };
                prop_assert_eq!(track, expected);
            }
            // A poorer tier is only taken when the richer one does not fit.
            if tier != Tier::Detail {
                let details: usize = report.tracks.iter().map(|entry| size(&entry.detail)).sum();
                let all = size(&report.with_list(&report.base(limit), [].into_iter(), 1)) + details;
                prop_assert!(all + report.tracks.len() > limit);
            }
        }
    }
}
