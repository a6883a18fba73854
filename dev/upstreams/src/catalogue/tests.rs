//! What the other stand-ins, and tests elsewhere, rely on.

use std::collections::HashSet;

use super::*;

fn catalogue() -> Catalogue {
    Catalogue::new(1)
}

#[test]
fn the_same_seed_gives_the_same_songs() {
    let (one, two, other) = (catalogue(), catalogue(), Catalogue::new(2));
    let ids = |catalogue: &Catalogue| -> Vec<String> {
        catalogue
            .tracks
            .iter()
            .map(|track| track.id.clone())
            .collect()
    };
    assert_eq!(ids(&one), ids(&two));
    assert_ne!(ids(&one), ids(&other));
}

#[test]
fn there_are_enough_songs_and_each_is_one_of_its_own() {
    let catalogue = catalogue();
    assert!(catalogue.tracks.len() >= 600, "{}", catalogue.tracks.len());
    let distinct = |keys: Vec<String>| keys.iter().collect::<HashSet<_>>().len() == keys.len();
    let tracks = || catalogue.tracks.iter();
    assert!(distinct(tracks().map(|track| track.id.clone()).collect()));
    assert!(distinct(
        tracks().filter_map(|track| track.isrc.clone()).collect()
    ));
    let deezer = tracks().filter_map(|track| Some(track.deezer.as_ref()?.id.to_string()));
    assert!(distinct(deezer.collect()));
    let names = tracks().map(|track| {
        let artist = &catalogue.artists[track.artists[0]].name;
        format!("{} / {}", fold(artist), fold(&track.title))
    });
    assert!(distinct(names.collect()));
    for track in tracks() {
        assert!(track.id.len() == 22 && track.id.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert!(
            track
                .isrc
                .as_ref()
                .is_none_or(|isrc| isrc.len() == 12 && isrc.starts_with("ZZ"))
        );
        assert!((50.0..200.0).contains(&track.bpm) && track.popularity <= 100);
    }
}

#[test]
fn some_songs_are_unknown_somewhere() {
    let catalogue = catalogue();
    let count = |test: fn(&Track) -> bool| catalogue.tracks.iter().filter(|t| test(t)).count();
    assert!(count(|track| track.deezer.is_none()) > 20);
    assert!(count(|track| track.deezer.as_ref().is_some_and(|known| known.bpm == 0.0)) > 20);
    assert!(count(|track| track.deezer.as_ref().is_some_and(|known| !known.by_isrc)) > 10);
    assert!(count(|track| track.lastfm.is_none()) > 20);
    assert!(
        count(|track| track
            .lastfm
            .as_ref()
            .is_some_and(|known| known.tags.is_empty()))
            > 20
    );
    assert!(count(|track| track.isrc.is_none()) > 5);
    assert!(count(|track| track.title.contains("(feat. ")) > 10);
}

#[test]
fn songs_are_found_by_what_is_known_of_them() {
    let catalogue = catalogue();
    let titles = |query: &str| -> Vec<&Track> {
        let found = catalogue.search(query).into_iter();
        found.map(|at| &catalogue.tracks[at]).collect()
    };
    let track = catalogue
        .tracks
        .iter()
        .find(|track| track.isrc.is_some())
        .unwrap();
    let isrc = track.isrc.as_deref().unwrap();
    assert_eq!(titles(&format!("isrc:{isrc}"))[0].id, track.id);
    assert_eq!(
        titles(&format!("track:\"{}\"", track.title))[0].id,
        track.id
    );
    assert_eq!(titles("genre:\"trip hop\"").len(), 45);
    assert!(
        titles("year:1990-1994")
            .iter()
            .all(|track| (1990..=1994).contains(&track.year))
    );
    assert!(titles("artist:sovnlos by").len() >= 9);
    assert!(!titles("slow rainy jazz").is_empty());
    assert!(titles("雨").len() > 1);
    assert!(titles("Qzxwv Vbnmk").is_empty() && titles(" ").is_empty());
    assert_eq!(catalogue.search_artists("artist:\"Ида\"").len(), 0);
    assert!(!catalogue.search_artists("soul").is_empty());
}

#[test]
fn playlists_hold_what_their_names_say() {
    let catalogue = catalogue();
    let playlists = playlists(&catalogue, 1);
    let entries = |id: &str| &playlists.iter().find(|list| list.id == id).unwrap().entries;
    assert!((20..=60).contains(&entries(DEMO_PLAYLIST).len()));
    let long = entries(LONG_PLAYLIST);
    let distinct: HashSet<_> = long.iter().map(|entry| format!("{entry:?}")).collect();
    assert_eq!((long.len(), distinct.len()), (520, 520));
    assert!(entries(EMPTY_PLAYLIST).is_empty());
    assert!(entries(MIXED_PLAYLIST).contains(&Entry::Gone));
    assert_eq!(entries(OWN_PLAYLIST).len(), 12);
}
