//! What listeners say of a track: Last.fm counts their tags and plays.

use futures::FutureExt;

use super::batch::{Known, Source};
use super::names::{self, Candidate};
use super::reservation::Reservation;
use crate::clients::lastfm::{Described, Lastfm, TrackInfo};
use crate::music::Track;
use crate::{AppState, stored};
use spinlane_client::UpstreamError;
use spinlane_core::cache::{Cached, Key, Typed};
use spinlane_core::ports::BoxFuture;

/// Tags and listeners of tracks, by artist and title.
pub(super) struct LastfmEnrichment {
    cache: Typed<TrackInfo>,
    lastfm: Lastfm,
}

impl LastfmEnrichment {
    pub(super) fn new(app: &AppState, lastfm: Lastfm) -> Self {
        let cache = app.cache.typed(&stored::LASTFM);
        Self { cache, lastfm }
    }

    async fn known(&self, track: &Track) -> Known<TrackInfo> {
        let Some(key) = key(track) else {
            return Known::Yes(None);
        };
        match self.cache.get(&key).await {
            Cached::Hit(known) => Known::Yes(Some(known)),
            Cached::Negative => Known::Yes(None),
            Cached::Miss => Known::No { calls: 1 },
        }
    }

    async fn find(
        &self,
        track: &Track,
        reserved: Reservation,
    ) -> Result<Option<TrackInfo>, UpstreamError> {
        let Some(key) = key(track) else {
            return Ok(None);
        };
        let lastfm = self.lastfm.clone();
        let track = track.clone();
        let fetch = move || async move {
            let lastfm = lastfm.paid_by(reserved.pay());
            let found = lastfm.track(track.artist(), &track.title).await?;
            Ok(found
                .filter(|found| is(found, &track))
                .map(|found| found.info))
        };
        let found = self.cache.get_or_fetch(&key, fetch).await;
        found.map_err(|error| self.lastfm.not_fetched(error))
    }
}

impl Source for LastfmEnrichment {
    type Value = TrackInfo;

    const NAME: &'static str = "lastfm";

    fn identity(track: &Track) -> String {
        [track.artist(), &track.title].join("\n")
    }

    fn known<'a>(&'a self, track: &'a Track) -> BoxFuture<'a, Known<TrackInfo>> {
        self.known(track).boxed()
    }

    fn find<'a>(
        &'a self,
        track: &'a Track,
        reserved: Reservation,
    ) -> BoxFuture<'a, Result<Option<TrackInfo>, UpstreamError>> {
        self.find(track, reserved).boxed()
    }
}

/// Whether it is the track that was asked for. What it says of lengths is not
/// looked at: it counts what people play by its name, whichever recording.
fn is(found: &Described, track: &Track) -> bool {
    let candidate = Candidate {
        artists: std::slice::from_ref(&found.artist),
        title: &found.title,
        seconds: None,
    };
    candidate.is_named_as(track)
}

fn key(track: &Track) -> Option<Key> {
    let (artist, title) = names::artist_and_title(track)?;
    Some(Key::new([artist, title]))
}
