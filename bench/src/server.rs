//! A host's process: started, asked what it costs, ended by its id.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client;
use crate::proc;

/// How long a host may take to answer: compiling is part of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host that took less than a twentieth of this has come to rest.
const MOMENT: Duration = Duration::from_millis(400);

/// How many of them it may take for that.
const MOMENTS: u32 = 50;

/// Between two attempts to reach a host that starts.
const ATTEMPTS: Duration = Duration::from_millis(1);

/// A running host. Dropping it ends it, and what it has started.
pub(crate) struct Server {
    child: Child,
    pid: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where a chat is asked for.
    pub(crate) chat: String,
    /// What was started to when it first answered.
    pub(crate) start: Duration,
    /// What it keeps goes with it.
    _state: TempDir,
}

impl Server {
    /// Starts `command`, which listens on `address`, and waits for its answer.
    pub(crate) async fn start(
        mut command: Command,
        address: SocketAddr,
        chat: String,
        state: TempDir,
    ) -> Result<Self> {
        let begin = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // So that its children are ended with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("the host has ended")?;
        let mut server = Self {
            child,
            pid,
            address,
            chat,
            start: Duration::ZERO,
            _state: state,
        };
        // Programs do not tell when they are ready: they are asked.
        while let Err(error) = client::healthy(address).await {
            if let Some(status) = server.child.try_wait()? {
                bail!("ended at once ({status}): {:?}", command.as_std());
            }
            if begin.elapsed() > PATIENCE {
                return Err(error).with_context(|| format!("{:?}", command.as_std()));
            }
            tokio::time::sleep(ATTEMPTS).await;
        }
        server.start = begin.elapsed();
        server.settled().await?;
        Ok(server)
    }

    /// Waits until it has come to rest, 20 s at most: hosts that have compiled a component
    /// compress and store the code beside their first requests, whose cost it is not.
    async fn settled(&self) -> Result<()> {
        for _ in 0..MOMENTS {
            let before = self.cpu()?;
            tokio::time::sleep(MOMENT).await;
            if self.cpu()? - before <= MOMENT / 20 {
                break;
            }
        }
        Ok(())
    }

    /// The processor time that it has taken so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        proc::cpu(self.pid)
    }

    /// The memory that it holds, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64> {
        proc::proportional_kib(self.pid)
    }

    /// Ends it, and waits until it has ended.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.kill();
        self.child.wait().await?;
        Ok(())
    }

    fn kill(&self) {
        let group = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // Its process is waited for nowhere before, so that the id is still its.
        if let (Some(group), Some(_)) = (group, self.child.id()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address of this machine that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
