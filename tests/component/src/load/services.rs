//! What goes wrong with the calls of the upstreams beside the model.

use std::time::Duration;

use spinlane_upstreams::{Fault, Service, Upstreams};

use super::chance::Chance;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    /// Spotify's catalogue and playlists.
    Spotify,
    /// Its accounts service.
    Accounts,
    /// Tempo.
    Deezer,
    /// Tags and listeners.
    Lastfm,
}

impl Upstream {
    /// Its stand-in.
    pub(super) fn stand_in(self, upstreams: &Upstreams) -> &Service {
        match self {
            Self::Spotify => upstreams.spotify(),
            Self::Accounts => upstreams.spotify_accounts(),
            Self::Deezer => upstreams.deezer(),
            Self::Lastfm => upstreams.lastfm(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Spotify => "spotify",
            Self::Accounts => "accounts",
            Self::Deezer => "deezer",
            Self::Lastfm => "lastfm",
        }
    }

    /// The service's error inside a 200, of those that have such.
    fn in_a_200(self) -> Fault {
        match self {
            Self::Deezer => Fault::code(4),
            Self::Lastfm => Fault::code(29),
            Self::Spotify | Self::Accounts => Fault::raw("application/json", "{}"),
        }
    }
}

/// What can go wrong. An answer that there is none of that (404, no data) is none of it.
const FAULTS: [&str; 15] = [
    "429",
    "429 with Retry-After",
    "401",
    "403",
    "500",
    "503",
    "520",
    "an error within a 200",
    "garbage",
    "cut",
    "stall",
    "silence",
    "reset",
    "drip",
    "delay",
];

/// Lets something go wrong with the calls of one trace, once, a few times or always, and
/// says what.
pub(super) fn go_wrong(
    upstream: Upstream,
    upstreams: &Upstreams,
    trace: &str,
    chance: &Chance,
) -> String {
    const ALWAYS: usize = 4;
    let name = chance.pick(&FAULTS);
    let fault = fault(name, upstream, chance).of_trace(trace);
    let service = upstream.stand_in(upstreams);
    match 1 + chance.below(ALWAYS) {
        ALWAYS => service.fault(fault),
        times => (0..times).for_each(|_| service.push(fault.clone())),
    }
    format!("{}: {name}", upstream.name())
}

fn fault(name: &str, upstream: Upstream, chance: &Chance) -> Fault {
    match name {
        "429 with Retry-After" => Fault::status(429).retry_after(1),
        "an error within a 200" => upstream.in_a_200(),
        "garbage" => Fault::garbage(),
        "cut" => Fault::cut_after(chance.below(500)),
        "stall" => Fault::hang_after(chance.below(500)),
        "silence" => Fault::hang(),
        "reset" => Fault::reset(),
        "drip" => Fault::drip(500, Duration::from_millis(20)),
        "delay" => Fault::delay(chance.millis(100, 900)),
        // What is left is a status.
        status => Fault::status(status.parse().unwrap_or(500)),
    }
}
