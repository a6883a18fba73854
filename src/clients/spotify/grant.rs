//! What Spotify has granted: an access token, and what it is renewed by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::accounts::TokenSet;
use crate::config::Secret;
use crate::music::User;

/// A token is given up so long before its end: it must last for the call that
/// it is given to.
const MARGIN: Duration = Duration::from_secs(60);

/// Tokens, for the application itself or for a user. Written in sessions only, which
/// are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    #[serde(with = "exposed")]
    access: Secret,
    /// A user's has one; the application asks with its own id and secret.
    #[serde(with = "exposed::option")]
    refresh: Option<Secret>,
    /// When the access token ends, in seconds since the Unix epoch.
    until: u64,
    /// Whose it is, where Spotify has said so.
    pub(crate) user: Option<User>,
}

impl Grant {
    /// What the accounts service has granted just now.
    pub(crate) fn new(granted: TokenSet, now: Duration) -> Self {
        Self {
            access: granted.access_token,
            refresh: granted.refresh_token,
            until: (now + granted.expires_in).as_secs(),
            user: None,
        }
    }

    /// The same for a user. `None` without a refresh token: such a login would end
    /// within the hour.
    pub(crate) fn of_user(granted: TokenSet, now: Duration, user: Option<User>) -> Option<Self> {
        let grant = Self::new(granted, now);
        grant.refresh.is_some().then_some(Self { user, ..grant })
    }

    /// An access token that ends at `until`, and that nothing renews.
    pub(super) fn of_application(access: Secret, until: u64) -> Self {
        Self {
            access,
            refresh: None,
            until,
            user: None,
        }
    }

    /// The access token, while it is good for one more call.
    pub(crate) fn usable(&self, now: Duration) -> Option<&Secret> {
        let good = now + MARGIN < Duration::from_secs(self.until);
        good.then_some(&self.access)
    }

    /// The access token, however long it is good.
    pub(crate) fn access(&self) -> &Secret {
        &self.access
    }

    /// When the access token ends, in seconds since the Unix epoch.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    pub(crate) fn refresh(&self) -> Option<&Secret> {
        self.refresh.as_ref()
    }

    /// The same after a renewal, which has given `granted` just now.
    pub(super) fn renewed(self, granted: TokenSet, now: Duration) -> Self {
        let Self { refresh, user, .. } = self;
        let renewed = Self::new(granted, now);
        Self {
            // Where there is no new one the old one stays good.
            refresh: renewed.refresh.or(refresh),
            user,
            ..renewed
        }
    }

    /// Whether `other` holds other tokens: somebody has got new ones.
    pub(super) fn differs(&self, other: &Self) -> bool {
        self.access != other.access || self.refresh != other.refresh
    }
}

/// The one place where a secret is written out.
mod exposed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        secret.expose().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }

    pub(super) mod option {
        use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            secret: &Option<Secret>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            secret.as_ref().map(Secret::expose).serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Secret>, D::Error> {
            Option::<String>::deserialize(from).map(|secret| secret.map(Secret::new))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(access: &str, refresh: Option<&str>) -> TokenSet {
        TokenSet {
            access_token: Secret::new(access),
            refresh_token: refresh.map(Secret::new),
            expires_in: Duration::from_secs(3_600),
            scope: String::new(),
        }
    }

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_token_is_given_up_before_its_end() {
        let grant = Grant::of_user(granted("a", Some("r")), NOW, None).unwrap();
        let at = |seconds| grant.usable(NOW + Duration::from_secs(seconds)).is_some();
        assert!(at(0) && at(3_539));
        assert!(!at(3_540) && !at(10_000));
        assert!(Grant::of_user(granted("a", None), NOW, None).is_none());
    }

    #[test]
    fn a_renewal_keeps_the_refresh_token_unless_there_is_a_new_one() {
        let before = Grant::of_user(granted("a", Some("r")), NOW, None).unwrap();
        let grant = before.clone().renewed(granted("b", None), NOW);
        assert_eq!(grant.usable(NOW), Some(&Secret::new("b")));
        assert_eq!(grant.refresh(), Some(&Secret::new("r")));
        assert!(grant.differs(&before));
        let grant = grant.renewed(granted("b", Some("s")), NOW);
        assert_eq!(grant.refresh(), Some(&Secret::new("s")));
    }

    #[test]
    fn is_written_whole_and_never_printed() {
        let grant = Grant::of_user(granted("acc", Some("ref")), NOW, None).unwrap();
        let json = serde_json::to_string(&grant).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), grant);
        assert!(!format!("{grant:?}").contains("acc\""));
    }
}
