//! Songs and playlists out of words and dice.

use std::collections::HashSet;

use super::words::{SCENES, Scene};
use super::{
    Album, Artist, Catalogue, DEMO_PLAYLIST, EMPTY_PLAYLIST, Entry, LONG_PLAYLIST, MIXED_PLAYLIST,
    OWN_PLAYLIST, OnDeezer, OnLastFm, Playlist, Track, USER,
};
use crate::dice::Dice;

#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) artists: Vec<Artist>,
    pub(super) albums: Vec<Album>,
    pub(super) tracks: Vec<Track>,
}

pub(super) fn songs(seed: u64) -> Made {
    let mut made = Made::default();
    for scene in &SCENES {
        let mut dice = Dice::new(seed, scene.genres[0]);
        let first = made.artists.len();
        for name in scene.artists {
            made.artists.push(artist(scene, name, &mut dice));
        }
        let mut taken = HashSet::new();
        for at in first..made.artists.len() {
            artist_songs(&mut made, scene, at, first, &mut taken, &mut dice);
        }
    }
    made
}

fn artist(scene: &Scene, name: &str, dice: &mut Dice) -> Artist {
    let mut genres = vec![scene.genres[0]];
    if dice.percent(60) {
        genres.extend(&scene.genres[1..]);
    }
    let popularity = dice.between((12, 78));
    Artist {
        id: dice.base62(22),
        deezer_id: dice.between((100_000, 9_999_999)),
        name: name.to_owned(),
        genres,
        popularity,
        followers: popularity * popularity * dice.between((3, 400)),
    }
}

/// Two albums and a single of one artist.
fn artist_songs(
    made: &mut Made,
    scene: &Scene,
    artist: usize,
    first: usize,
    taken: &mut HashSet<String>,
    dice: &mut Dice,
) {
    for (kind, total) in [("album", 5), ("album", 3), ("single", 1)] {
        let titles: Vec<String> = (0..total).map(|_| title(scene, taken, dice)).collect();
        let year = dice.between(scene.years);
        made.albums.push(Album {
            id: dice.base62(22),
            deezer_id: dice.between((1_000_000, 99_999_999)),
            name: titles[0].clone(),
            kind,
            artist,
            release_date: release_date(year, dice),
            total,
        });
        for (at, title) in titles.into_iter().enumerate() {
            let guest = first + dice.below(made.artists.len() - first);
            let guest = Some(guest).filter(|guest| *guest != artist && dice.percent(12));
            let mut track = track(scene, title, year, dice);
            if let Some(guest) = guest {
                track.title += &format!(" (feat. {})", made.artists[guest].name);
            }
            track.artists = std::iter::once(artist).chain(guest).collect();
            track.album = made.albums.len() - 1;
            track.number = at + 1;
            let popularity = made.artists[artist].popularity + dice.below(20) as u64;
            track.popularity = popularity.saturating_sub(10);
            made.tracks.push(track);
        }
    }
}

fn title(scene: &Scene, taken: &mut HashSet<String>, dice: &mut Dice) -> String {
    loop {
        let (head, joint, tail) = (
            dice.pick(scene.heads),
            dice.pick(scene.joints),
            dice.pick(scene.tails),
        );
        let title = format!("{head}{joint}{tail}");
        if taken.insert(title.clone()) {
            return title;
        }
    }
}

/// Old albums are often known by their year only.
fn release_date(year: u64, dice: &mut Dice) -> String {
    let (month, day) = (dice.between((1, 12)), dice.between((1, 28)));
    match dice.below(10) {
        0..2 => format!("{year}"),
        2 => format!("{year}-{month:02}"),
        _ => format!("{year}-{month:02}-{day:02}"),
    }
}

