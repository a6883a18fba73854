//! Hosts that are programs of their own: `wasmtime serve` and Spin.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use spinlane_upstreams::Upstreams;
use tempfile::TempDir;
use tokio::process::{Child, ChildStderr, Command};

use crate::{PATIENCE, catalogue_variables, repository};

/// A host's process, which ends with this value, and so do its children: `spin
/// up` serves by one.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it answers.
    pub origin: String,
}

/// Where ports for tests begin, and how many there are: below those of connections, which
/// begin at 32,768 on Linux.
const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 10_000;

/// The program that `cargo xtask test` has found, or `None`: xtask names at the
/// end what was not run.
pub fn program(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable);
    if path.is_none() {
        eprintln!("NOT RUN: {variable} is not set");
    }
    path.map(PathBuf::from)
}

/// A port that was free a moment ago, and another one each time. Not one of those that the
/// system gives to connections: one of another test would have it before it is listened on.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let mut ports = (0..PORTS).map(|_| {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let at = std::process::id().wrapping_mul(101).wrapping_add(tried);
        FIRST_PORT + u16::try_from(at % PORTS).expect("it is below 10,000")
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).expect("a free port")
}

/// The DJ in a process of its own, by this package's `host-to-kill` at `program`: on
/// `port`, where users come back to from logins, with its store at `store` and variables
/// beside those of `upstreams`.
pub fn apart(
    program: &str,
    port: u16,
    store: impl AsRef<OsStr>,
    upstreams: &Upstreams,
    variables: &[(&str, &str)],
) -> Command {
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(program);
    command.arg(&address).arg(store);
    command.arg(upstreams.anthropic().origin());
    command.arg(format!("public_url=http://{address}"));
    let catalogue = catalogue_variables(upstreams);
    let catalogue = catalogue.iter().map(|(name, value)| (*name, &**value));
    for (name, value) in catalogue.chain(variables.iter().copied()) {
        command.arg(format!("{name}={value}"));
    }
    command
}

/// Starts `command` and waits until `/health` answers on `port`.
///
/// # Panics
/// When it does not.
pub async fn start(command: &mut Command, port: u16) -> Process {
    start_logging(command, port, Stdio::null()).await
}

/// The same, with what it says on standard error in `log`.
///
/// # Panics
/// When it does not answer.
pub async fn start_logging(command: &mut Command, port: u16, log: impl Into<Stdio>) -> Process {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .expect("the host's program");
    let origin = format!("http://127.0.0.1:{port}");
    let mut process = Process { child, origin };
    let health = format!("{}/health", process.origin);
    let begin = Instant::now();
    // Programs do not tell when they are ready: it is asked for, again and again.
    while reqwest::get(&health).await.is_err() {
        let ended = process.child.try_wait().expect("its state");
        assert_eq!(ended, None, "the host has ended");
        assert!(begin.elapsed() < 4 * PATIENCE, "the host does not answer");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    process
}

/// Spin with what `manifest` says, and the folder of its store; `None` where there is
/// no Spin.
///
/// # Panics
/// When it does not start.
pub async fn spin(manifest: &str, variables: &[(&str, &str)]) -> Option<(Process, TempDir)> {
    let port = free_port();
    let state = tempfile::tempdir().expect("a folder for its store");
    let mut command = Command::new(program("SPINLANE_SPIN")?);
    command
        .current_dir(repository(""))
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--from"])
        .arg(repository(manifest))
        .arg("--state-dir")
        .arg(state.path());
    for (name, value) in variables {
        let name = name.to_ascii_uppercase();
        command.env(format!("SPIN_VARIABLE_{name}"), value);
    }
    Some((start(&mut command, port).await, state))
}

impl Process {
    /// Its log, where it was started with a pipe for one, which has to be read.
    pub fn log(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The process's number.
    ///
    /// # Panics
    /// When it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.child.id() {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}
