//! The seeded model: a DJ that uses the tools it is offered.
//!
//! It has no memory but the conversation. From what the user asked, and from
//! what tools have answered since, it decides what a DJ would do next: look at
//! the playlist, search and ask for recommendations at once, perhaps make or
//! change a playlist, and then say what it found, by names and figures out of
//! the results. The same seed and conversation give the same turn.

mod findings;
mod speech;
mod words;

use serde_json::{Map, Value, json};

use super::request::Taken;
use super::turn::{Block, Turn};
use crate::dice::Dice;
use findings::{Findings, conversation};

/// Tracks that it recommends, and that it puts into a new playlist.
const PICKS: usize = 5;
const PLAYLIST: usize = 12;

/// What tools call them: by either habit of writing names.
const PLAYLIST_ID: &str = "playlistId|playlist_id";
const TRACK_IDS: &str = "trackIds|track_ids";

/// Searches of one turn.
const SEARCHES: usize = 3;

/// What it knows how to look for: words of the user, and what to search then.
const TASTES: [(&[&str], &[&str]); 12] = [
    (
        &["rain", "autumn", "regen", "pluie"],
        &["genre:\"trip hop\"", "rainy day", "genre:\"indie folk\""],
    ),
    (
        &["dance", "party", "club", "tanz"],
        &["genre:\"house\"", "dance", "genre:\"cumbia\""],
    ),
    (
        &["focus", "work", "study", "read"],
        &["genre:\"ambient\"", "calm", "genre:\"downtempo\""],
    ),
    (
        &["sleep", "calm", "quiet", "relax"],
        &["genre:\"neoclassical\"", "calm", "sleep"],
    ),
    (
        &["run", "sport", "energy", "workout"],
        &["genre:\"punk rock\"", "energetic", "genre:\"techno\""],
    ),
    (
        &["jazz", "smooth", "dinner", "cook"],
        &["genre:\"jazz\"", "café", "genre:\"bossa nova\""],
    ),
    (
        &["summer", "sun", "beach", "road"],
        &["genre:\"city pop\"", "sunny", "genre:\"latin alternative\""],
    ),
    (
        &["night", "late", "drive", "dark"],
        &["genre:\"techno\"", "night", "genre:\"city pop\""],
    ),
    (
        &["sad", "melanchol", "heart", "nostalg"],
        &["nostalgic", "melancholy", "genre:\"chanson\""],
    ),
    (
        &["hip hop", "rap", "beats"],
        &["genre:\"hip hop\"", "urban", "genre:\"boom bap\""],
    ),
    (
        &["love", "romantic", "wedding"],
        &["romantic", "genre:\"korean r&b\"", "genre:\"bossa nova\""],
    ),
    (
        &["winter", "snow", "nordic"],
        &["genre:\"nordic pop\"", "winter", "genre:\"dream pop\""],
    ),
];

/// What it searches when it does not know better.
const ANYTHING: [&str; SEARCHES] = ["mellow", "genre:\"city pop\"", "groovy"];

/// The next turn of the conversation.
pub(super) fn turn(seed: u64, request: &Taken) -> Turn {
    let (prompt, findings) = conversation(&request.messages);
    let mut dice = Dice::new(seed, &prompt);
    let model = Model {
        tools: &request.tools,
        playlist: findings::playlist(&prompt),
        lower: prompt.to_lowercase(),
        prompt,
        findings,
        may_call: request.may_call,
    };
    let (thought, calls) = model.calls(&mut dice);
    let mut blocks = Vec::new();
    if request.thinks {
        blocks.push(Block::Thinking(thought));
    }
    if calls.is_empty() {
        let text = match model.findings.rounds {
            0 => words(seed, &request.prompt),
            _ => split(&model.answer(&mut dice)),
        };
        blocks.push(Block::Text(text));
    }
    let ids = Dice::new(seed, &format!("{} {}", model.prompt, request.depth));
    blocks.extend(tools(calls, ids));
    Turn { blocks }
}

/// What it says without looking anything up.
pub(super) fn words(seed: u64, prompt: &str) -> Vec<String> {
    words::answer(seed, prompt)
}

fn tools(calls: Vec<Call>, mut ids: Dice) -> impl Iterator<Item = Block> {
    calls.into_iter().map(move |call| Block::Tool {
        id: format!("toolu_01{}", ids.base62(22)),
        name: call.name,
        input: call.input,
    })
}

/// Deltas of about a word.
fn split(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

#[derive(Debug)]
struct Call {
    name: String,
    input: Value,
}

struct Model<'a> {
    tools: &'a [Value],
    /// What the user said.
    prompt: String,
    /// The same in lower case, to look for words in.
    lower: String,
    /// The playlist that it is about.
    playlist: Option<String>,
    findings: Findings,
    may_call: bool,
}

