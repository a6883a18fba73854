//! The playlist that a chat's request is about: read once, here.

use serde::{Deserialize, Deserializer};

use crate::chat::Mode;
use crate::clients::spotify::{NoPlaylist, PlaylistId};
use spinlane_http::problem::{FieldError, Problem};

/// What the field `playlistId` says. Empty is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlaylistField(Option<Result<PlaylistId, NoPlaylist>>);

impl<'de> Deserialize<'de> for PlaylistField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let named = !text.trim().is_empty();
        Ok(Self(named.then(|| PlaylistId::parse(&text))))
    }
}

/// The rule of the field, as the validator takes it, which names the field.
pub(super) fn can_be_read(field: &PlaylistField, (): &()) -> garde::Result {
    match field.0 {
        Some(Err(why)) => Err(garde::Error::new(why)),
        _ => Ok(()),
    }
}

/// The playlist that a request names: in its `field`, or, where its `mode` wants one
/// changed, by a link in its `message`.
///
/// # Errors
/// 422 when the message's only link is a shortened one.
pub(super) fn named(
    field: &PlaylistField,
    mode: Mode,
    message: &str,
) -> Result<Option<PlaylistId>, Problem> {
    let by_message = || match mode {
        Mode::Edit => PlaylistId::named_in(message),
        Mode::Analyze | Mode::Create => Ok(None),
    };
    let unreadable = |why: NoPlaylist| {
        let (pointer, message) = ("/message".into(), format!("its link {why}"));
        Problem::invalid(vec![FieldError { pointer, message }])
    };
    match &field.0 {
        Some(Ok(id)) => Ok(Some(id.clone())),
        // The validator has refused what cannot be read.
        Some(Err(_)) | None => by_message().map_err(unreadable),
    }
}
