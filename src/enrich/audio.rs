//! How fast a track is: Deezer knows the tempo of many recordings.

use futures::FutureExt;
use serde::{Deserialize, Serialize};

use super::batch::{Known, Source};
use super::names::{self, Candidate};
use super::reservation::Reservation;
use crate::clients::deezer::{Deezer, Recording};
use crate::music::Track;
use crate::{AppState, stored};
use spinlane_client::UpstreamError;
use spinlane_core::cache::{Cached, Key, Typed};
use spinlane_core::ports::BoxFuture;

/// Calls of a lookup by name: a search, and the track that it found.
const CALLS_BY_NAME: u32 = 2;
const CALLS_BY_ISRC: u32 = 1;

/// A tempo, and the recording that has it: whoever finds it in the cache looks
/// whether it is the one that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tempo {
    bpm: f32,
    artists: Vec<String>,
    title: String,
    seconds: Option<u64>,
}

impl Tempo {
    fn from_recording(recording: Recording) -> Option<Self> {
        Some(Self {
            bpm: recording.bpm?,
            artists: recording.artists,
            title: recording.title,
            seconds: recording.seconds,
        })
    }

    fn recording(&self) -> Candidate<'_> {
        Candidate {
            artists: &self.artists,
            title: &self.title,
            seconds: self.seconds,
        }
    }
}

/// The tempo of tracks: by ISRC, then by artist and title. One that was found by
/// ISRC is remembered under both, where the names agree as well.
pub(super) struct AudioEnrichment {
    cache: Typed<Tempo>,
    deezer: Deezer,
}

impl AudioEnrichment {
    pub(super) fn new(app: &AppState, deezer: Deezer) -> Self {
        let cache = app.cache.typed(&stored::BPM);
        Self { cache, deezer }
    }

    async fn known(&self, track: &Track) -> Known<f32> {
        let mut calls = 0;
        if let Some(key) = by_isrc(track) {
            match self.cache.get(&key).await {
                Cached::Hit(tempo) if tempo.recording().is_coded_as(track) => {
                    return Known::Yes(Some(tempo.bpm));
                }
                Cached::Hit(_) | Cached::Negative => {}
                Cached::Miss => calls += CALLS_BY_ISRC,
            }
        }
        if let Some(key) = by_name(track) {
            match self.cache.get(&key).await {
                Cached::Hit(tempo) => return Known::Yes(Some(tempo.bpm)),
                Cached::Negative => {}
                Cached::Miss => calls += CALLS_BY_NAME,
            }
        }
        match calls {
            0 => Known::Yes(None),
            calls => Known::No { calls },
        }
    }

    async fn find(
        &self,
        track: &Track,
        reserved: Reservation,
    ) -> Result<Option<f32>, UpstreamError> {
        let name = by_name(track);
        if let Some(key) = by_isrc(track)
            && let Some(tempo) = self.find_by_isrc(&key, track, reserved.clone()).await?
            && tempo.recording().is_coded_as(track)
        {
            if let Some(name) = name
                && tempo.recording().is_named_as(track)
            {
                self.cache.put(&name, Some(&tempo)).await;
            }
            return Ok(Some(tempo.bpm));
        }
        let Some(key) = name else {
            return Ok(None);
        };
        let found = self.find_by_name(&key, track, reserved).await?;
        Ok(found.map(|tempo| tempo.bpm))
    }

    /// What the service has under this code, whatever that is.
    async fn find_by_isrc(
        &self,
        key: &Key,
        track: &Track,
        reserved: Reservation,
    ) -> Result<Option<Tempo>, UpstreamError> {
        let deezer = self.deezer.clone();
        let isrc = track.isrc.clone().unwrap_or_default();
        let fetch = move || async move {
            let found = deezer.paid_by(reserved.pay()).by_isrc(&isrc).await?;
            Ok(found.and_then(Tempo::from_recording))
        };
        let found = self.cache.get_or_fetch(key, fetch).await;
        found.map_err(|error| self.deezer.not_fetched(error))
    }

