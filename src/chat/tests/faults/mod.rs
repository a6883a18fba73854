//! Whatever fails, and whoever goes: every run ends, and leaves nothing.
//!
//! A thousand schedules of each kind of request, more by `PROPTEST_CASES`: which upstream
//! calls fail and how, when the store fails and how, and what the client does.

mod upstreams;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use futures::future::{Either, select};
use proptest::prelude::*;
use spinlane_core::ports::{Instant, Ports, StoreError};
use spinlane_core::testing::schedules;

use super::*;
use upstreams::{Failing, Fault, Seen};

/// The application's own token at Spotify, and what it got that by.
const TOKEN: &str = "access-secret-of-the-test";
const SECRET: &str = "client-secret-of-the-test";

/// Nothing that a run does takes longer: a queue, three attempts that hang, in each of
/// five turns.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Chat,
    /// A stream, or a document.
    Enrichment {
        streaming: bool,
    },
}

/// What the store does from some call on, for so many milliseconds.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    from: u64,
    lasts: u64,
    kind: StoreFault,
}

#[derive(Clone, Copy, Debug)]
enum StoreFault {
    Fails,
    Full,
    /// Each call takes so many milliseconds, and blocks.
    Slow(u64),
}

/// What the client does.
#[derive(Clone, Copy, Debug)]
enum Client {
    Reads,
    /// Reads no more for so many milliseconds after each read.
    Slow(u64),
    /// Goes after so many milliseconds.
    Goes(u64),
    /// Presses stop after so many milliseconds, and reads on.
    Stops(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Refused),
        Just(Fault::Silent),
        Just(Fault::Stalled),
        prop::sample::select(vec![400, 401, 403, 404, 408, 429, 500, 503, 529])
            .prop_map(Fault::Status),
        (0..40_u64).prop_map(Fault::RetryAfter),
        Just(Fault::Garbage),
        Just(Fault::Cut),
        Just(Fault::Hangs),
        Just(Fault::Reported),
        (1..20_u64).prop_map(Fault::Slow),
    ]
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    let kind = prop_oneof![
        Just(StoreFault::Fails),
        Just(StoreFault::Full),
        (50..900_u64).prop_map(StoreFault::Slow),
    ];
    let trouble = (0..20_000_u64, 0..60_000_u64, kind);
    let trouble = trouble.prop_map(|(from, lasts, kind)| Trouble { from, lasts, kind });
    // As often from the very beginning.
    let trouble = (trouble, any::<bool>()).prop_map(|(trouble, at_once)| match at_once {
        true => Trouble { from: 0, ..trouble },
        false => trouble,
    });
    prop::option::weighted(0.5, trouble)
}

fn client() -> impl Strategy<Value = Client> {
    prop_oneof![
        Just(Client::Reads),
        (1..8_000_u64).prop_map(Client::Slow),
        (0..40_000_u64).prop_map(Client::Goes),
        (0..40_000_u64).prop_map(Client::Stops),
        // While everything is still quick.
        (0..20_u64).prop_map(Client::Goes),
    ]
}

fn faults() -> impl Strategy<Value = BTreeMap<usize, Fault>> {
    prop::collection::btree_map(0..12_usize, fault(), 0..5)
}

/// A world and its application.
struct Stage {
    world: World,
    app: App,
    seen: Seen,
}

impl Stage {
    fn new(faults: &BTreeMap<usize, Fault>) -> Self {
        let world = World::new();
        let seen = Seen::default();
        let http = Failing {
            clock: world.clock.clone(),
            faults: faults.clone(),
            seen: seen.clone(),
            turns: AtomicUsize::new(0),
        };
        let ports = Ports {
            http: Arc::new(http),
            ..world.ports()
        };
        let app = App::new(ports, |name| {
            let value = match name {
                "anthropic_api_key" => KEY,
                "spotify_client_id" => "client",
                "spotify_client_secret" | "lastfm_api_key" => SECRET,
                _ => return None,
            };
            Some(value.to_owned())
        });
        Self { world, app, seen }
    }

