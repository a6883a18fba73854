//! A Redis server for one test.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

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
        let child = Command::new(program("SPINLANE_REDIS")?)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server");
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begin.elapsed() < PATIENCE, "Redis does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self {
            _child: child,
            url: format!("redis://127.0.0.1:{port}"),
        })
    }
}
