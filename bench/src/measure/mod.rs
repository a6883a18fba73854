//! What is measured, and what of it a host can have.

mod chat;
mod cold;
mod first;
mod gone;
mod memory;
mod open;
mod paced;
mod relay;
mod requests;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use spinlane_options::{BenchOptions, Measure, Place};
use spinlane_upstreams::Anthropic;

use crate::host::{Application, Host, Setup, Stage};
use crate::server::Server;
use crate::table::{Column, Figures, Rival};

/// One measure, of which there is one table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    First,
    Relay {
        streams: usize,
        size: usize,
    },
    Paced {
        streams: usize,
    },
    Memory,
    Gone,
    Requests {
        path: &'static str,
        connections: usize,
    },
    Chat {
        counts_callers: bool,
    },
    Cold,
}

/// What a measure is given.
pub(crate) struct Run<'a> {
    pub(crate) server: &'a Server,
    pub(crate) model: &'a Anthropic,
    /// Whether it is to be short.
    pub(crate) quick: bool,
}

impl Run<'_> {
    /// `whole`, or a small part of it where there is no time.
    fn time(&self, whole: Duration) -> Duration {
        if self.quick { whole / 5 } else { whole }
    }

    fn count(&self, whole: usize) -> usize {
        if self.quick { whole / 10 } else { whole }
    }
}

/// Bytes of a delta that is a word or two, as the model's are.
const WORD: usize = 7;

const STATUS: &str = "/api/status";

/// Those that are asked for.
pub(crate) fn chosen(options: &BenchOptions) -> Vec<Case> {
    let relay = |streams, size| Case::Relay { streams, size };
    let requests = |path, connections| Case::Requests { path, connections };
    let all = [
        Case::First,
        relay(1, WORD),
        relay(8, WORD),
        relay(64, WORD),
        relay(8, 1024),
        Case::Paced { streams: 20 },
        Case::Paced { streams: 100 },
        Case::Memory,
        Case::Gone,
        requests("/health", 8),
        requests("/health", 32),
        requests(STATUS, 8),
        requests(STATUS, 32),
        Case::Chat {
            counts_callers: false,
        },
        Case::Chat {
            counts_callers: true,
        },
        Case::Cold,
    ];
    let chosen = all
        .into_iter()
        .filter(|case| options.measures(case.measure()));
    chosen.collect()
}

impl Case {
    fn measure(self) -> Measure {
        match self {
            Self::First => Measure::First,
            Self::Relay { .. } => Measure::Relay,
            Self::Paced { .. } => Measure::Paced,
            Self::Memory => Measure::Memory,
            Self::Gone => Measure::Gone,
            Self::Requests { .. } => Measure::Requests,
            Self::Chat { .. } => Measure::Chat,
            Self::Cold => Measure::Cold,
        }
    }

    pub(crate) fn title(self) -> String {
        match self {
            Self::First => "First content, the upstream waits 100 ms".into(),
            Self::Relay {
                streams,
                size: WORD,
            } => format!("Relay, {streams} at a time"),
            Self::Relay { streams, size } => format!("Relay, {streams} at a time, {size} B"),
            Self::Paced { streams } => format!("Paced, {streams} × 50 frames/s"),
            Self::Memory => "Memory of an idle stream".into(),
            Self::Gone => "Clients that go".into(),
            Self::Requests { path, connections } => {
                format!("`{path}`, {connections} connections")
            }
            Self::Chat {
                counts_callers: false,
            } => "A short chat, `caller_limit=off`".into(),
            Self::Chat {
                counts_callers: true,
            } => "A short chat, callers counted".into(),
            Self::Cold => "Cold start".into(),
        }
    }

    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Self::First => first::COLUMNS,
            Self::Relay { .. } => relay::COLUMNS,
            Self::Paced { .. } => paced::COLUMNS,
            Self::Memory => memory::COLUMNS,
            Self::Gone => gone::COLUMNS,
            Self::Requests { .. } => requests::COLUMNS,
            Self::Chat { .. } => chat::COLUMNS,
            Self::Cold => cold::COLUMNS,
        }
    }

    /// With whom the columns that are to be compared are.
    pub(crate) fn rival(self) -> Option<Rival> {
        match self {
            Self::Relay { .. } | Self::Paced { .. } => Some(Rival::Axum),
            Self::Requests {
                path: "/health", ..
            } => Some(Rival::Bare),
            _ => None,
        }
    }

    fn setup(self) -> Setup {
        Setup {
            counts_callers: matches!(
                self,
                Self::Chat {
                    counts_callers: true
                }
            ),
            own_limits: matches!(self, Self::Memory),
        }
    }

    /// Why `host` has nothing to be measured here, where it has not.
    pub(crate) fn not_for(self, host: Host) -> Option<&'static str> {
        match (self, host.application, host.place) {
            (Self::Requests { path: STATUS, .. }, Application::Bare, _) => Some("no such route"),
            (
                Self::Chat {
                    counts_callers: true,
                },
                Application::Bare | Application::Peer,
                _,
            ) => Some("no limits"),
            (
                Self::Chat {
                    counts_callers: true,
                },
                _,
                Place::Wasmtime,
            ) => Some("the host has no counters"),
            _ => None,
        }
    }

    /// Measures once, on a fresh host. Compiled code is kept in `cache`.
    pub(crate) async fn measure_on(
        self,
        host: Host,
        stage: &Stage,
        model: &Anthropic,
        cache: &Path,
        quick: bool,
    ) -> Result<Figures> {
        model.reset();
        if let Self::Cold = self {
            return cold::run(host, stage).await;
        }
        let server = host.start(stage, self.setup(), cache).await?;
        let run = Run {
            server: &server,
            model,
            quick,
        };
        let figures = self.run(&run).await?;
        server.end().await?;
        Ok(figures)
    }

    async fn run(self, run: &Run<'_>) -> Result<Figures> {
        match self {
            Self::First => first::run(run).await,
            Self::Relay { streams, size } => relay::run(run, streams, size).await,
            Self::Paced { streams } => paced::run(run, streams).await,
            Self::Memory => memory::run(run).await,
            Self::Gone => gone::run(run).await,
            Self::Requests { path, connections } => requests::run(run, path, connections).await,
            Self::Chat { .. } => chat::run(run).await,
            // Starts its hosts itself.
            Self::Cold => Ok(Vec::new()),
        }
    }
}
