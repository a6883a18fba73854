//! A Redis server for one test.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, copy, sink};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::hosts::{free_port, program};

/// A server that keeps nothing on disk, and ends with this value.
#[derive(Debug)]
pub struct Redis {
    _child: Child,
    /// `redis://…`, as a host's store takes it.
    pub url: String,
}

impl Redis {
    /// Starts one, or says that none was found.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Option<Self> {
        let port = free_port();
        let mut child = Command::new(program("SPINLANE_REDIS")?)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server");
        let log = child.stdout.take().expect("its log");
        let ready = timeout(PATIENCE, ready(log)).await;
        ready.expect("Redis is ready in time");
        Some(Self {
            _child: child,
            url: format!("redis://127.0.0.1:{port}"),
        })
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