/// A song that is on no album yet.
fn track(scene: &Scene, title: String, year: u64, dice: &mut Dice) -> Track {
    let remastered = year < 2000 && dice.percent(20);
    let bpm = dice.between((scene.bpm.0 * 100, scene.bpm.1 * 100)) as f64 / 100.0;
    let (registrant, designation) = (dice.hex(3).to_uppercase(), dice.below(100_000));
    let isrc = format!("ZZ{registrant}{:02}{designation:05}", year % 100);
    Track {
        id: dice.base62(22),
        title: match remastered {
            true => format!("{title} - Remastered {}", dice.between((2009, 2024))),
            false => title,
        },
        artists: Vec::new(),
        album: 0,
        number: 0,
        isrc: (!dice.percent(3)).then_some(isrc),
        year,
        duration_ms: dice.between((128_000, 412_000)),
        popularity: 0,
        explicit: dice.percent(7),
        bpm,
        words: scene.genres.iter().chain(scene.moods).copied().collect(),
        deezer: on_deezer(bpm, dice),
        lastfm: on_lastfm(scene, year, dice),
    }
}

/// Of a hundred songs 8 are not there, 6 only by name, and 10 have no tempo.
fn on_deezer(bpm: f64, dice: &mut Dice) -> Option<OnDeezer> {
    let known = OnDeezer {
        id: dice.between((100_000_000, 3_999_999_999)),
        by_isrc: !dice.percent(6),
        bpm: if dice.percent(10) { 0.0 } else { bpm },
    };
    (!dice.percent(8)).then_some(known)
}

/// Of a hundred songs 8 were never heard, and 8 have no tags.
fn on_lastfm(scene: &Scene, year: u64, dice: &mut Dice) -> Option<OnLastFm> {
    let listeners = dice.between((40, 900)) * dice.between((1, 900));
    let decade = match year / 10 % 10 {
        5 => "50s",
        6 => "60s",
        7 => "70s",
        8 => "80s",
        9 => "90s",
        0 => "00s",
        1 => "2010s",
        _ => "2020s",
    };
    let mut words: Vec<&str> = scene.genres[1..]
        .iter()
        .chain(scene.moods)
        .copied()
        .collect();
    dice.shuffle(&mut words);
    words.truncate(3 + dice.below(3));
    let mut tags = vec![(scene.genres[0], 100)];
    for word in words.into_iter().chain([decade]) {
        let before = tags[tags.len() - 1].1;
        tags.push((word, before * dice.between((40, 90)) / 100));
    }
    let known = OnLastFm {
        listeners,
        playcount: listeners * dice.between((2, 14)) + 3,
        tags: if dice.percent(8) { Vec::new() } else { tags },
    };
    (!dice.percent(8)).then_some(known)
}

/// The playlists that are there at the start.
pub(crate) fn playlists(catalogue: &Catalogue, seed: u64) -> Vec<Playlist> {
    let mut dice = Dice::new(seed, "playlists");
    let all = || (0..catalogue.tracks.len()).collect::<Vec<_>>();
    let mut mellow = all();
    mellow.retain(|at| catalogue.tracks[*at].words.contains(&"mellow"));
    let mut pick = |mut from: Vec<usize>, count: usize| -> Vec<Entry> {
        dice.shuffle(&mut from);
        from.into_iter().take(count).map(Entry::Track).collect()
    };
    let demo = pick(mellow, 42);
    let long = pick(all(), 520);
    let mut mixed = pick(all(), 8);
    mixed.insert(1, Entry::Local("Demo tape, side B", "My old band"));
    mixed.insert(3, Entry::Gone);
    mixed.insert(6, Entry::Episode("Episode 12: What the rain sounds like"));
    mixed.push(Entry::Gone);
    let own = pick(all(), 12);
    let playlist = |id: &str, name: &str, description: &str, entries| Playlist {
        id: id.into(),
        name: name.into(),
        description: description.into(),
        owner: USER.into(),
        public: true,
        entries,
    };
    vec![
        Playlist {
            owner: "lanternradio".into(),
            ..playlist(
                DEMO_PLAYLIST,
                "Rainy Evening, Warm Lamp",
                "Slow songs from everywhere for weather that stays.",
                demo,
            )
        },
        Playlist {
            owner: "lanternradio".into(),
            ..playlist(
                LONG_PLAYLIST,
                "Everything at Once",
                "Five hundred and twenty.",
                long,
            )
        },
        playlist(EMPTY_PLAYLIST, "Soon", "", Vec::new()),
        playlist(
            MIXED_PLAYLIST,
            "Odds & Ends",
            "With a tape of my own.",
            mixed,
        ),
        playlist(OWN_PLAYLIST, "Kitchen Radio", "For cooking.", own),
    ]
}
