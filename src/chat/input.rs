//! What the DJ is asked.

use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::clients::spotify::PlaylistId;

/// A prompt, and what led to it.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    /// What the user says.
    pub(crate) message: String,
    /// Earlier turns, oldest first.
    pub(crate) history: Vec<HistoryEntry>,
    /// What the user wants done.
    pub(crate) mode: Mode,
    /// The playlist that is talked about. No other is changed.
    pub(crate) playlist: Option<PlaylistId>,
    /// Whether a playlist that is made is for everybody to see.
    pub(crate) public: bool,
}

/// One earlier turn.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
pub(crate) struct HistoryEntry {
    /// Who said it.
    #[garde(skip)]
    pub(crate) role: HistoryRole,
    /// What was said.
    #[garde(length(chars, max = 20_000))]
    #[schema(max_length = 20_000)]
    pub(crate) content: String,
}

/// Who said an earlier turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HistoryRole {
    User,
    Assistant,
}

/// What the user wants done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Analyze,
    Create,
    Edit,
}

impl Mode {
    /// Whether it is of no use without the user's own account.
    pub(crate) fn changes_playlists(self) -> bool {
        matches!(self, Self::Create | Self::Edit)
    }
}