    /// Lets `trouble` come and go.
    async fn trouble(&self, trouble: Option<Trouble>) {
        let Some(Trouble { from, lasts, kind }) = trouble else {
            return;
        };
        let (store, clock) = (&self.world.store, &self.world.clock);
        clock.sleep(Duration::from_millis(from)).await;
        match kind {
            StoreFault::Fails => store.fail_with(Some(StoreError::Unavailable("gone".into()))),
            StoreFault::Full => store.fill(true),
            StoreFault::Slow(millis) => store.slow_down(clock, Duration::from_millis(millis)),
        }
        clock.sleep(Duration::from_millis(lasts)).await;
        self.heal();
    }

    fn heal(&self) {
        let (store, clock) = (&self.world.store, &self.world.clock);
        store.fail_with(None);
        store.fill(false);
        store.slow_down(clock, Duration::ZERO);
    }
}

/// What a client got: the status, what it read, and when it went should it have.
struct Got {
    status: u16,
    bytes: Vec<u8>,
    went: Option<Instant>,
}

/// Reads `body` as `client` does, to its end or until it goes.
async fn read(stage: &Stage, client: Client, run: Option<&str>, mut body: Body) -> Got {
    let clock = &stage.world.clock;
    let mut got = Got {
        status: 200,
        bytes: Vec::new(),
        went: None,
    };
    let act = match client {
        Client::Goes(after) | Client::Stops(after) => clock.sleep(Duration::from_millis(after)),
        _ => futures::future::pending().boxed(),
    };
    let mut act = act.fuse();
    let begin = clock.now();
    loop {
        assert!(clock.now() - begin < LONGEST, "it never ends");
        let frame = match select(Box::pin(body.frame()), &mut act).await {
            Either::Left((frame, _)) => frame,
            Either::Right(((), frame)) => {
                drop(frame);
                if matches!(client, Client::Goes(_)) {
                    got.went = Some(clock.now());
                    return got;
                }
                if let Some(run) = run {
                    let stop = format!("/api/chat-stream/{run}/stop");
                    let stop = Request::post(stop).body(Body::empty()).unwrap();
                    let stopped = stage.app.handle(stop).await.status();
                    assert!(matches!(stopped.as_u16(), 204 | 503), "{stopped}");
                }
                continue;
            }
        };
        let Some(frame) = frame else {
            return got;
        };
        got.bytes.extend(frame.unwrap().into_data().unwrap());
        if let Client::Slow(millis) = client {
            clock.sleep(Duration::from_millis(millis)).await;
        }
    }
}

fn request(asked: Asked) -> Request<Body> {
    let Asked::Enrichment { streaming } = asked else {
        return hello();
    };
    let track = |n: usize| json!({"title": format!("Song {n}"), "artist": "Nobody"});
    let tracks: Vec<_> = (0..4).map(track).collect();
    Request::post("/api/enrich")
        .header("content-type", "application/json")
        .header(
            "accept",
            if streaming {
                "text/event-stream"
            } else {
                "application/json"
            },
        )
        .body(Body::from(json!({"tracks": tracks}).to_string()))
        .unwrap()
}

/// One run, from its request until nothing of it is left.
fn goes_well(
    asked: Asked,
    faults: &BTreeMap<usize, Fault>,
    trouble: Option<Trouble>,
    client: Client,
) {
    let stage = Stage::new(faults);
    let (world, begin) = (&stage.world, stage.world.clock.now());
    let got = world.run(async {
        let run = async {
            let response = stage.app.handle(request(asked)).await;
            let status = response.status().as_u16();
            let run = response.headers().get("x-run-id").cloned();
            let run = run.as_ref().map(|run| run.to_str().unwrap());
            let got = read(&stage, client, run, response.into_body()).await;
            Got { status, ..got }
        };
        // Whatever the store does, it goes on doing while the run is there.
        match select(Box::pin(run), Box::pin(stage.trouble(trouble))).await {
            Either::Left((got, _)) => got,
            Either::Right(((), run)) => run.await,
        }
    });
    let ended = world.clock.now();
    assert!(ended - begin < LONGEST, "{:?}", ended - begin);
    world.drain();
    stage.heal();
    answer_is_whole(asked, &got);
    nobody_calls_for_who_has_gone(&stage, &got);
    nothing_is_left(&stage);
}

