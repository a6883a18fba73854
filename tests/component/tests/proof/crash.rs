//! A host that is killed at any moment, again and again on one store: what clients were
//! told is so after each start.
//!
//! 5 times, more with `SPINLANE_CRASHES=50`; at other moments with
//! `SPINLANE_PROOF_SEED`.

mod clients;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use spinlane_component_tests::chat::Chat;
use spinlane_component_tests::hosts::{self, Process};
use spinlane_component_tests::runs::{prompt, sent};
use spinlane_component_tests::{OPERATOR, PATIENCE, start_upstreams};
use spinlane_core::testing::SeededEntropy;
use spinlane_upstreams::Upstreams;
use spinlane_upstreams::anthropic::Script;
use tempfile::TempDir;

use crate::{given, seed};
use clients::Clients;

/// Wide enough for what one crash after the other leaves behind within a lease.
const LANE: usize = 48;

/// By then a slot that a dead host has held is free: one lease, or two for one that was
/// taken for the next as well.
const LANES_WHOLE: Duration = Duration::from_secs(20);

/// The same for the runs of a caller.
const RUNS_WHOLE: Duration = Duration::from_secs(25);

/// The host on one store, with its upstreams and what it has logged.
struct Site {
    folder: TempDir,
    upstreams: Upstreams,
}

impl Site {
    async fn new() -> Self {
        let upstreams = start_upstreams().await;
        let words: Vec<String> = (0..150).map(|n| format!("{n} ")).collect();
        let answer = Script::text(words).pace(Duration::from_millis(10));
        upstreams.anthropic().script(answer);
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, upstreams }
    }

    /// Starts the host anew.
    async fn start(&self) -> Process {
        let port = hosts::free_port();
        let lanes = format!("anthropic={LANE}");
        let variables = [
            ("lane_limits", lanes.as_str()),
            ("admin_token", OPERATOR),
            ("caller_limit", "100000/10m"),
            ("client_ip_header", "x-client"),
        ];
        let program = env!("CARGO_BIN_EXE_host-to-kill");
        let store = self.folder.path().join("store.db");
        let mut command = hosts::apart(program, port, store, &self.upstreams, &variables);
        let log = File::options().create(true).append(true).open(self.log());
        hosts::start_logging(&mut command, port, log.expect("a log")).await
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    /// The file and all that is in it is whole, and no instance has ended badly.
    fn is_sound(&self) {
        values_are_whole(&self.folder.path().join("store.db"));
        let log = std::fs::read_to_string(self.log()).expect("the log");
        let bad = ["host: ", "panicked", "\"level\":\"ERROR\"", "is left alone"];
        let bad = |line: &&str| bad.iter().any(|bad| line.contains(bad));
        assert_eq!(log.lines().find(bad), None);
    }
}

/// Every value says what it is, and every counter is one.
fn values_are_whole(store: &Path) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let store = Connection::open_with_flags(store, flags).expect("the store");
    let check = store.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.expect("an answer"), "ok");
    let mut all = store
        .prepare("SELECT key, value FROM spinlane_kv")
        .expect("the table");
    let all = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    for entry in all.expect("its entries") {
        let (key, value): (String, Vec<u8>) = entry.expect("an entry");
        let is_whole = match key.split(':').next() {
            Some("~n") => value.len() == 8,
            Some("~index" | "~pause") => true,
            _ => value.starts_with(b"{\"spinlane\":2,"),
        };
        assert!(is_whole, "{key}: {}", value.escape_ascii());
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_every_crash() {
    let (crashes, seed) = (given("SPINLANE_CRASHES", 5), seed());
    let (site, clients) = (Site::new().await, Clients::default());
    let mut host = site.start().await;
    let mut killed = Instant::now();
    for crash in 1..=crashes {
        let chance = SeededEntropy::new(seed.wrapping_add(crash));
        let moment = Duration::from_millis(200 + chance.below(1_800));
        println!("crash {crash} of seed {seed}: after {moment:?}");
        let origin = host.origin.clone();
        let work = clients.work(&origin, &site.upstreams, &chance);
        // Their requests are dropped when the host is dead, and not before.
        let kill = async move {
            tokio::time::sleep(moment).await;
            drop(host);
        };
        tokio::select! {
            () = work => unreachable!("clients go on"),
            () = kill => killed = Instant::now(),
        }
        site.is_sound();
        host = site.start().await;
        clients.are_told_the_same(&host.origin, &chance).await;
    }
    println!("{}", clients.told());
    // What has died is known as such, and holds nothing.
    futures::join!(
        clients.lost_runs_are_known(&host.origin),
        clients.the_busy_one_is_served(&host.origin, killed, RUNS_WHOLE),
        lanes_are_whole(&site, &host.origin, &clients, killed),
    );
    drop(host);
    site.is_sound();
}

async fn held(origin: &str) -> Vec<(String, u64)> {
    let status = reqwest::Client::new().get(format!("{origin}/api/status"));
    let status = sent(status.header("x-admin-token", OPERATOR)).await;
    let status: Value = status.json().await.expect("JSON");
    let lanes = status["limits"]["lanes"].as_object().expect("lanes").iter();
    let held = lanes.map(|(name, lane)| (name.clone(), lane["held"].as_u64()));
    held.map(|(name, held)| (name, held.expect("a number")))
        .collect()
}

/// Every slot of the lane that was used most can be taken again.
async fn lanes_are_whole(site: &Site, origin: &str, clients: &Clients, killed: Instant) {
    let anthropic = site.upstreams.anthropic();
    anthropic.reset();
    anthropic.script(Script::text(["x"]).hang_after(1));
    let holders = join_all((0..LANE).map(|_| async {
        let prompt = prompt(origin, &json!({"message": "hello"}));
        let holder = sent(prompt.header("x-client", clients.address())).await;
        let mut holder = Chat::read(holder);
        holder.next_of("content").await;
        holder
    }));
    let holders = holders.await;
    let took = killed.elapsed();
    println!("lanes are whole after {took:?}");
    assert!(took < LANES_WHOLE, "{took:?}");
    assert_eq!(anthropic.counts().max_open, LANE as u64);
    let lane = held(origin).await;
    assert!(
        lane.contains(&("anthropic".into(), LANE as u64)),
        "{lane:?}"
    );
    drop(holders);
    let ended = anthropic.wait_for(PATIENCE, |counts| counts.open == 0);
    ended.await.expect("the calls end");
}
