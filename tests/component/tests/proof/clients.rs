//! What clients do while their host is killed, and what they were told by then.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use spinlane_component_tests::PATIENCE;
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::runs::{again, prompt, read, run_of, sent};
use spinlane_core::testing::SeededEntropy;
use spinlane_upstreams::Upstreams;

/// Tracks that are asked for.
const TRACKS: usize = 40;

/// Sessions of earlier crashes that are looked at after each.
const EARLIER: usize = 20;

/// How long a reader may take to say that a run is lost.
const LOST: Duration = Duration::from_secs(25);

/// The caller that has two runs all the time.
const BUSY: &str = "192.0.2.1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Its user has asked for its end.
    Leaving,
    Ended,
}

#[derive(Clone, Debug)]
struct Session {
    token: String,
    phase: Phase,
}

/// A run, as its reader has seen it.
#[derive(Clone, Debug)]
struct Run {
    id: String,
    frames: String,
    has_ended: bool,
}

/// What all of them know.
#[derive(Debug, Default)]
pub(super) struct Clients {
    sessions: RefCell<Vec<Session>>,
    /// Of the last round alone.
    runs: RefCell<Vec<Run>>,
    /// How many there were before the last round: sessions, and runs.
    earlier: Cell<(usize, usize)>,
    addresses: Cell<u32>,
    /// By title: whatever was found once is found again.
    tracks: RefCell<BTreeMap<String, Value>>,
}

impl Clients {
    /// Goes on until it is dropped.
    pub(super) async fn work(&self, origin: &str, upstreams: &Upstreams, chance: &SeededEntropy) {
        let (sessions, (_, runs)) = (self.sessions.borrow().len(), self.earlier.get());
        let runs = runs + self.runs.borrow_mut().drain(..).count();
        self.earlier.set((sessions, runs));
        let callers = [
            BUSY.to_owned(),
            BUSY.to_owned(),
            self.address(),
            self.address(),
        ];
        futures::join!(
            join_all((0..2).map(|_| self.log_in(origin, upstreams, chance))),
            self.enrich(origin, upstreams, chance),
            join_all(callers.map(|caller| self.chat(origin, caller))),
        );
    }