    async fn find_by_name(
        &self,
        key: &Key,
        track: &Track,
        reserved: Reservation,
    ) -> Result<Option<Tempo>, UpstreamError> {
        let deezer = self.deezer.clone();
        let track = track.clone();
        let fetch = move || async move {
            let title = names::searchable(&track.title);
            let found = deezer
                .paid_by(reserved.pay())
                .search(track.artist(), &title)
                .await?;
            let Some(best) = best(&track, &found) else {
                return Ok(None);
            };
            let found = deezer.paid_by(reserved.pay()).by_id(best.id).await?;
            // Something else may be under the id by now.
            let same = |recording: &Recording| candidate(recording).is_named_as(&track);
            Ok(found.filter(same).and_then(Tempo::from_recording))
        };
        let found = self.cache.get_or_fetch(key, fetch).await;
        found.map_err(|error| self.deezer.not_fetched(error))
    }
}

impl Source for AudioEnrichment {
    type Value = f32;

    const NAME: &'static str = "deezer";

    fn identity(track: &Track) -> String {
        let isrc = track.isrc.as_deref().unwrap_or_default();
        let artists = track.artists.iter().map(|artist| artist.name.as_str());
        let names: Vec<_> = [isrc, &track.title].into_iter().chain(artists).collect();
        format!("{:?}\n{}", track.duration_ms, names.join("\n"))
    }

    fn known<'a>(&'a self, track: &'a Track) -> BoxFuture<'a, Known<f32>> {
        self.known(track).boxed()
    }

    fn find<'a>(
        &'a self,
        track: &'a Track,
        reserved: Reservation,
    ) -> BoxFuture<'a, Result<Option<f32>, UpstreamError>> {
        self.find(track, reserved).boxed()
    }
}

fn by_isrc(track: &Track) -> Option<Key> {
    Some(Key::exact(["isrc", track.isrc.as_deref()?]))
}

/// The key by name and, where it is known, by length: a name may be of several
/// recordings.
fn by_name(track: &Track) -> Option<Key> {
    let (artist, title) = names::artist_and_title(track)?;
    let seconds = track.duration_ms.map(|millis| (millis / 1_000).to_string());
    let seconds = seconds.unwrap_or_default();
    Some(Key::new(["name", artist, title, &seconds]))
}

fn candidate(recording: &Recording) -> Candidate<'_> {
    Candidate {
        artists: &recording.artists,
        title: &recording.title,
        seconds: recording.seconds,
    }
}

/// The candidate that is the track; of several the one whose length is nearest.
fn best<'a>(track: &Track, candidates: &'a [Recording]) -> Option<&'a Recording> {
    let same = candidates
        .iter()
        .filter(|recording| candidate(recording).is_named_as(track));
    let apart = |recording: &&Recording| candidate(recording).apart(track).unwrap_or(u64::MAX);
    same.min_by_key(apart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::ArtistRef;

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

    fn recording(id: u64, artist: &str, title: &str, seconds: u64) -> Recording {
        Recording {
            id,
            title: title.into(),
            artists: vec![artist.into()],
            seconds: Some(seconds),
            bpm: None,
        }
    }

    #[test]
    fn the_same_recording_is_chosen_or_none() {
        let candidates = [
            recording(1, "Nena Rossi Tribute Band", "Luce", 200),
            recording(2, "Nena Rossi", "Luce (Live)", 260),
            recording(3, "Nena Rossi", "Luce", 301),
            recording(4, "Nena Rossi", "Luce", 199),
            recording(5, "Nena Rossi", "Luce e ombra", 200),
        ];
        let chosen = |track: &Track| best(track, &candidates).map(|best| best.id);
        assert_eq!(chosen(&track("Luce", 200)), Some(4));
        assert_eq!(chosen(&track("Luce - Remastered", 300)), Some(3));
        assert_eq!(chosen(&track("Luce (Live)", 260)), Some(2));
        assert_eq!(chosen(&track("Luce (Live)", 400)), None);
        assert_eq!(chosen(&track("Luce", 250)), None);
        assert_eq!(chosen(&track("Luce - Extended", 200)), None);
        assert_eq!(chosen(&track("Lux", 200)), None);
    }
}