impl Model<'_> {
    /// A call of the tool `name`, if it is offered, with those of `values` that
    /// its schema knows; each may be known by several names, as in `query|q`.
    fn call(&self, name: &str, values: &[(&str, Value)]) -> Option<Call> {
        let tool = self.tools.iter().find(|tool| tool["name"] == name)?;
        let known = tool["input_schema"]["properties"].as_object();
        let mut input = Map::new();
        for (names, value) in values {
            let mut names = names.split('|');
            let name = names.find(|name| known.is_some_and(|known| known.contains_key(*name)));
            if let Some(name) = name {
                input.insert(name.to_owned(), value.clone());
            }
        }
        Some(Call {
            name: name.to_owned(),
            input: input.into(),
        })
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.lower.contains(word))
    }

    /// What to look up next, and why. Nothing: it is time to answer.
    fn calls(&self, dice: &mut Dice) -> (String, Vec<Call>) {
        let done = (speech::READY.to_owned(), Vec::new());
        if !self.may_call || self.tools.is_empty() {
            return done;
        }
        let greets = ["hello", "hi", "hey", "thanks", "thank you"];
        if greets.contains(&self.lower.trim_matches(|c: char| !c.is_alphanumeric())) {
            return done;
        }
        let found = &self.findings;
        if found.changed || found.refused_change {
            return done;
        }
        if found.rounds == 0
            && let Some(id) = &self.playlist
        {
            let id = [("playlistId|playlist_id|id", json!(id))];
            let look = self.call("analyze_playlist", &id);
            if let Some(look) = look.or_else(|| self.call("get_playlist_tracks", &id)) {
                return (speech::looking(&self.prompt), vec![look]);
            }
        }
        if found.searches == 0 {
            let calls = self.searches(dice);
            if !calls.is_empty() {
                return (speech::searching(found), calls);
            }
        }
        if let Some(change) = self.change() {
            return (speech::CHANGING.to_owned(), vec![change]);
        }
        if found.searches == 1 && found.fresh().count() < PICKS && found.failed == 0 {
            let queries = ANYTHING.iter().map(|query| (*query).to_owned());
            let calls = queries.filter_map(|query| self.search(&query)).collect();
            return (speech::AGAIN.to_owned(), calls);
        }
        done
    }

    fn search(&self, query: &str) -> Option<Call> {
        self.call(
            "search_tracks",
            &[("query|q", json!(query)), ("limit", json!(6))],
        )
    }

    /// Several searches at once, and recommendations beside them.
    fn searches(&self, dice: &mut Dice) -> Vec<Call> {
        let found = &self.findings;
        let mut queries: Vec<String> = match found.tags.as_slice() {
            [] => self.tastes(dice),
            [one] => vec![one.clone()],
            [one, two, others @ ..] => {
                let third = others.first().unwrap_or(one);
                vec![format!("{one} {two}"), third.clone()]
            }
        };
        if let (Some(artist), false) = (found.artists.first(), found.tags.is_empty()) {
            queries.push(format!("artist:\"{artist}\""));
        }
        queries.dedup();
        let mut calls: Vec<Call> = queries
            .iter()
            .filter_map(|query| self.search(query))
            .collect();
        if let Some(id) = &self.playlist {
            let values = [(PLAYLIST_ID, json!(id)), ("limit", json!(8))];
            calls.extend(self.call("get_recommendations", &values));
        }
        calls
    }

    fn tastes(&self, dice: &mut Dice) -> Vec<String> {
        let fits = |(words, _): &&(&[&str], &[&str])| self.says(words);
        let queries: Vec<&str> = TASTES
            .iter()
            .filter(fits)
            .flat_map(|(_, queries)| *queries)
            .copied()
            .collect();
        if !queries.is_empty() {
            return queries
                .into_iter()
                .take(SEARCHES)
                .map(str::to_owned)
                .collect();
        }
        // The user's own words first: it may be a name.
        let words = self.lower.split(|c: char| !c.is_alphanumeric());
        let words: Vec<&str> = words
            .filter(|word| word.chars().count() > 3)
            .take(4)
            .collect();
        let own = Some(words.join(" ")).filter(|words| !words.is_empty());
        let others = [
            dice.pick(&ANYTHING).to_owned(),
            dice.pick(&["nostalgic", "dreamy", "sunny"]).to_owned(),
        ];
        own.into_iter().chain(others).collect()
    }

    /// A change of a playlist, when that is what tools are there for.
    fn change(&self) -> Option<Call> {
        let fresh = self.findings.fresh();
        let fresh: Vec<&str> = fresh.map(|track| track.id.as_str()).collect();
        self.create(&fresh).or_else(|| self.modify(&fresh))
    }

    fn create(&self, fresh: &[&str]) -> Option<Call> {
        if fresh.is_empty() {
            return None;
        }
        self.call(
            "create_playlist",
            &[
                ("name", json!(speech::playlist_name(&self.prompt))),
                ("description", json!("Put together by Spinlane.")),
                ("public", json!(false)),
                (TRACK_IDS, json!(fresh[..fresh.len().min(PLAYLIST)])),
            ],
        )
    }

    fn modify(&self, fresh: &[&str]) -> Option<Call> {
        let id = self.playlist.as_ref()?;
        let modify = |action: &str, values: &[(&str, Value)]| {
            let all = [(PLAYLIST_ID, json!(id)), ("action", json!(action))];
            self.call("modify_playlist", &[&all[..], values].concat())
        };
        let here = &self.findings.playlist;
        if self.says(&["rename", "call it", "new name"]) {
            let name = speech::playlist_name(&self.prompt);
            return modify("rename", &[("name", json!(name))]);
        }
        if self.says(&["remove", "delete", "take out", "throw out"])
            && let Some(last) = here.last()
        {
            return modify("remove", &[(TRACK_IDS, json!([last.id]))]);
        }
        if self.says(&["move", "reorder", "sort", "order"]) && here.len() > 1 {
            let start = ("rangeStart|range_start", json!(here.len() - 1));
            let before = ("insertBefore|insert_before", json!(0));
            return modify("reorder", &[start, before]);
        }
        if fresh.is_empty() {
            return None;
        }
        let ids = json!(fresh[..fresh.len().min(PICKS)]);
        modify("add", &[(TRACK_IDS, ids)])
    }

    fn answer(&self, dice: &mut Dice) -> String {
        speech::answer(&self.findings, PICKS, dice)
    }
}
