//! Load for a while, on a host that is a process of its own: at the end it is as it was
//! after warming up.
//!
//! 20 seconds, without a look at its memory; minutes with `SPINLANE_SOAK_MINUTES=5`.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spinlane_component_tests::hosts::{Process, apart, free_port, start_logging};
use spinlane_component_tests::load::judge::{Broken, Judged};
use spinlane_component_tests::load::rest::{holds_only_what_lives, now};
use spinlane_component_tests::load::{Load, VARIABLES};
use spinlane_component_tests::{Dj, alone, start_upstreams};
use spinlane_upstreams::Upstreams;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;

use crate::{given, passed, rested, seed};

/// Requests that are under way at a time.
const AT_ONCE: usize = 16;

const MINUTE: Duration = Duration::from_secs(60);

/// After so long a host has grown to what it needs; after a third of it, it still grows by
/// a tenth in the next minute.
const WARMING_UP: Duration = Duration::from_secs(120);

/// Requests at once, once, to warm up: the host keeps what instances were in, up to 100 of
/// them, and would otherwise come to have all of them only after a thousand requests.
const CROWD: usize = 200;

/// How much more memory the process may have at the end than after warming up: a part of
/// what it had then.
const FLAT: f64 = 0.1;

/// The DJ's process, and what it has logged since it was asked last.
struct Apart {
    process: Process,
    log: Arc<Mutex<Vec<String>>>,
}

impl Apart {
    async fn start(upstreams: &Upstreams, store: &Path) -> Self {
        let port = free_port();
        let program = env!("CARGO_BIN_EXE_host-to-kill");
        let mut command = apart(program, port, store, upstreams, &VARIABLES);
        let mut process = start_logging(&mut command, port, Stdio::piped()).await;
        let log = process.log().expect("it was asked for");
        let lines = Arc::default();
        tokio::spawn(keep(log, Arc::clone(&lines)));
        Self {
            process,
            log: lines,
        }
    }

    fn may_have_logged(&self, load: &Load<'_>) -> Judged {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *log);
        lines.iter().try_for_each(|line| load.may_be_logged(line))
    }

    /// What the process holds: memory in KiB, and files, of which a connection is one.
    fn holds(&self) -> (u64, usize) {
        let proc = Path::new("/proc").join(self.process.id().to_string());
        let status = std::fs::read_to_string(proc.join("status")).expect("its state");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|text| text.trim().strip_suffix(" kB"));
        let memory = memory.and_then(|text| text.trim().parse().ok());
        let files = std::fs::read_dir(proc.join("fd")).expect("its files");
        (memory.expect("its memory"), files.count())
    }
}

async fn keep(log: ChildStderr, lines: Arc<Mutex<Vec<String>>>) {
    let mut log = BufReader::new(log).lines();
    while let Ok(Some(line)) = log.next_line().await {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

fn length() -> Duration {
    match given("SPINLANE_SOAK_MINUTES", 0) {
        0 => Duration::from_secs(20),
        minutes => MINUTE * u32::try_from(minutes).expect("some minutes"),
    }
}

/// Requests for so long, with numbers that there have not been.
async fn requests(load: &Load<'_>, time: Duration) {
    let (first, until) = (load.tally.all("requests"), Instant::now() + time);
    let numbers = (first..).take_while(|_| Instant::now() < until);
    passed(load, load.requests(numbers, AT_ONCE).await);
}

/// What the process holds once all has ended.
async fn at_rest(load: &Load<'_>, host: &Apart) -> (u64, usize) {
    rested(load, load.upstreams_are_at_rest().await);
    rested(load, load.lanes_are_given_back().await);
    rested(load, load.swept().await);
    rested(load, host.may_have_logged(load));
    host.holds()
}

#[tokio::test(flavor = "multi_thread")]
async fn load_leaves_nothing_behind() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store.db");
    let upstreams = start_upstreams().await;
    let host = Apart::start(&upstreams, &store).await;
    let load = Load::new(&host.process.origin, &upstreams, seed());
    rested(&load, load.open_sessions(8).await);

    passed(&load, load.requests(0..CROWD as u64, CROWD).await);
    let is_long = length() >= MINUTE;
    requests(&load, if is_long { WARMING_UP } else { length() / 3 }).await;
    let (warm, files) = at_rest(&load, &host).await;
    println!(
        "warm: {warm} KiB, {files} files, {} requests",
        load.tally.all("requests")
    );
    requests(&load, length()).await;
    let (end, files_at_end) = at_rest(&load, &host).await;
    println!(
        "at the end: {end} KiB, {files_at_end} files\n{}",
        load.tally
    );

    // Seconds do not warm a process up: not every place of an instance was used by then.
    if is_long {
        let growth = end as f64 / warm as f64 - 1.0;
        assert!(growth.abs() <= FLAT, "from {warm} to {end} KiB");
    }
    // The process ends; what it has left in its store is looked at from another.
    drop(host);
    let dj = Dj::start_public_on(&store, &VARIABLES).await;
    let left = holds_only_what_lives(&dj.host.store().dump(), now());
    rested(
        &load,
        left.map_err(|Broken(what)| Broken(format!("in the store: {what}"))),
    );
}