    /// An address that nobody has had: nothing is counted under it that has died.
    pub(super) fn address(&self) -> String {
        let number = self.addresses.get();
        self.addresses.set(number + 1);
        format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff)
    }

    /// Logs in, and sometimes out.
    async fn log_in(&self, origin: &str, upstreams: &Upstreams, chance: &SeededEntropy) {
        loop {
            let mut browser = Browser::at(origin.to_owned(), upstreams);
            let token = browser.log_in().await;
            let at = self.sessions.borrow().len();
            let session = Session {
                token,
                phase: Phase::Open,
            };
            self.sessions.borrow_mut().push(session);
            if chance.below(3) == 0 {
                self.sessions.borrow_mut()[at].phase = Phase::Leaving;
                let gone = browser.post("/api/auth/logout", &json!({})).await;
                assert_eq!(gone.status(), 204);
                self.sessions.borrow_mut()[at].phase = Phase::Ended;
            }
        }
    }

    /// Asks for tracks, whose values are cached.
    async fn enrich(&self, origin: &str, upstreams: &Upstreams, chance: &SeededEntropy) {
        let catalogue = upstreams.catalogue();
        loop {
            let tracks = (0..3).map(|_| {
                let track = &catalogue.tracks[chance.below(TRACKS as u64) as usize];
                let artist = catalogue.artist_names(track).next();
                json!({"id": track.id, "title": track.title, "artist": artist, "isrc": track.isrc})
            });
            let tracks: Vec<_> = tracks.collect();
            let request = Client::new().post(format!("{origin}/api/enrich"));
            let request = request
                .header("accept", "application/json")
                .header("x-client", self.address());
            let found = sent(request.json(&json!({"tracks": tracks}))).await;
            let found: Value = found.json().await.expect("JSON");
            // What waits for slots of the dead may be skipped.
            if found["skipped"] == json!([]) {
                for track in found["tracks"].as_array().expect("a list") {
                    self.is_found(track);
                }
            }
        }
    }

    fn is_found(&self, track: &Value) {
        let id = track["id"].as_str().expect("an id").to_owned();
        let mut known = self.tracks.borrow_mut();
        let before = known.entry(id).or_insert_with(|| track.clone());
        assert_eq!(before, track, "not what it was");
    }

    /// Begins runs, one after the other, and reads them by another connection.
    async fn chat(&self, origin: &str, caller: String) {
        loop {
            let body = json!({"message": "hello", "resume": true});
            let begun = sent(prompt(origin, &body).header("x-client", &caller)).await;
            if begun.status() == 429 {
                // Runs of its own that have died count for a while.
                assert_eq!(caller, BUSY);
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            assert_eq!(begun.status(), 200);
            let id = run_of(&begun);
            let mut reader = self.reader(origin, &id).await;
            let at = self.runs.borrow().len();
            self.runs.borrow_mut().push(Run {
                id,
                frames: String::new(),
                has_ended: false,
            });
            let mut bytes = Vec::new();
            while let Some(text) = more(&mut reader, &mut bytes).await {
                self.runs.borrow_mut()[at].frames = text;
            }
            self.runs.borrow_mut()[at].has_ended = true;
        }
    }

    /// What the run `id` says, from its beginning.
    async fn reader(&self, origin: &str, id: &str) -> Response {
        let reader = again(origin, id, 0).header("x-client", self.address());
        let reader = sent(reader).await;
        assert_eq!(reader.status(), 200, "{id}");
        reader
    }

    /// How much they were told.
    pub(super) fn told(&self) -> String {
        format!(
            "{} sessions, {} runs, {} tracks",
            self.sessions.borrow().len(),
            self.earlier.get().1 + self.runs.borrow().len(),
            self.tracks.borrow().len()
        )
    }

    /// Sessions are open or ended as they were, and runs have what was read of them.
    pub(super) async fn are_told_the_same(&self, origin: &str, chance: &SeededEntropy) {
        let sessions = self.sessions.borrow().clone();
        let (earlier, new) = sessions.split_at(self.earlier.get().0);
        let some = (0..EARLIER.min(earlier.len()))
            .map(|_| &earlier[chance.below(earlier.len() as u64) as usize]);
        join_all(some.chain(new).map(|session| session.is_as_it_was(origin))).await;
        let runs = self.runs.borrow().clone();
        join_all(runs.iter().map(|run| async {
            let reader = self.reader(origin, &run.id).await;
            run.is_as_it_was(reader).await;
        }))
        .await;
    }

    /// Who reads what has died is told so.
    pub(super) async fn lost_runs_are_known(&self, origin: &str) {
        let mut runs = self.runs.borrow().clone();
        runs.retain(|run| !run.has_ended && !run.frames.is_empty());
        let lost = join_all(runs.iter().map(|run| async {
            let begin = Instant::now();
            let text = read(self.reader(origin, &run.id).await, None).await;
            assert_eq!(text.last()["data"]["code"], "run_lost", "{text:?}");
            assert!(begin.elapsed() < LOST, "{:?}", begin.elapsed());
        }));
        println!("{} runs are lost", lost.await.len());
    }

    /// The busy one has both its places again.
    pub(super) async fn the_busy_one_is_served(
        &self,
        origin: &str,
        killed: Instant,
        within: Duration,
    ) {
        let begin = || {
            let request = prompt(origin, &json!({"message": "hello"}));
            sent(request.header("x-client", BUSY))
        };
        // Nothing tells when a count is over: it is asked for.
        loop {
            let (first, second) = futures::join!(begin(), begin());
            if first.status() == 200 && second.status() == 200 {
                break;
            }
            assert!(killed.elapsed() < within, "{:?}", killed.elapsed());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        println!("a caller's runs are whole after {:?}", killed.elapsed());
    }
}

/// All frames so far, whenever there are more; `None` at the end.
async fn more(reader: &mut Response, bytes: &mut Vec<u8>) -> Option<String> {
    let chunk = tokio::time::timeout(PATIENCE, reader.chunk()).await;
    let chunk = chunk
        .expect("something in time")
        .expect("an unbroken stream");
    bytes.extend_from_slice(&chunk?);
    let text = String::from_utf8_lossy(bytes).replace(": heartbeat\n\n", "");
    let whole = text.rfind("\n\n").map_or(0, |at| at + 2);
    Some(text[..whole].to_owned())
}

impl Session {
    async fn is_as_it_was(&self, origin: &str) {
        let ask = Client::new().get(format!("{origin}/api/auth/session"));
        let status = sent(ask.bearer_auth(&self.token)).await.status().as_u16();
        let is_good = match self.phase {
            Phase::Open => status == 200,
            Phase::Leaving => [200, 401].contains(&status),
            Phase::Ended => status == 401,
        };
        assert!(is_good, "{status} of {self:?}");
    }
}

impl Run {
    /// `reader` has what was read before.
    async fn is_as_it_was(&self, mut reader: Response) {
        if self.has_ended {
            assert_eq!(read(reader, None).await.frames, self.frames);
            return;
        }
        let (mut text, mut bytes) = (String::new(), Vec::new());
        while text.len() < self.frames.len() {
            let read = more(&mut reader, &mut bytes).await;
            text = read.unwrap_or_else(|| panic!("it ends before {self:?}"));
        }
        assert!(text.starts_with(&self.frames), "{text:?} after {self:?}");
    }
}