/// One terminal frame, at the end; or a document; or a problem that says so.
fn answer_is_whole(asked: Asked, got: &Got) {
    let text = String::from_utf8_lossy(&got.bytes);
    for secret in [KEY, TOKEN, SECRET] {
        assert!(!text.contains(secret), "{text}");
    }
    if got.went.is_some() {
        return;
    }
    if got.status != 200 {
        let problem: Value = serde_json::from_slice(&got.bytes).expect("a problem");
        assert_eq!(
            (got.status, &problem["code"]),
            (503, &json!("store_unavailable"))
        );
        return;
    }
    if let Asked::Enrichment { streaming: false } = asked {
        let document: Value = serde_json::from_slice(&got.bytes).expect("a document");
        assert!(document["tracks"].is_array(), "{document}");
        return;
    }
    let frames = frames(&got.bytes);
    let terminal = |(kind, _): &&(String, Value)| matches!(kind.as_str(), "done" | "error");
    assert_eq!(frames.iter().filter(terminal).count(), 1, "{frames:?}");
    assert!(frames.last().as_ref().is_some_and(terminal), "{frames:?}");
    assert_eq!(frames[0].0, "run");
    assert_eq!(frames[frames.len() - 2].0, "usage", "{frames:?}");
}

/// Who has gone pays for nothing more. What all have in common is asked for to its end:
/// the application's own token, and what others may find in the cache.
fn nobody_calls_for_who_has_gone(stage: &Stage, got: &Got) {
    let Some(went) = got.went else {
        return;
    };
    for (host, at) in stage.seen.begun() {
        assert!(at <= went, "{host} is called after the client has gone");
    }
}

/// No call, permit, lease, run of a caller, timer or task; no counter beyond its grace.
fn nothing_is_left(stage: &Stage) {
    let Stage { world, app, seen } = stage;
    assert_eq!(seen.open(), 0, "a call goes on");
    assert_eq!(world.clock.pending_timers(), 0, "somebody waits");
    let upstreams = app.state.upstreams();
    for lane in ["anthropic", "spotify", "deezer", "lastfm"] {
        let lane = upstreams.lane(&lane.into()).unwrap().snapshot();
        assert_eq!((lane.in_flight, lane.waiting), (0, 0), "{lane:?}");
    }
    // What could not be given back, since the store had failed, ends by its time.
    world.clock.advance(Duration::from_secs(60));
    for lane in world.run(upstreams.status()) {
        assert_eq!(lane.held, 0, "{lane:?}");
    }
    // The caller may have as many runs as at first.
    world.run(async {
        let begun = [app.handle(hello()).await, app.handle(hello()).await];
        assert_eq!(begun.map(|response| response.status()), [200, 200]);
    });
    world.drain();
    world.clock.advance(Duration::from_secs(3 * 3_600));
    let namespaces = crate::stored::namespaces(&app.state);
    world.run(app.state.store.full_sweep(&namespaces)).unwrap();
    world.drain();
    // The index counts what has still to expire.
    let mut counters = world.store.counters();
    counters.retain(|name, _| !name.starts_with("index@"));
    assert_eq!(counters, BTreeMap::new());
}

/// What has shown a fault.
#[test]
fn these_end_well() {
    let trouble = Trouble {
        from: 0,
        lasts: 53_821,
        kind: StoreFault::Slow(895),
    };
    let faults = BTreeMap::from([(5, Fault::Refused)]);
    let asked = Asked::Enrichment { streaming: true };
    goes_well(asked, &faults, Some(trouble), Client::Slow(6_712));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(schedules()))]

    #[test]
    fn a_chat_ends_well(faults in faults(), trouble in trouble(), client in client()) {
        goes_well(Asked::Chat, &faults, trouble, client);
    }

    #[test]
    fn an_enrichment_ends_well(
        streaming: bool, faults in faults(), trouble in trouble(), client in client(),
    ) {
        goes_well(Asked::Enrichment { streaming }, &faults, trouble, client);
    }
}
