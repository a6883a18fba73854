//! A Redis server for one test.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, copy, sink};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::hosts::{free_port, program};

/// A server, which ends with this value.
#[derive(Debug)]
pub struct Redis {
    /// `redis://…`, as a host's store takes it.
    pub url: String,
    program: PathBuf,
    port: u16,
    /// Where it keeps what it must not lose.
    folder: Option<TempDir>,
    child: Option<Child>,
}

impl Redis {
    /// Starts one that keeps nothing on disk, or says that none was found.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Option<Self> {
        Self::start_in(None).await
    }

    /// The same for one that has written what it has acknowledged.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_durable() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        Self::start_in(Some(folder)).await
    }

    async fn start_in(folder: Option<TempDir>) -> Option<Self> {
        let (program, port) = (program("SPINLANE_REDIS")?, free_port());
        let mut redis = Self {
            url: format!("redis://127.0.0.1:{port}"),
            program,
            port,
            folder,
            child: None,
        };
        redis.go_on().await;
        Some(redis)
    }

    /// Kills it.
    ///
    /// # Panics
    /// When it has ended by itself.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it is killed");
    }

    /// Starts it at the same address, with what it has kept.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn go_on(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", ""]);
        match &self.folder {
            None => command.args(["--appendonly", "no"]),
            Some(folder) => command
                .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
                .arg(folder.path()),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server");
        let log = child.stdout.take().expect("its log");
        let ready = timeout(PATIENCE, ready(log)).await;
        ready.expect("Redis is ready in time");
        self.child = Some(child);
    }
}

/// Waits until the log says that connections are taken, which it does not when
/// the port was taken meanwhile.
async fn ready(log: impl AsyncRead + Unpin + Send + 'static) {
    let mut log = BufReader::new(log);
    let mut line = String::new();
    while !line.contains("Ready to accept connections") {
        line.clear();
        let read = log.read_line(&mut line).await.expect("its log");
        assert!(read > 0, "Redis has ended");
    }
    // Or it would wait for a reader when the pipe is full.
    tokio::spawn(async move { copy(&mut log, &mut sink()).await });
}
