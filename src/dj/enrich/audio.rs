//! How fast a track is: Deezer knows the tempo of many recordings.

use futures::FutureExt;

use super::names::{self, Difference};
use super::purse::Purse;
use super::sweep::{Known, Source};
use crate::core::cache::{Key, Typed};
use crate::core::ports::BoxFuture;
use crate::dj::clients::UpstreamError;
use crate::dj::clients::deezer::{Deezer, Recording};
use crate::dj::music::Track;
use crate::dj::{AppState, stored};

/// By name: a search, and the track that it found.
const CALLS_BY_NAME: u32 = 2;
const CALLS_BY_ISRC: u32 = 1;

/// What is not called quite the same is the same recording only when it is as
/// long, within so many seconds.
const SAME_LENGTH: u64 = 15;

/// The tempo of tracks: by ISRC, then by artist and title. Either way a tempo
/// that was found is remembered under both.
pub(super) struct AudioEnrichment {
    cache: Typed<f32>,
    deezer: Deezer,
}

impl AudioEnrichment {
    pub(super) fn new(app: &AppState, deezer: Deezer) -> Self {
        let cache = app.cache.of(&stored::BPM);
        Self { cache, deezer }
    }

    async fn known(&self, track: &Track) -> Known<f32> {
        let mut calls = 0;
        for (key, cost) in [
            (by_isrc(track), CALLS_BY_ISRC),
            (by_name(track), CALLS_BY_NAME),
        ] {
            let Some(key) = key else { continue };
            match self.cache.peek(&key).await {
                Some(Some(bpm)) => return Known::Yes(Some(bpm)),
                Some(None) => {}
                None => calls += cost,
            }
        }
        match calls {
            0 => Known::Yes(None),
            calls => Known::No { calls },
        }
    }

    async fn find(&self, track: &Track, purse: Purse) -> Result<Option<f32>, UpstreamError> {
        let (isrc, name) = (by_isrc(track), by_name(track));
        if let Some(key) = &isrc {
            let found = self.find_by_isrc(key, track, purse.clone()).await?;
            if found.is_some() {
                self.remember(name.as_ref(), found).await;
                return Ok(found);
            }
        }
        let Some(key) = &name else {
            return Ok(None);
        };
        let found = self.find_by_name(key, track, purse).await?;
        if found.is_some() {
            self.remember(isrc.as_ref(), found).await;
        }
        Ok(found)
    }

    async fn find_by_isrc(
        &self,
        key: &Key,
        track: &Track,
        purse: Purse,
    ) -> Result<Option<f32>, UpstreamError> {
        let deezer = self.deezer.clone();
        let isrc = track.isrc.clone().unwrap_or_default();
        let fetch = move || async move {
            let found = deezer.paid_by(purse.pay()).by_isrc(&isrc).await?;
            Ok(found.and_then(|recording| recording.bpm))
        };
        self.cache.get_or_fetch(key, fetch).await
    }

    async fn find_by_name(
        &self,
        key: &Key,
        track: &Track,
        purse: Purse,
    ) -> Result<Option<f32>, UpstreamError> {
        let deezer = self.deezer.clone();
        let track = track.clone();
        let fetch = move || async move {
            let title = names::plain(&track.title);
            let found = deezer
                .paid_by(purse.pay())
                .search(track.artist(), title)
                .await?;
            let Some(best) = best(&track, &found) else {
                return Ok(None);
            };
            let found = deezer.paid_by(purse.pay()).by_id(best.id).await?;
            Ok(found.and_then(|recording| recording.bpm))
        };
        self.cache.get_or_fetch(key, fetch).await
    }

    async fn remember(&self, key: Option<&Key>, bpm: Option<f32>) {
        if let Some(key) = key {
            self.cache.put(key, bpm.as_ref()).await;
        }
    }
}

impl Source for AudioEnrichment {
    type Value = f32;

    const NAME: &'static str = "deezer";

    fn identity(track: &Track) -> String {
        let isrc = track.isrc.as_deref().unwrap_or_default();
        [isrc, track.artist(), &track.title].join("\n")
    }

    fn known<'a>(&'a self, track: &'a Track) -> BoxFuture<'a, Known<f32>> {
        self.known(track).boxed()
    }

    fn find<'a>(
        &'a self,
        track: &'a Track,
        purse: Purse,
    ) -> BoxFuture<'a, Result<Option<f32>, UpstreamError>> {
        self.find(track, purse).boxed()
    }
}

fn by_isrc(track: &Track) -> Option<Key> {
    Some(Key::exact(["isrc", track.isrc.as_deref()?]))
}

fn by_name(track: &Track) -> Option<Key> {
    let (artist, title) = names::of(track)?;
    Some(Key::new(["name", artist, title]))
}

/// The candidate that is the track: the one whose name is nearest, and of these
/// the one whose length is.
fn best<'a>(track: &Track, candidates: &'a [Recording]) -> Option<&'a Recording> {
    let seconds = track.duration_ms.map(|millis| millis.div_ceil(1_000));
    let rated = candidates.iter().filter_map(|candidate| {
        let ours = (track.artist(), track.title.as_str());
        let theirs = (candidate.artist.as_str(), candidate.title.as_str());
        let difference = names::difference(ours, theirs)?;
        let lengths = seconds.zip(candidate.seconds);
        let apart = lengths.map_or(u64::MAX, |(ours, theirs)| ours.abs_diff(theirs));
        let good = difference == Difference::None || apart <= SAME_LENGTH;
        good.then_some(((difference, apart), candidate))
    });
    rated
        .min_by_key(|(rating, _)| *rating)
        .map(|(_, best)| best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dj::music::ArtistRef;

    fn track(title: &str, seconds: u64) -> Track {
        Track {
            title: title.into(),
            artists: vec![ArtistRef {
                id: String::new(),
                name: "Nena Rossi".into(),
            }],
            duration_ms: Some(seconds * 1_000),
            ..Track::default()
        }
    }

    fn candidate(id: u64, artist: &str, title: &str, seconds: u64) -> Recording {
        Recording {
            id,
            title: title.into(),
            artist: artist.into(),
            seconds: Some(seconds),
            bpm: None,
        }
    }

    #[test]
    fn the_same_recording_is_chosen_or_none() {
        let candidates = [
            candidate(1, "Nena Rossi Tribute Band", "Luce", 200),
            candidate(2, "Nena Rossi", "Luce (Live)", 260),
            candidate(3, "Nena Rossi", "Luce", 301),
            candidate(4, "Nena Rossi", "Luce", 199),
            candidate(5, "Nena Rossi", "Luce e ombra", 200),
        ];
        let chosen = |track: &Track| best(track, &candidates).map(|best| best.id);
        assert_eq!(chosen(&track("Luce", 200)), Some(4));
        assert_eq!(chosen(&track("Luce - Remastered", 300)), Some(3));
        assert_eq!(chosen(&track("Luce (Live)", 400)), Some(2));
        assert_eq!(chosen(&track("Luce - Extended", 500)), None);
        assert_eq!(chosen(&track("Lux", 200)), None);
    }
}
