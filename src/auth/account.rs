//! What a user has allowed, as a session keeps it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clients::spotify::accounts::TokenSet;
use crate::config::Secret;
use crate::music::User;

/// A token is given up so long before its end: it must last for the call that
/// it is given to.
const MARGIN: Duration = Duration::from_secs(60);

/// A Spotify account and its tokens. Written in sessions only, which are
/// encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    #[serde(with = "exposed")]
    access: Secret,
    #[serde(with = "exposed")]
    refresh: Secret,
    /// When the access token ends, in seconds since the Unix epoch.
    until: u64,
    /// Whose it is, where Spotify has said so.
    pub(crate) user: Option<User>,
}

impl Account {
    /// What the accounts service has granted just now. `None` when it gave no
    /// refresh token: such an account would end within the hour.
    pub(crate) fn new(granted: TokenSet, now: Duration, user: Option<User>) -> Option<Self> {
        Some(Self {
            refresh: granted.refresh_token?,
            access: granted.access_token,
            until: (now + granted.expires_in).as_secs(),
            user,
        })
    }

    /// The access token, while it is good for one more call.
    pub(crate) fn access(&self, now: Duration) -> Option<&Secret> {
        let good = now + MARGIN < Duration::from_secs(self.until);
        good.then_some(&self.access)
    }

    /// The access token, however long it is good.
    pub(super) fn newest(&self) -> &Secret {
        &self.access
    }

    pub(crate) fn refresh(&self) -> &Secret {
        &self.refresh
    }

    /// Takes over what a refresh has given.
    pub(crate) fn renew(&mut self, granted: TokenSet, now: Duration) {
        self.access = granted.access_token;
        self.until = (now + granted.expires_in).as_secs();
        // Where there is no new one the old one stays good.
        if let Some(refresh) = granted.refresh_token {
            self.refresh = refresh;
        }
    }

    /// Whether `other` holds another grant: somebody has refreshed it.
    pub(crate) fn differs(&self, other: &Self) -> bool {
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
        let account = Account::new(granted("a", Some("r")), NOW, None).unwrap();
        let at = |seconds| account.access(NOW + Duration::from_secs(seconds)).is_some();
        assert!(at(0) && at(3_539));
        assert!(!at(3_540) && !at(10_000));
        assert!(Account::new(granted("a", None), NOW, None).is_none());
    }

    #[test]
    fn a_refresh_keeps_the_refresh_token_unless_there_is_a_new_one() {
        let mut account = Account::new(granted("a", Some("r")), NOW, None).unwrap();
        let before = account.clone();
        account.renew(granted("b", None), NOW);
        assert_eq!(account.access(NOW), Some(&Secret::new("b")));
        assert_eq!(account.refresh(), &Secret::new("r"));
        assert!(account.differs(&before));
        account.renew(granted("b", Some("s")), NOW);
        assert_eq!(account.refresh(), &Secret::new("s"));
    }

    #[test]
    fn is_written_whole_and_never_printed() {
        let account = Account::new(granted("acc", Some("ref")), NOW, None).unwrap();
        let json = serde_json::to_string(&account).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&json).unwrap(), account);
        assert!(!format!("{account:?}").contains("acc\""));
    }
}
