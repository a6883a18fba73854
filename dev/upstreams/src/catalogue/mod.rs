//! The songs that all stand-ins know of: invented, the same for the same seed.
//!
//! Each song is there once; what Spotify, Deezer and Last.fm know of it differs
//! as it does in the world: some have no ISRC, some are unknown to Deezer or
//! have no tempo there, some were never scrobbled.

mod make;
mod search;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use make::playlists;
pub(crate) use search::fold;

/// A playlist of about forty songs in several scripts, to try things on.
pub const DEMO_PLAYLIST: &str = "37i9dQZF1DXsimulated01";
/// A playlist of 520 different songs.
pub const LONG_PLAYLIST: &str = "37i9dQZF1DXsimulated02";
/// A playlist without songs.
pub const EMPTY_PLAYLIST: &str = "37i9dQZF1DXsimulated03";
/// A playlist with local files, songs that are gone (null) and an episode
/// between its songs.
pub const MIXED_PLAYLIST: &str = "37i9dQZF1DXsimulated04";
/// A playlist of the user [`USER`], who may change it.
pub const OWN_PLAYLIST: &str = "37i9dQZF1DXsimulated05";
/// The user who consents.
pub const USER: &str = "simulated_listener";

/// An artist.
#[derive(Clone, Debug)]
pub struct Artist {
    /// 22 digits of base62.
    pub id: String,
    /// At Deezer.
    pub deezer_id: u64,
    /// As it is written.
    pub name: String,
    /// Spotify's genres.
    pub genres: Vec<&'static str>,
    /// 0 to 100.
    pub popularity: u64,
    /// On Spotify.
    pub followers: u64,
}

/// An album or a single.
#[derive(Clone, Debug)]
pub struct Album {
    /// 22 digits of base62.
    pub id: String,
    /// At Deezer.
    pub deezer_id: u64,
    /// As it is written.
    pub name: String,
    /// `album` or `single`.
    pub kind: &'static str,
    /// Index of its artist.
    pub artist: usize,
    /// `1999`, `1999-04` or `1999-04-30`.
    pub release_date: String,
    /// How many songs it has.
    pub total: usize,
}

/// What Deezer knows of a song.
#[derive(Clone, Debug)]
pub struct OnDeezer {
    /// Its identifier there.
    pub id: u64,
    /// Whether it is found by ISRC: some are known by their names only.
    pub by_isrc: bool,
    /// Beats per minute; 0 when unknown.
    pub bpm: f64,
}

/// What Last.fm knows of a song.
#[derive(Clone, Debug)]
pub struct OnLastFm {
    /// People who heard it.
    pub listeners: u64,
    /// How often it was heard.
    pub playcount: u64,
    /// What they call it, with a weight up to 100; empty for some.
    pub tags: Vec<(&'static str, u64)>,
}

/// A song.
#[derive(Clone, Debug)]
pub struct Track {
    /// 22 digits of base62.
    pub id: String,
    /// As it is written.
    pub title: String,
    /// Indices of its artists, the main one first.
    pub artists: Vec<usize>,
    /// Index of its album.
    pub album: usize,
    /// Its place on it, from 1.
    pub number: usize,
    /// Begins with `ZZ`. A few have none.
    pub isrc: Option<String>,
    /// Of its release.
    pub year: u64,
    /// In milliseconds.
    pub duration_ms: u64,
    /// 0 to 100.
    pub popularity: u64,
    /// Whether its words are.
    pub explicit: bool,
    /// How fast it really is.
    pub bpm: f64,
    /// The scene's genres and moods.
    pub words: Vec<&'static str>,
    /// `None` when Deezer has no such song.
    pub deezer: Option<OnDeezer>,
    /// `None` when Last.fm has no such song.
    pub lastfm: Option<OnLastFm>,
}

impl Track {
    /// The title without guests and remasters, as other services write it.
    pub fn plain_title(&self) -> &str {
        let title = self.title.split(" (feat. ").next().unwrap_or_default();
        title.split(" - Remastered").next().unwrap_or_default()
    }
}

/// One entry of a playlist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// The index of a song.
    Track(usize),
    /// A file on its owner's disk: title and artist.
    Local(&'static str, &'static str),
    /// An episode of a podcast.
    Episode(&'static str),
    /// Nothing any more.
    Gone,
}

/// A playlist as it is at the start.
#[derive(Clone, Debug)]
pub(crate) struct Playlist {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) owner: String,
    pub(crate) public: bool,
    pub(crate) entries: Vec<Entry>,
}

