//! What songs are made of: for each scene its genres, moods, speeds and words.
//! Nothing in here is a real artist or a real song, at least not on purpose.

mod latin;
mod scripts;

/// A corner of the catalogue.
#[derive(Debug)]
pub(super) struct Scene {
    /// The first is the one that all of its artists have.
    pub(super) genres: &'static [&'static str],
    /// What listeners call it.
    pub(super) moods: &'static [&'static str],
    /// Beats per minute, from and to.
    pub(super) bpm: (u64, u64),
    /// Years of release, from and to.
    pub(super) years: (u64, u64),
    pub(super) artists: &'static [&'static str],
    /// Titles are a head, a joint and a tail.
    pub(super) heads: &'static [&'static str],
    pub(super) joints: &'static [&'static str],
    pub(super) tails: &'static [&'static str],
}

pub(super) const SCENES: [Scene; 18] = [
    latin::TRIP_HOP,
    latin::INDIE_FOLK,
    latin::HOUSE,
    latin::TECHNO,
    latin::CHANSON,
    latin::LATIN_ALTERNATIVE,
    latin::BOSSA_NOVA,
    latin::NORDIC_POP,
    scripts::RUSSIAN_INDIE,
    scripts::GREEK_INDIE,
    scripts::CITY_POP,
    scripts::K_INDIE,
    scripts::ARABIC_POP,
    scripts::ISRAELI_INDIE,
    latin::HIP_HOP,
    latin::JAZZ,
    latin::PUNK_ROCK,
    latin::AMBIENT,
];
