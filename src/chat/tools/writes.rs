//! How much one run may change, whatever the model asks for: what it has read may
//! have been written to make it do so.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::unfit;
use crate::error::ErrorObject;

/// Playlists that one run makes.
const PLAYLISTS: u32 = 1;

/// Changes of a playlist that one run makes.
const CHANGES: u32 = 20;

/// Tracks that one run removes, each place counted.
const REMOVED: usize = 100;

/// What a run has changed so far, and what of it may have been changed: a call
/// without a good answer counts.
#[derive(Debug, Default)]
pub(super) struct Writes(Mutex<Done>);

#[derive(Debug, Default)]
struct Done {
    playlists: u32,
    changes: u32,
    removed: usize,
}

impl Writes {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a playlist that is about to be made.
    ///
    /// # Errors
    /// When the run may make no more.
    pub(super) fn playlist(&self) -> Result<(), ErrorObject> {
        let mut done = self.done();
        if done.playlists >= PLAYLISTS {
            return Err(unfit(
                "not done: one run makes one playlist, and it is made. Tell the user what is \
                 in it; for another one they ask again",
            ));
        }
        done.playlists += 1;
        Ok(())
    }

    /// It was not made for certain: another try may be.
    pub(super) fn playlist_was_refused(&self) {
        let mut done = self.done();
        done.playlists = done.playlists.saturating_sub(1);
    }

    /// Counts a change that is about to be made.
    ///
    /// # Errors
    /// When the run may make no more.
    pub(super) fn change(&self) -> Result<(), ErrorObject> {
        self.removal(0)
    }

    /// The same for one that removes so many tracks.
    ///
    /// # Errors
    /// When the run may make no more, or remove no more.
    pub(super) fn removal(&self, tracks: usize) -> Result<(), ErrorObject> {
        let mut done = self.done();
        if done.changes >= CHANGES {
            return Err(unfit(format!(
                "not done: one run makes at most {CHANGES} changes. Tell the user what was \
                 changed; for more they ask again"
            )));
        }
        let left = REMOVED - done.removed;
        if tracks > left {
            return Err(unfit(format!(
                "not done: one run removes at most {REMOVED} tracks, these are {tracks}, and \
                 {left} are left. Remove fewer; for more the user asks again"
            )));
        }
        done.changes += 1;
        done.removed += tracks;
        Ok(())
    }

    /// `tracks` of them were not removed for certain.
    pub(super) fn removal_was_refused(&self, tracks: usize) {
        let mut done = self.done();
        done.removed = done.removed.saturating_sub(tracks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_playlist_is_made() {
        let writes = Writes::default();
        assert!(writes.playlist().is_ok());
        assert!(writes.playlist().is_err());
        writes.playlist_was_refused();
        assert!(writes.playlist().is_ok());
        assert!(writes.playlist().is_err());
    }

    #[test]
    fn twenty_changes_are_made() {
        let writes = Writes::default();
        for _ in 0..19 {
            writes.change().unwrap();
        }
        writes.removal(1).unwrap();
        assert!(writes.change().is_err());
        assert!(writes.removal(1).is_err());
    }

    #[test]
    fn a_hundred_tracks_are_removed() {
        let writes = Writes::default();
        assert!(writes.removal(101).is_err());
        writes.removal(60).unwrap();
        let refused = writes.removal(41).unwrap_err();
        assert!(refused.message.contains("40 are left"), "{refused:?}");
        writes.removal(40).unwrap();
        assert!(writes.removal(1).is_err());
        writes.removal_was_refused(40);
        writes.removal(1).unwrap();
        // What was refused here is no change.
        assert_eq!(writes.done().changes, 3);
    }
}