/// All songs, and the ways to find one.
#[derive(Debug)]
pub struct Catalogue {
    /// All artists.
    pub artists: Vec<Artist>,
    /// All albums.
    pub albums: Vec<Album>,
    /// All songs.
    pub tracks: Vec<Track>,
    by_id: HashMap<String, usize>,
    artists_by_id: HashMap<String, usize>,
    by_isrc: HashMap<String, usize>,
    by_deezer_id: HashMap<u64, usize>,
    /// By folded artist and title, the plain one too.
    by_name: HashMap<(String, String), usize>,
    index: search::Index,
}

impl Catalogue {
    /// The catalogue of `seed`, made once in a process.
    pub fn of(seed: u64) -> Arc<Self> {
        static MADE: Mutex<BTreeMap<u64, Arc<Catalogue>>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made
            .entry(seed)
            .or_insert_with(|| Arc::new(Self::new(seed)));
        Arc::clone(made)
    }

    /// Makes the catalogue of `seed`.
    pub fn new(seed: u64) -> Self {
        let made = make::songs(seed);
        let mut this = Self {
            index: search::Index::default(),
            by_id: index(&made.tracks, |track| Some(track.id.clone())),
            by_isrc: index(&made.tracks, |track| track.isrc.clone()),
            by_deezer_id: index(&made.tracks, |track| Some(track.deezer.as_ref()?.id)),
            artists_by_id: index(&made.artists, |artist| Some(artist.id.clone())),
            by_name: HashMap::new(),
            artists: made.artists,
            albums: made.albums,
            tracks: made.tracks,
        };
        this.index = search::Index::new(&this);
        for at in 0..this.tracks.len() {
            let track = &this.tracks[at];
            let artist = fold(&this.artists[track.artists[0]].name);
            for title in [track.plain_title(), &track.title] {
                this.by_name.insert((artist.clone(), fold(title)), at);
            }
        }
        this
    }

    /// The song with Spotify's identifier.
    pub fn track(&self, id: &str) -> Option<&Track> {
        self.by_id.get(id).map(|at| &self.tracks[*at])
    }

    pub(crate) fn index_of(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The artist with Spotify's identifier.
    pub fn artist(&self, id: &str) -> Option<&Artist> {
        self.artists_by_id.get(id).map(|at| &self.artists[*at])
    }

    /// The song with that ISRC.
    pub fn by_isrc(&self, isrc: &str) -> Option<&Track> {
        self.by_isrc.get(isrc).map(|at| &self.tracks[*at])
    }

    /// The song with Deezer's identifier.
    pub fn by_deezer_id(&self, id: u64) -> Option<&Track> {
        self.by_deezer_id.get(&id).map(|at| &self.tracks[*at])
    }

    /// The song of that artist and title, whatever their case and accents.
    pub fn by_name(&self, artist: &str, title: &str) -> Option<&Track> {
        let name = (fold(artist), fold(title));
        self.by_name.get(&name).map(|at| &self.tracks[*at])
    }

    /// The names of a song's artists.
    pub fn artist_names<'a>(&'a self, track: &'a Track) -> impl Iterator<Item = &'a str> {
        track
            .artists
            .iter()
            .map(|at| self.artists[*at].name.as_str())
    }
}

fn index<T, K: std::hash::Hash + Eq>(
    items: &[T],
    key: impl Fn(&T) -> Option<K>,
) -> HashMap<K, usize> {
    let pairs = items.iter().enumerate();
    pairs
        .filter_map(|(at, item)| Some((key(item)?, at)))
        .collect()
}

#[cfg(test)]
mod tests;
