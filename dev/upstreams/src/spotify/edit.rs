//! Changes of what a playlist holds.

use http::Method;
use serde_json::Value;

use super::world::{Refusal, error};
use crate::catalogue::{Catalogue, Entry};
use crate::params::Params;

/// What is to be done with the entries.
#[derive(Debug)]
pub(super) enum Edit {
    /// At a place; at the end without one.
    Insert(Option<usize>, Vec<Entry>),
    Remove(Vec<Entry>),
    Replace(Vec<Entry>),
    /// As positions before the move.
    Move {
        start: usize,
        before: usize,
        length: usize,
    },
}

impl Edit {
    /// What a POST, a DELETE or a PUT asks for.
    pub(super) fn asked(
        method: &Method,
        query: &Params<'_>,
        document: &Value,
        catalogue: &Catalogue,
    ) -> Result<Self, Refusal> {
        match *method {
            Method::POST => insert(query, document, catalogue),
            Method::DELETE => remove(document, catalogue),
            _ => update(document, catalogue),
        }
    }

    /// The same, meant for a playlist as it was `then`, for one as it is `now`:
    /// a move is of the songs that were at its places, to where they go on.
    pub(super) fn moved_on(self, then: &[Entry], now: &[Entry]) -> Self {
        let place = |at: usize| {
            let entry = then.get(at)?;
            now.iter().position(|other| other == entry)
        };
        match self {
            Self::Move {
                start,
                before,
                length,
            } => Self::Move {
                start: place(start).unwrap_or(start),
                before: place(before).unwrap_or(now.len()),
                length,
            },
            other => other,
        }
    }

    pub(super) fn apply(self, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
        let bounds = || error(400, "Index out of bounds.");
        match self {
            Self::Insert(at, songs) => {
                let at = at.unwrap_or(entries.len());
                if at > entries.len() {
                    return Err(bounds());
                }
                entries.splice(at..at, songs);
            }
            Self::Remove(songs) => entries.retain(|entry| !songs.contains(entry)),
            Self::Replace(songs) => *entries = songs,
            Self::Move {
                start,
                before,
                length,
            } => {
                let end = start.checked_add(length);
                let end = end.filter(|end| *end <= entries.len() && before <= entries.len());
                let end = end.ok_or_else(bounds)?;
                let moved: Vec<Entry> = entries.drain(start..end).collect();
                let at = match before {
                    before if before <= start => before,
                    before if before < end => start,
                    before => before - length,
                };
                entries.splice(at..at, moved);
            }
        }
        Ok(())
    }
}

fn insert(query: &Params<'_>, document: &Value, catalogue: &Catalogue) -> Result<Edit, Refusal> {
    let uris = match query.get("uris") {
        Some(uris) => uris.split(',').collect(),
        None => strings(&document["uris"], None),
    };
    if uris.is_empty() {
        return Err(error(400, "No uris provided"));
    }
    let songs = songs(&uris, catalogue)?;
    let at = number(document, "position");
    let at = at.or_else(|| query.get("position")?.parse().ok());
    Ok(Edit::Insert(at, songs))
}

fn remove(document: &Value, catalogue: &Catalogue) -> Result<Edit, Refusal> {
    // As the entries are called since 2026, and before.
    let (items, tracks) = (&document["items"], &document["tracks"]);
    let listed = if items.is_array() { items } else { tracks };
    let songs = songs(&strings(listed, Some("uri")), catalogue)?;
    match songs.is_empty() {
        true => Err(error(400, "No tracks specified.")),
        false => Ok(Edit::Remove(songs)),
    }
}

/// Moves a range, or replaces everything.
fn update(document: &Value, catalogue: &Catalogue) -> Result<Edit, Refusal> {
    if document["uris"].is_array() {
        let songs = songs(&strings(&document["uris"], None), catalogue)?;
        return Ok(Edit::Replace(songs));
    }
    let range = (
        number(document, "range_start"),
        number(document, "insert_before"),
    );
    let (Some(start), Some(before)) = range else {
        return Err(error(400, "Missing range_start or insert_before"));
    };
    Ok(Edit::Move {
        start,
        before,
        length: number(document, "range_length").unwrap_or(1),
    })
}

fn number(document: &Value, name: &str) -> Option<usize> {
    usize::try_from(document[name].as_u64()?).ok()
}

fn strings<'a>(list: &'a Value, member: Option<&str>) -> Vec<&'a str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |item: &'a Value| match member {
        Some(member) => item[member].as_str(),
        None => item.as_str(),
    };
    items.iter().filter_map(text).collect()
}

/// The songs that `uris` name, at most a hundred.
fn songs(uris: &[&str], catalogue: &Catalogue) -> Result<Vec<Entry>, Refusal> {
    if uris.len() > 100 {
        return Err(error(
            400,
            "You can add a maximum of 100 tracks per request.",
        ));
    }
    let song = |uri: &&str| {
        let id = uri.strip_prefix("spotify:track:");
        let at = id.and_then(|id| catalogue.index_of(id));
        at.map(Entry::Track)
            .ok_or_else(|| error(400, &format!("Invalid track uri: {uri}")))
    };
    uris.iter().map(song).collect()
}
