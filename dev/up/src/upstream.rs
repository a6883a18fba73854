//! Which upstreams are real and which are simulated.

use spinlane_upstreams::{KEY, Upstreams};

/// Where an upstream's calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A base URL was given.
    Given,
    /// Its key was given, or stand-ins were refused.
    Real,
    /// As real, but it needs a key and none was given.
    Off,
    /// Neither: the stand-in.
    Simulated,
}

/// Where the calls of all upstreams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) anthropic: Kind,
    pub(crate) spotify: Kind,
    pub(crate) deezer: Kind,
    pub(crate) lastfm: Kind,
}

/// Decides for one upstream. `is_set` knows whether a variable has a value, by
/// option or environment.
fn kind(urls: &[&str], key: &str, stand_ins: bool, is_set: impl Fn(&str) -> bool) -> Kind {
    if urls.iter().any(|url| is_set(url)) {
        Kind::Given
    } else if is_set(key) {
        Kind::Real
    } else if stand_ins {
        Kind::Simulated
    } else {
        Kind::Off
    }
}

impl Plan {
    /// Decides for all of them.
    pub(crate) fn new(stand_ins: bool, is_set: impl Fn(&str) -> bool) -> Self {
        let kind = |urls: &[&str], key: &str| kind(urls, key, stand_ins, &is_set);
        let spotify = kind(
            &["spotify_api_url", "spotify_accounts_url"],
            "spotify_client_id",
        );
        // Deezer needs no key: it follows Spotify, since an invented song is
        // unknown to the real one, and a real song to the stand-in.
        let deezer = match (is_set("deezer_base_url"), spotify) {
            (true, _) => Kind::Given,
            (false, Kind::Simulated) => Kind::Simulated,
            (false, _) => Kind::Real,
        };
        Self {
            anthropic: kind(&["anthropic_base_url"], "anthropic_api_key"),
            spotify,
            deezer,
            lastfm: kind(&["lastfm_base_url"], "lastfm_api_key"),
        }
    }

    /// Whether any stand-in is needed.
    pub(crate) fn simulates(&self) -> bool {
        [self.anthropic, self.spotify, self.deezer, self.lastfm].contains(&Kind::Simulated)
    }

    /// The variables that lead to the stand-ins.
    pub(crate) fn variables(&self, upstreams: &Upstreams) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if self.anthropic == Kind::Simulated {
            variables.push(("anthropic_base_url", upstreams.anthropic().origin()));
            variables.push(("anthropic_api_key", KEY.into()));
        }
        if self.spotify == Kind::Simulated {
            variables.push(("spotify_api_url", upstreams.spotify().origin()));
            variables.push((
                "spotify_accounts_url",
                upstreams.spotify_accounts().origin(),
            ));
            variables.push(("spotify_client_id", KEY.into()));
            variables.push(("spotify_client_secret", KEY.into()));
        }
        if self.deezer == Kind::Simulated {
            variables.push(("deezer_base_url", upstreams.deezer().origin()));
        }
        if self.lastfm == Kind::Simulated {
            variables.push(("lastfm_base_url", upstreams.lastfm().origin()));
            variables.push(("lastfm_api_key", KEY.into()));
        }
        variables
    }

    /// A line for each upstream.
    pub(crate) fn lines(&self, upstreams: Option<&Upstreams>) -> String {
        let line = |name: &str, kind, origin: Option<String>, how: &str| {
            let place = match kind {
                Kind::Given => "at the given address".to_owned(),
                Kind::Real => "real".to_owned(),
                Kind::Off => format!("off ({how})"),
                Kind::Simulated => {
                    format!("simulated at {} ({how})", origin.unwrap_or_default())
                }
            };
            format!("  {name:<11}{place}\n")
        };
        [
            line(
                "anthropic",
                self.anthropic,
                upstreams.map(|all| all.anthropic().origin()),
                "for the real one set SPIN_VARIABLE_ANTHROPIC_API_KEY",
            ),
            line(
                "spotify",
                self.spotify,
                upstreams.map(|all| all.spotify().origin()),
                "for the real one set SPIN_VARIABLE_SPOTIFY_CLIENT_ID and _CLIENT_SECRET",
            ),
            line(
                "deezer",
                self.deezer,
                upstreams.map(|all| all.deezer().origin()),
                "as Spotify is",
            ),
            line(
                "lastfm",
                self.lastfm,
                upstreams.map(|all| all.lastfm().origin()),
                "for the real one set SPIN_VARIABLE_LASTFM_API_KEY",
            ),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(set: &[&str], stand_ins: bool) -> Plan {
        Plan::new(stand_ins, |name| set.contains(&name))
    }

    #[test]
    fn a_url_wins_over_a_key_over_the_stand_in() {
        let anthropic = |set: &[&str], stand_ins| plan(set, stand_ins).anthropic;
        assert_eq!(anthropic(&[], true), Kind::Simulated);
        assert_eq!(anthropic(&[], false), Kind::Off);
        assert_eq!(anthropic(&["anthropic_api_key"], true), Kind::Real);
        let both = ["anthropic_base_url", "anthropic_api_key"];
        assert_eq!(anthropic(&both, true), Kind::Given);
        assert_eq!(anthropic(&both[..1], false), Kind::Given);
    }

    #[test]
    fn deezer_follows_spotify() {
        let deezer = |set: &[&str], stand_ins| plan(set, stand_ins).deezer;
        assert_eq!(deezer(&[], true), Kind::Simulated);
        assert_eq!(deezer(&["spotify_client_id"], true), Kind::Real);
        assert_eq!(deezer(&["spotify_api_url"], true), Kind::Real);
        assert_eq!(deezer(&[], false), Kind::Real);
        assert_eq!(deezer(&["deezer_base_url"], true), Kind::Given);
    }

    #[tokio::test]
    async fn each_upstream_has_a_line_and_the_stand_ins_have_their_variables() {
        let upstreams = Upstreams::start(spinlane_upstreams::Options::default()).await;
        let upstreams = upstreams.unwrap();
        let plan = plan(&["lastfm_api_key", "anthropic_base_url"], true);
        let lines = plan.lines(Some(&upstreams));
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].contains("at the given address") && lines[3].ends_with("real"));
        assert!(lines[1].contains(&upstreams.spotify().origin()));
        let names: Vec<&str> = plan
            .variables(&upstreams)
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names[..2], ["spotify_api_url", "spotify_accounts_url"]);
        assert!(names.contains(&"deezer_base_url"));
        assert!(!names.iter().any(|name| name.starts_with("lastfm")));
        assert!(plan.simulates());
    }
}
